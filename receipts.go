package relocate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/custody"
	"relocate/internal/outfile"
	"relocate/internal/ownfile"
	"relocate/report"
	"relocate/tarball"
)

// Receipts say who writes receipts of an archive, and where.
type Receipts struct {
	Key     *custody.Key // nil: they are not signed
	File    string       // to append to; empty: NAME.receipts.jsonl beside the archive
	NoHost  bool         // the receipt names neither this machine nor the user
	Program string       // and its version
}

// Path returns the file that receipts of an archive are appended to.
func (r *Receipts) Path(archive string) string {
	if r.File != "" {
		return r.File
	}
	return archive + custody.ReceiptsEnding
}

// Check refuses what no receipt could be appended to at the end, before the work of hours.
func (r *Receipts) Check(archive string) error {
	path := r.Path(archive)
	if err := outfile.Check(path); err != nil {
		return fmt.Errorf("receipts in %s: %w", path, err)
	}
	f, err := openReceipts(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first := make([]byte, 1)
	n, err := f.Read(first)
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case n == 1 && first[0] != '{': // such as the archive itself
		err = optionsf("%s is not a file of receipts: name another, or move it away", path)
	}
	return errors.Join(err, f.Close())
}

// Exported appends the receipt of an export to path, a file or the name of a stream.
//
// Errors: ErrOptions of imgpkg's format; those of the file system.
func (r *Receipts) Exported(path string, result *Result) error {
	receipt := &custody.Receipt{Act: custody.Exported, Seal: result.Seal, Roots: rootsOf(result.Plan.Graph.NamedRoots())}
	if r.File != "" { // it may be a stream
		return r.add(path, nil, receipt)
	}
	a, err := tarball.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	if a.Seal() != result.Seal {
		return fmt.Errorf("%s is another archive by now, with the seal %s", path, a.Seal())
	}
	return r.add(path, a, receipt)
}

// Imported appends the receipt of an import of the archive at path into a destination. a is nil for a stream.
//
// Errors: as Exported.
func (r *Receipts) Imported(path string, a *tarball.Archive, result *Result, to Destination) error {
	repo := to.Repository.Name()
	return r.add(path, a, &custody.Receipt{
		Act: custody.Imported, Seal: result.Seal, Target: repo, Roots: rootsAt(repo, result.Plan.Graph.NamedRoots()),
	})
}

// Judged appends the receipt of a verdict on the archive at path, or on a repository that was compared with
// it. a is nil for a stream.
//
// Errors: as Exported.
func (r *Receipts) Judged(path string, a *tarball.Archive, v *report.Verdict) error {
	receipt := &custody.Receipt{Act: custody.Received, Levels: levelsOf(v)}
	switch {
	case v.Verify != nil:
		receipt.Act = custody.Rehearsed
	case v.Archive == nil:
		receipt.Act, receipt.Target = custody.Verified, v.Subject
		receipt.Roots = rootsAt(v.Subject, v.Roots)
	}
	if a != nil {
		receipt.Seal = a.Seal()
	} else {
		receipt.Seal = v.Archive.Seal
	}
	return r.add(path, a, receipt)
}

// levelsOf says what a verdict proves.
func levelsOf(v *report.Verdict) []string {
	if !v.OK {
		return []string{custody.LevelFailed}
	}
	var levels []string
	for _, l := range []struct {
		level string
		is    bool
	}{
		{custody.LevelSigned, v.Signature != nil},
		{custody.LevelRehearsed, v.Verify != nil},
		{custody.LevelWhole, v.Archive != nil || v.Level == "deep"},
		{custody.LevelComplete, v.Archive == nil},
		{custody.LevelLayers, v.Archive == nil && (v.Level == "blobs" || v.Level == "deep")},
		{custody.LevelClosed, v.Scan != nil && v.Findings.Breaking()+v.Accepted.Breaking() == 0},
	} {
		if l.is {
			levels = append(levels, l.level)
		}
	}
	return levels
}

func rootsOf(roots []report.Root) (list []custody.Root) {
	for _, root := range roots {
		list = append(list, custody.Root{Name: root.Reference, Digest: root.Digest})
	}
	return list
}

// rootsAt returns roots by the names that they have in a repository.
func rootsAt(repo string, roots []report.Root) (list []custody.Root) {
	for _, root := range roots {
		list = append(list, custody.Root{Name: repo + "@" + root.Digest.String(), Digest: root.Digest})
	}
	return list
}

