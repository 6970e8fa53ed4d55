// Package extract writes the files of a bundle to a folder.
//
// Begin with Bundle. All files are written or none, only regular files and folders, and nothing
// outside of the folder, whatever the bundle contains.
package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
	"relocate/oci"
)

// ErrFolder says that the folder to extract to is not new and not empty.
var ErrFolder = errors.New("name a new folder")

// Result is what was written.
type Result struct {
	Files   int
	Bytes   int64
	Skipped int // links, devices and other members that are not files
}

// Bundle writes the files of the bundle ref to the folder dir, which is new or empty.
//
// Permissions are imgpkg's: everyone gets those of the owner, unless a member of the bundle has
// other permissions for others. Nobody gets a permission that the umask takes away, or that dir
// does not have.
//
// Errors: ErrFolder; oci.ErrMalformed; those of src.
func Bundle(ctx context.Context, src bundle.Source, ref name.Digest, dir string) (r *Result, err error) {
	made, err := makeEmpty(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".relocate-*")
	if err != nil {
		return nil, fmt.Errorf("extract to %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
			if made {
				_ = os.Remove(dir)
			}
		}
	}()
	r = &Result{}
	if err := r.fill(ctx, src, ref, work, info.Mode().Perm()|0o700); err != nil {
		return nil, fmt.Errorf("extract to %s: %w", dir, err)
	}
	return r, errors.Join(os.Chmod(work, info.Mode().Perm()), os.Remove(dir), os.Rename(work, dir))
}

// makeEmpty makes the folder dir, or checks that it is empty.
func makeEmpty(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o777) // less the umask
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		return false, fmt.Errorf("exists, and is not a folder; %w", ErrFolder)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("is not empty; %w", ErrFolder)
	}
	return false, err
}

// fill writes the files below work. limit is the permissions that a file may have at most.
func (r *Result) fill(ctx context.Context, src bundle.Source, ref name.Digest, work string, limit fs.FileMode) (err error) {
	root, err := os.OpenRoot(work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	unmasked, err := unmasked(root)
	if err != nil {
		return err
	}
	n, err := bundle.ReadNode(ctx, src, ref)
	if err != nil {
		return err
	}
	var written []bundle.File
	everything := func(string) bool { return true }
	err = n.Files(ctx, src, everything, func(f bundle.File, content io.Reader) error {
		switch {
		case f.Mode.IsDir():
			written = append(written, f)
			return root.MkdirAll(filepath.FromSlash(f.Path), 0o700)
		case !f.Mode.IsRegular():
			r.Skipped++
			return nil
		}
		written = append(written, f)
		r.Files++
		r.Bytes += f.Size
		return writeMember(root, f.Path, content)
	})
	if err != nil {
		return err
	}
	return setModes(root, written, limit&unmasked)
}

// unmasked returns the permissions that the umask leaves. It makes a folder to see them, because
// reading the umask changes it for the whole program.
func unmasked(root *os.Root) (fs.FileMode, error) {
	const probe = ".relocate"
	if err := root.Mkdir(probe, 0o777); err != nil {
		return 0, err
	}
	info, err := root.Lstat(probe)
	if err := errors.Join(err, root.Remove(probe)); err != nil {
		return 0, err
	}
	return info.Mode().Perm(), nil
}

// writeMember writes a new file.
func writeMember(root *os.Root, member string, content io.Reader) (err error) {
	local, err := filepath.Localize(member)
	if err != nil {
		return fmt.Errorf("%q: %w", member, err)
	}
	if err := root.MkdirAll(filepath.FromSlash(path.Dir(member)), 0o700); err != nil {
		return err
	}
	out, err := root.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%q: %w: appears twice", member, oci.ErrMalformed)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, content)
	return err
}

// setModes sets the times and permissions of files and then of folders, the deepest first. limit is
// the permissions that they have at most.
func setModes(root *os.Root, files []bundle.File, limit fs.FileMode) error {
	var all fs.FileMode
	for _, f := range files {
		all |= f.Mode.Perm()
	}
	slices.SortStableFunc(files, func(a, b bundle.File) int { return strings.Compare(b.Path, a.Path) })
	for _, f := range files {
		mode := f.Mode.Perm()
		if all&0o077 == 0 {
			mode |= mode>>3 | mode>>6
		}
		mode &= limit
		if f.Mode.IsDir() {
			mode |= 0o700 // so that it can be removed
		}
		local := filepath.FromSlash(f.Path)
		if err := errors.Join(root.Chmod(local, mode), root.Chtimes(local, f.ModTime, f.ModTime)); err != nil {
			return err
		}
	}
	return nil
}
