package relocate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/tarball"
)

// incoming is an archive that arrives once, from front to back.
type incoming struct {
	*bufio.Reader
	name     string
	isDevice bool
	claim    *claim // nil: nobody must have signed it
	scratch  *scratch
	opt      Options
	close    func()
}

// largestBlock is the size in bytes of the largest block that a tape drive can have here: it gives a whole block
// to one read, and fails where there is no room for it (st(4)).
const largestBlock = 4 << 20

// receive begins to read an archive. The caller closes it. A Stat method of the reader, such as that of a
// file, says whether the archive is on a device, whose end is not the archive's.
func (o Options) receive(ctx context.Context, from io.Reader) (*incoming, error) {
	claim, err := o.claimOf(from)
	if err != nil {
		return nil, err
	}
	scratch, err := newScratch(o.TempDir)
	if err != nil {
		return nil, err
	}
	in := &incoming{name: nameOf(from), isDevice: isDevice(from), claim: claim, scratch: scratch, opt: o}
	if in.isDevice { // of which no block is read that is not needed
		in.Reader = bufio.NewReaderSize(from, largestBlock)
		in.close = scratch.remove
		return in, nil
	}
	pipe, out := io.Pipe()
	context.AfterFunc(ctx, func() { _ = out.CloseWithError(ctx.Err()) }) // nothing else ends a read of a silent pipe
	go func() {
		_, err := io.Copy(out, from)
		_ = out.CloseWithError(err)
	}()
	in.Reader = bufio.NewReader(pipe)
	in.close = func() {
		_ = pipe.Close() // which ends the copy to it
		scratch.remove()
	}
	return in, nil
}

// nameOf names a stream in errors: by its own Name where it has one.
func nameOf(stream any) string {
	if named, ok := stream.(interface{ Name() string }); ok {
		return named.Name()
	}
	return "the stream"
}

// isDevice reports whether a stream comes from a device.
func isDevice(stream any) bool {
	file, ok := stream.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&fs.ModeDevice != 0
}

// open reads the documents of an archive in relocate's own format, and compares its seal with the one that was
// signed.
//
// Errors: *custody.UntrustedError; as tarball.OpenStream.
func (in *incoming) open() (*tarball.Stream, error) {
	s, err := tarball.OpenStream(in, in.scratch)
	if err != nil {
		return nil, in.claim.explain(fmt.Errorf("%s %w", in.name, err))
	}
	if in.opt.Signature, err = in.claim.check(s.Seal()); err != nil {
		return nil, err
	}
	s.Device = in.isDevice
	return s, nil
}

// isImgpkg reports whether the archive has imgpkg's format.
func (in *incoming) isImgpkg() bool {
	first, _ := in.Peek(len("manifest.json") + 1)
	return tarball.IsImgpkg(first)
}

// spool keeps all of an archive in imgpkg's format, where what describes the rest can be anywhere.
//
// Errors: *custody.UntrustedError; ErrOptions on a device, where it has no end; as tarball.NewArchive.
func (in *incoming) spool() (*tarball.Archive, error) {
	if _, err := in.claim.check(v1.Hash{}); err != nil {
		return nil, err
	}
	if in.isDevice {
		return nil, optionsf("%s has an archive in imgpkg's format, which a device cannot stream; copy it to a file", in.name)
	}
	in.opt.note("", "the archive has imgpkg's format: all of it is stored in %s first", in.scratch.dir)
	n, err := io.Copy(in.scratch, in)
	if err != nil {
		return nil, fmt.Errorf("keep %s in %s: %w", in.name, in.scratch.dir, err)
	}
	a, err := tarball.NewArchive(in.scratch, n)
	if err != nil {
		return nil, fmt.Errorf("%s %w", in.name, err)
	}
	return a, nil
}

// noteAfter says what is known of what follows an archive, and what is not.
func (o Options) noteAfter(a *tarball.Archive) {
	ignored, unread := archiveOf(a).After()
	if ignored != "" {
		o.note("", "%s", ignored)
	}
	if unread != "" {
		o.note("", "not proved: %s", unread)
	}
}
