package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"relocate/internal/httpfile"
	"relocate/tarball"
	"relocate/volume"
)

// openVolumes opens an archive in volumes on servers. Where a volume is, one of the URLs in where says, or that of
// the archive: see place.
//
// Errors: fs.ErrNotExist without a list; volume.ErrList; tarball.ErrDamaged; those of openURL.
func (f *archiveFlags) openVolumes(ctx context.Context, name string, where []string) (*tarball.Archive, error) {
	open := func(file string) (*httpfile.File, error) {
		f.opening.Lock()
		defer f.opening.Unlock()
		at, err := f.place(name, file, where)
		if err != nil {
			return nil, err
		}
		return f.openURL(ctx, at)
	}
	base := path.Base(name)
	text, err := readAll(open, volume.ListName(base), volume.MaxList)
	if err != nil {
		return nil, err
	}
	list, err := volume.ParseList(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", volume.ListName(name), err)
	}
	volumes := make([]*httpfile.File, list.Volumes())
	a, err := tarball.OpenRanged(&joined{List: list, name: name, open: open, volumes: volumes})
	if err != nil {
		return nil, err
	}
	if seal := a.Seal().String(); seal != list.Seal {
		err = fmt.Errorf("%s %w: the list of its volumes has the seal %s, its documents have %s",
			name, tarball.ErrDamaged, list.Seal, seal)
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// place returns the name of the URL of a file of the archive: one in where that ends in the file's name, or in
// a folder in where, or, where that is empty, beside the archive; but not where a URL has a query.
//
// Errors: fs.ErrNotExist.
func (f *archiveFlags) place(archive, file string, where []string) (string, error) {
	for _, at := range where {
		if path.Base(at) == file && !strings.HasSuffix(at, "/") {
			return at, nil
		}
	}
	folders := slices.DeleteFunc(slices.Clone(where), func(at string) bool { return !strings.HasSuffix(at, "/") })
	if len(where) == 0 {
		folders = []string{archive}
	}
	for _, at := range folders {
		if url := f.urls[at].url; !strings.Contains(url, "?") {
			return f.name(url[:strings.LastIndex(url, "/")+1]+file, "")
		}
	}
	return "", fmt.Errorf("%s: %w; name its URL with --volumes", file, fs.ErrNotExist)
}

// openWhole opens the archive in a file on a server, which it closes when it fails.
//
// Errors: tarball.ErrVolume; those of tarball.OpenRanged.
func (f *archiveFlags) openWhole(ctx context.Context, name string, file *httpfile.File) (*tarball.Archive, error) {
	a, err := tarball.OpenRanged(file)
	if err == nil {
		return a, nil
	}
	whole, isList := strings.CutSuffix(name, volume.ListName(""))
	if !isList {
		whole = volume.File(name)
	}
	if whole != "" && f.hasList(ctx, name, whole) {
		err = fmt.Errorf("%s %w: %s", name, tarball.ErrVolume, whole)
	}
	return nil, errors.Join(err, file.Close())
}

// hasList reports whether the list of an archive in volumes is beside the file that has a name.
func (f *archiveFlags) hasList(ctx context.Context, name, archive string) bool {
	at, err := f.place(name, path.Base(volume.ListName(archive)), nil)
	if err != nil {
		return false
	}
	text, err := f.read(ctx, at, volume.MaxList)
	if err == nil {
		_, err = volume.ParseList(text)
	}
	return err == nil
}

// readAll reads a file of at most limit bytes.
func readAll(open func(string) (*httpfile.File, error), name string, limit int64) ([]byte, error) {
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	if file.Size() > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", file.Name(), limit)
	}
	text := make([]byte, file.Size())
	_, err = file.ReadAt(text, 0)
	return text, err
}

// joined is an archive in volumes on servers, as if they were one file. A volume is opened when it is first read.
type joined struct {
	*volume.List
	name string
	open func(file string) (*httpfile.File, error)

	mu      sync.Mutex
	volumes []*httpfile.File // nil: not opened yet
}

var _ tarball.Ranged = (*joined)(nil)

// Size implements tarball.Ranged.
func (j *joined) Size() int64 { return j.List.Size }

// Name implements tarball.Ranged.
func (j *joined) Name() string { return j.name }

// volume returns volume i.
//
// Errors: *volume.MissingError; tarball.ErrDamaged.
func (j *joined) volume(i int) (*httpfile.File, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.volumes[i] != nil {
		return j.volumes[i], nil
	}
	name := j.List.Name(path.Base(j.name), i)
	v, err := j.open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, serverError{&volume.MissingError{Name: name, Reason: volume.NotFound}}
	case err != nil:
		return nil, err
	case v.Size() != j.SizeOf(i):
		err = fmt.Errorf("%s %w: it has %d bytes; it must have %d", v.Name(), tarball.ErrDamaged, v.Size(), j.SizeOf(i))
		return nil, errors.Join(err, v.Close())
	}
	j.volumes[i] = v
	return v, nil
}

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && at < j.List.Size {
		i := int(at / j.Volume)
		v, err := j.volume(i)
		if err != nil {
			return n, err
		}
		part := p[n:min(int64(len(p)), int64(n)+int64(i+1)*j.Volume-at)]
		got, err := v.ReadAt(part[:min(int64(len(part)), j.List.Size-at)], at%j.Volume)
		n, at = n+got, at+int64(got)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Range implements tarball.Ranged, with one request for each volume.
func (j *joined) Range(ctx context.Context, at, n int64) (io.ReadCloser, error) {
	r := &joinedRange{j: j, ctx: ctx, at: at, end: at + n}
	return r, r.next()
}

// joinedRange is a range of a joined archive.
type joinedRange struct {
	j       *joined
	ctx     context.Context
	at, end int64
	body    io.ReadCloser // up to the end of a volume
}

// next opens what is in the next volume; at the end nothing.
func (r *joinedRange) next() error {
	r.body = nil
	if r.at == r.end {
		return nil
	}
	i := int(r.at / r.j.Volume)
	v, err := r.j.volume(i)
	if err != nil {
		return err
	}
	r.body, err = v.Range(r.ctx, r.at%r.j.Volume, min(r.end, int64(i+1)*r.j.Volume)-r.at)
	return err
}

// Read implements io.Reader.
func (r *joinedRange) Read(p []byte) (int, error) {
	if r.body == nil {
		return 0, io.EOF
	}
	n, err := r.body.Read(p)
	r.at += int64(n)
	if errors.Is(err, io.EOF) {
		err = errors.Join(r.body.Close(), r.next())
	}
	return n, err
}

// Close implements io.Closer.
func (r *joinedRange) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// each calls do with all volumes that are open.
func (j *joined) each(do func(*httpfile.File) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, v := range j.volumes {
		if v != nil {
			errs = append(errs, do(v))
		}
	}
	return errors.Join(errs...)
}

// Unchanged implements tarball.Ranged.
func (j *joined) Unchanged() error { return j.each((*httpfile.File).Unchanged) }

// Close implements tarball.Ranged.
func (j *joined) Close() error { return j.each((*httpfile.File).Close) }
