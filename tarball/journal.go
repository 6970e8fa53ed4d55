package tarball

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// journalVersion is the version of the journal that this package writes and goes on from.
const journalVersion = 1

// readyLine follows the header of a journal when the plan and the small section are durable: from
// then on a cut export can go on.
const readyLine = "ready\n"

// How much may be written, for each worker, and how much time may pass, before what was written is
// made durable. With a buffer that is being written and one that is being filled, a kill costs each worker
// 8 MiB at most.
const (
	journalWindow   = 8<<20 - 2*bufferSize // bytes
	journalInterval = 2 * time.Second
)

// maxJournalHeader is the longest first line that is read, in bytes: room for all roots of a command line, and for
// what imgpkg's form does not say.
const maxJournalHeader = 32 << 20

// How much of a journal is read: in bytes, room for lines of a week, and the blobs that it may count,
// more than any plan has.
const (
	maxJournal      = 64 << 20
	maxJournalBlobs = 1 << 20
)

// Request is what an export was asked for. A cut one goes on for the same request only.
type Request struct {
	Roots            []string `json:"roots"`                 // full references, as given
	NonDistributable bool     `json:"nonDistributable"`      // layers that may not be distributed are carried
	Attachments      string   `json:"attachments,omitempty"` // whether they are looked for
	Format           Format   `json:"format,omitempty"`
	NoOrigins        bool     `json:"noOrigins,omitempty"` // as NewImgpkgTar
}

// journalHeader is the first line of a journal. It binds the .part to its request and, by the seal, to
// every byte of its plan.
type journalHeader struct {
	Journal int     `json:"journal"`
	Request Request `json:"request"`
	Seal    v1.Hash `json:"seal"`

	Elsewhere map[string]string `json:"elsewhere,omitempty"` // of imgpkg's form: digests → repositories, where its plan does not say them

	Unseen []bundle.Unseen `json:"unseen,omitempty"` // likewise: what may be attached and is not carried
}

// journal is the file beside a .part that says what of it is durable: a header; "ready" when the plan
// and the small section are; then lines of two numbers, the index of a blob in file order and how many
// bytes of its content are durable. A line is written only after the bytes that it counts were synced.
// The last line for a blob counts; a last line that is cut off does not.
type journal struct {
	file   *os.File
	data   *os.File             // the .part
	done   func(blob int) int64 // bytes of a blob that are written
	size   func(blob int) int64
	window int64       // bytes that may be written and not durable
	began  atomic.Bool // the file promises something

	mu      sync.Mutex
	synced  chan struct{} // closed when a sync has ended, and replaced
	limited bool          // who has written too much waits
	running bool
	dirty   int64         // bytes written since the last sync began
	active  map[int]int64 // blobs that have bytes written → bytes that the file says are durable
	err     error         // of the first sync or line that failed: nothing is promised any more

	wake, stop chan struct{}
	stopped    chan struct{} // closed when run has returned
}

// journalName returns the name of the journal of the archive at path.
func journalName(path string) string { return path + ".part.journal" }

