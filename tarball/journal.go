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
	"relocate/internal/ownfile"
)

// journalVersion is the version of the journal that this package writes and reads.
const journalVersion = 1

// readyLine follows the header of a journal when the plan and the small section are durable. From
// then on an export that is cut off can be resumed.
const readyLine = "ready\n"

// How many bytes each worker may write, and how much time may pass, before what was written is made
// durable. With one buffer being written and one being filled, a kill costs each worker at most 8
// MiB.
const (
	journalWindow   = 8<<20 - 2*bufferSize // bytes
	journalInterval = 2 * time.Second
)

// maxJournalHeader is the longest first line that is read, in bytes: enough for all roots of a
// command line, and for what imgpkg's format does not say.
const maxJournalHeader = 32 << 20

// How much of a journal is read.
const (
	maxJournal      = 64 << 20 // bytes: enough for the lines of a week
	maxJournalBlobs = 1 << 20  // more than any plan has
)

// Request is what an export was asked for. Resume continues an archive for the same request only.
type Request struct {
	Roots            []string `json:"roots"`                 // full references, as given
	NonDistributable bool     `json:"nonDistributable"`      // include layers that may not be distributed
	Attachments      string   `json:"attachments,omitempty"` // the caller's policy for attachments
	Format           Format   `json:"format,omitempty"`
	Bases            []string `json:"bases,omitempty"`     // digests of what the destination has
	NoOrigins        bool     `json:"noOrigins,omitempty"` // imgpkg's format only: entries do not say under which reference a lock names them

	VolumeSize int64 `json:"volumeSize,omitempty"` // bytes of each volume; 0: one file
	Parity     int   `json:"parity,omitempty"`     // volumes
}

// journalHeader is the first line of a journal. It binds the .part to its request and, by the seal,
// to every byte of its plan.
type journalHeader struct {
	Journal int     `json:"journal"`
	Request Request `json:"request"`
	Seal    v1.Hash `json:"seal"`

	Elsewhere map[string]string `json:"elsewhere,omitempty"` // imgpkg's format: digest → repository, where its plan does not say it

	Unseen []bundle.Unseen `json:"unseen,omitempty"` // imgpkg's format: what may be attached and is not in the archive

	Size int64 `json:"size,omitempty"` // bytes of the archive, where it is cut into volumes
}

// journal is the file beside a .part that says what of it is durable: a header; "ready" when the
// plan and the small section are; then lines of two numbers, the index of a blob in file order and
// how many bytes of its content are durable. A line is written only after the bytes that it counts
// were synced. The last line for a blob counts; a last line that is cut off does not.
type journal struct {
	file   *os.File
	data   interface{ Sync() error } // the .part
	done   func(blob int) int64      // bytes of a blob that are written
	size   func(blob int) int64      // bytes of a blob
	window int64                     // bytes that may be written and not durable
	began  atomic.Bool               // the file promises something

	mu      sync.Mutex
	synced  chan struct{} // closed when a sync has ended, and replaced
	limited bool          // wrote waits when too much is not durable
	running bool
	dirty   int64         // bytes written since the last sync began
	active  map[int]int64 // blobs that have bytes written → bytes that the file says are durable
	err     error         // of the first sync or line that failed; nothing is promised afterwards

	wake, stop chan struct{}
	stopped    chan struct{} // closed when run has returned
}

// journalName returns the name of the journal of the archive at path.
func journalName(path string) string { return path + ".part.journal" }

func newJournal(jobs int, done, size func(int) int64) *journal {
	return &journal{done: done, size: size, window: int64(max(jobs, 1)) * journalWindow, synced: make(chan struct{}),
		active: map[int]int64{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
}

// create begins the file, which promises nothing yet.
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
	return errors.Join(j.file.Sync(), ownfile.SyncDir(filepath.Dir(j.file.Name())))
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

// wrote notes that n more bytes of a blob are written. It waits while too much is not durable,
// until ctx ends, and returns why syncing failed, if it did.
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
		select { // a sync may take long, and an interrupt must not wait for it
		case <-synced:
		case <-ctx.Done():
		}
		j.mu.Lock()
	}
	return cmp.Or(j.err, ctx.Err())
}

// sync makes durable what is written, and then says so in the file. After a failure it does
// nothing: the system may have dropped what it could not write, and reports that once; and the next
// line would be appended to half a line.
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

// release wakes the calls of wrote that wait. It is called with mu locked.
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

// end stops the goroutine, and returns why syncing failed, if it did. What is written since the
// last sync is not promised.
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
	end     int64         // of the last valid line, in bytes
}

// readJournal reads a journal. A file without a complete header promises nothing. Lines after an
// invalid one, or beyond maxJournal, are ignored: what they promised is fetched again.
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
		if !p.add(text) {
			return p, nil
		}
		p.end += int64(len(text))
	}
}

// readHeader reads a header. Of another version it reads the version only, because the request may
// have another shape. Of an invalid header it reads nothing.
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

// add adds what a line after the header promises, and reports whether the line is valid.
func (p *promised) add(text string) bool {
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

// errLongLine says that a line is longer than any line of a journal can be.
var errLongLine = errors.New("line too long")

// readLine reads a line with its line feed. A line without one is io.EOF.
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

// differs says how a request differs from that of the journal; "" when they are equal.
func (h journalHeader) differs(request Request) string {
	switch {
	case !slices.Equal(h.Request.Roots, request.Roots):
		return otherRoots(h.Request.Roots, request.Roots)
	case h.Request.Attachments != request.Attachments:
		return fmt.Sprintf("it was begun with --attachments %s", h.Request.Attachments)
	case h.Request.Format != request.Format:
		return fmt.Sprintf("it was begun with --tar-format %s", h.Request.Format.String())
	case !slices.Equal(h.Request.Bases, request.Bases):
		return "it was begun with other --base or --have"
	case h.Request.VolumeSize != request.VolumeSize || h.Request.Parity != request.Parity:
		return h.Request.volumes()
	case h.Request.NoOrigins != request.NoOrigins:
		return "only one of the two exports is for a BundleLock"
	case h.Request.NonDistributable == request.NonDistributable:
		return ""
	case h.Request.NonDistributable:
		return "it was begun with --include-non-distributable-layers"
	}
	return "it was begun without --include-non-distributable-layers"
}

// volumes says with which volumes an archive was begun.
func (r *Request) volumes() string {
	switch {
	case r.VolumeSize == 0:
		return "it was begun without --volume-size"
	case r.Parity == 0:
		return fmt.Sprintf("it was begun with --volume-size %d and without --parity", r.VolumeSize)
	}
	return fmt.Sprintf("it was begun with --volume-size %d --parity %d", r.VolumeSize, r.Parity)
}

// otherRoots says how the roots of a journal differ from those of a request.
func otherRoots(begun, wanted []string) string {
	less := func(list, of []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(of, s) }), ", ")
	}
	switch gone, added := less(begun, wanted), less(wanted, begun); {
	case gone != "" && added != "":
		return fmt.Sprintf("it was begun for %s, not for %s", gone, added)
	case gone != "":
		return "it was begun with " + gone
	case added != "":
		return "it was begun without " + added
	}
	return "it was begun for its roots in another order"
}