// add completes a receipt, signs and appends it.
func (r *Receipts) add(path string, a *tarball.Archive, receipt *custody.Receipt) (err error) {
	if receipt.Seal.Hex == "" {
		return optionsf("%s has imgpkg's format, which has no seal: there can be no receipt of it", path)
	}
	file := r.Path(path)
	receipt.Program = r.Program
	receipt.Archive = strings.TrimSuffix(filepath.Base(file), custody.ReceiptsEnding)
	if a != nil {
		if receipt.SHA256, err = a.Sum(maxSummed); err != nil {
			return err
		}
	}
	if !r.NoHost {
		receipt.Host, _ = os.Hostname() // a receipt need not have them
		if u, err := user.Current(); err == nil {
			receipt.By = u.Username
		}
	}
	if err := appendReceipt(file, r.Key, receipt); err != nil {
		return fmt.Errorf("write a receipt to %s: %w", file, err)
	}
	return nil
}

// maxSummed is the size in bytes of the largest archive whose receipts have its SHA-256: the largest file that
// cosign 3.1.3 verifies an attestation of.
const maxSummed = 128 << 20

// openReceipts opens a file of receipts that exists. A link or a FIFO under its name, on a disk from
// elsewhere, is not followed.
func openReceipts(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|ownfile.Flags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s %w", path, outfile.ErrNotRegular)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readReceipts reads all of an open file of receipts.
func readReceipts(f io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(f, custody.MaxReceipts+1)) // of limited length
	if err == nil && len(raw) > custody.MaxReceipts {
		err = fmt.Errorf("it has more than %d bytes", custody.MaxReceipts)
	}
	return raw, err
}

// patience is how long a receipt waits for another run that writes one.
const patience = 30 * time.Second

// appendReceipt signs a receipt that names the last one in the file, unless key is nil, and appends it, in one
// write that is durable when it returns.
//
// Errors: ErrHeld.
func appendReceipt(path string, key *custody.Key, r *custody.Receipt) (err error) {
	unlock, err := lockReceipts(path)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := openReceipts(path, os.O_RDWR|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	raw, err := readReceipts(f)
	if err != nil {
		return err
	}
	r.Previous, r.Time = custody.Head(raw), time.Now().UTC().Truncate(time.Second)
	line, err := r.Statement()
	if err == nil && key != nil {
		line, err = key.SignStatement(line)
	}
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if n := len(raw); n > 0 && raw[n-1] != '\n' { // the line before was cut off
		line = append([]byte{'\n'}, line...)
	}
	if _, err := f.Write(line); err != nil {
		return errors.Join(err, f.Truncate(int64(len(raw))))
	}
	return errors.Join(f.Sync(), ownfile.SyncDir(filepath.Dir(path)))
}

// lockReceipts keeps other runs from appending, which takes each of them a moment.
func lockReceipts(path string) (unlock func(), err error) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		unlock, err = lockFile(path+".lock", path)
		if !errors.Is(err, ErrHeld) || time.Now().After(end) {
			return unlock, err
		}
	}
}

// ReadReceipts reads the receipts of the archive at path, or the file of receipts at path, which are then
// compared with each other alone. trust is as for custody.ReadChain. Of the archive documents and headers
// are read.
//
// Errors: fs.ErrNotExist without receipts; custody.ErrMalformed; those of tarball.Open.
func ReadReceipts(path, file string, trust *custody.Trust) (c *custody.Chain, seal v1.Hash, err error) {
	if file == "" && strings.HasSuffix(path, custody.ReceiptsEnding) {
		file = path
	} else {
		a, err := tarball.Open(path)
		if err != nil {
			return nil, seal, err
		}
		seal = a.Seal()
		if err := a.Close(); err != nil {
			return nil, seal, err
		}
	}
	if file == "" {
		file = path + custody.ReceiptsEnding
	}
	c, err = ReadReceiptsOf(file, seal, trust)
	if errors.Is(err, fs.ErrNotExist) {
		err = optionsf("%s is missing: no receipt was written beside the archive, or it was left behind; "+
			"--receipts names a file elsewhere", file)
	}
	return c, seal, err
}

// ReadReceiptsOf reads the file of receipts at path, of the archive with a seal. seal and trust are as for
// custody.ReadChain.
//
// Errors: fs.ErrNotExist; custody.ErrMalformed.
func ReadReceiptsOf(path string, seal v1.Hash, trust *custody.Trust) (*custody.Chain, error) {
	f, err := openReceipts(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	raw, err := readReceipts(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return custody.ReadChain(path, raw, seal, trust, time.Now())
}