func newJournal(jobs int, done, size func(int) int64) *journal {
	return &journal{done: done, size: size, window: int64(max(jobs, 1)) * journalWindow, synced: make(chan struct{}),
		active: map[int]int64{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
}

// create begins the file, in which nothing is promised yet.
func (j *journal) create(path string, header journalHeader) error {
	line, err := json.Marshal(header)
	if err != nil {
		return err
	}
	if j.file, err = os.OpenFile(journalName(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// ready promises the plan and the small section, once they are durable, and begins to journal.
func (j *journal) ready() error {
	j.mu.Lock()
	j.limited = true // this may take long
	began := j.dirty
	j.mu.Unlock()
	err := j.promise()
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.release()
	if err != nil {
		j.err = err
		return err
	}
	j.dirty -= began
	j.begin()
	return nil
}

func (j *journal) promise() error {
	if err := j.data.Sync(); err != nil {
		return err
	}
	if _, err := j.file.WriteString(readyLine); err != nil {
		return err
	}
	return errors.Join(j.file.Sync(), syncDir(filepath.Dir(j.file.Name())))
}

// begin starts the goroutine that syncs.
func (j *journal) begin() {
	j.limited, j.running = true, true
	j.began.Store(true)
	go j.run()
}

func (j *journal) run() {
	defer close(j.stopped)
	ticker := time.NewTicker(journalInterval)
	defer ticker.Stop()
	for {
		select {
		case <-j.wake:
		case <-ticker.C:
		case <-j.stop:
			return
		}
		j.sync()
	}
}

// wrote tells that n more bytes of a blob are written. It waits while too much is not durable yet, unless
// ctx ends, and returns why syncing failed, if it did.
func (j *journal) wrote(ctx context.Context, blob int, n int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.active[blob]; !known {
		j.active[blob] = 0
	}
	j.dirty += n
	if j.dirty >= j.window/2 {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	for j.limited && j.err == nil && ctx.Err() == nil && j.dirty >= j.window {
		synced := j.synced
		j.mu.Unlock()
		select { // a disk may take its time, and who interrupts does not wait
		case <-synced:
		case <-ctx.Done():
		}
		j.mu.Lock()
	}
	return cmp.Or(j.err, ctx.Err())
}

// sync makes durable what is written, and then says so in the file. After a failure it does nothing: the
// system may have dropped what it could not write, and tells so once; and half a line would make another
// one of the next.
func (j *journal) sync() {
	j.mu.Lock()
	if j.err != nil {
		j.mu.Unlock()
		return
	}
	began := j.dirty
	written := map[int]int64{}
	for blob, durable := range j.active {
		if n := j.done(blob); n != durable {
			written[blob] = n
		}
	}
	j.mu.Unlock()
	var err error
	if len(written) > 0 {
		if err = j.data.Sync(); err == nil {
			err = j.append(written)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for blob, n := range written {
		if j.active[blob] = n; n == j.size(blob) {
			delete(j.active, blob)
		}
	}
	j.dirty -= began
	if err != nil {
		j.err = fmt.Errorf("write journal %s: %w", j.file.Name(), noSpace(err))
	}
	j.release()
}

// release lets those go on who wait in wrote. It is called with mu locked.
func (j *journal) release() {
	close(j.synced)
	j.synced = make(chan struct{})
}

func (j *journal) append(durable map[int]int64) error {
	var b bytes.Buffer
	for _, blob := range slices.Sorted(maps.Keys(durable)) {
		fmt.Fprintf(&b, "%d %d\n", blob, durable[blob])
	}
	_, err := j.file.Write(b.Bytes())
	return err
}

// end stops the goroutine, and returns why syncing failed, if it did. What is written since the last sync
// is not promised.
func (j *journal) end() error {
	j.mu.Lock()
	running := j.running
	j.limited, j.running = false, false
	j.release()
	j.mu.Unlock()
	if running {
		close(j.stop)
		<-j.stopped
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// promised is what a journal says.
type promised struct {
	header  journalHeader
	ready   bool
	durable map[int]int64 // blob → bytes
	end     int64         // of the last whole line, in bytes
}

// readJournal reads a journal. A file without a whole header promises nothing; lines after one that
// makes no sense, or beyond maxJournal, are left out: what they promised is fetched again.
func readJournal(r io.Reader) (*promised, error) {
	p := &promised{durable: map[int]int64{}}
	br := bufio.NewReaderSize(io.LimitReader(r, maxJournal), 1<<16)
	text, err := readLine(br, maxJournalHeader)
	if err != nil {
		return p, ignoreEOF(err)
	}
	if p.header = readHeader([]byte(text)); p.header.Journal != journalVersion {
		return p, nil
	}
	p.end = int64(len(text))
	for {
		text, err := readLine(br, 64)
		if err != nil {
			return p, ignoreEOF(err)
		}
		if !p.take(text) {
			return p, nil
		}
		p.end += int64(len(text))
	}
}

// readHeader reads a header; of another version, whose request may have another form, the version only, and
// nothing of what is no header.
func readHeader(text []byte) journalHeader {
	var version struct{ Journal int }
	var header journalHeader
	if json.Unmarshal(text, &version) != nil || version.Journal != journalVersion {
		return journalHeader{Journal: version.Journal}
	}
	if json.Unmarshal(text, &header) != nil {
		return journalHeader{}
	}
	return header
}

// take takes over a line after the header, and reports whether it made sense.
func (p *promised) take(text string) bool {
	if !p.ready {
		p.ready = text == readyLine
		return p.ready
	}
	first, second, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	blob, err := strconv.ParseUint(first, 10, 31)
	n, err2 := strconv.ParseUint(second, 10, 62)
	if err != nil || err2 != nil || blob >= maxJournalBlobs || text != fmt.Sprintf("%d %d\n", blob, n) {
		return false
	}
	p.durable[int(blob)] = int64(n)
	return true
}

// errLongLine says that a line is longer than any of a journal.
var errLongLine = errors.New("line too long")

// readLine reads a line with its line feed. A line that is cut off is io.EOF.
func readLine(r *bufio.Reader, limit int) (string, error) {
	var b []byte
	for {
		part, err := r.ReadSlice('\n')
		if b = append(b, part...); len(b) > limit {
			return "", errLongLine
		}
		if err == nil {
			return string(b), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errLongLine) {
		return nil
	}
	return err
}

// differs says in what a request is not the one of the journal; "" when it is the same.
func (h journalHeader) differs(request Request) string {
	switch {
	case !slices.Equal(h.Request.Roots, request.Roots):
		return fmt.Sprintf("it was begun for %s, not for %s", strings.Join(h.Request.Roots, ", "), strings.Join(request.Roots, ", "))
	case h.Request.Attachments != request.Attachments:
		return fmt.Sprintf("it was begun with --attachments %s", h.Request.Attachments)
	case h.Request.Format != request.Format:
		return fmt.Sprintf("it was begun with --tar-format %s", h.Request.Format.String())
	case h.Request.NoOrigins != request.NoOrigins:
		return "one of the two is for a BundleLock"
	case h.Request.NonDistributable == request.NonDistributable:
		return ""
	case h.Request.NonDistributable:
		return "it was begun with --include-non-distributable-layers"
	}
	return "it was begun without --include-non-distributable-layers"
}
