package main

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
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"relocate/bundle"
	"relocate/oci"
)

// extractReport is what inspect --extract prints.
type extractReport struct {
	Version   int     `json:"version"`
	Bundle    string  `json:"bundle"` // reference
	Digest    v1.Hash `json:"digest"`
	Directory string  `json:"directory"`
	Files     int     `json:"files"`
	Bytes     int64   `json:"bytes"`
	Skipped   int     `json:"skipped"` // links, devices and the like
}

// showExtracted extracts a bundle, and prints what it wrote.
func (f *inspectFlags) showExtracted(cmd *cobra.Command, s *subject, view []string) error {
	ref, err := s.bundleToExtract(f.bundle, strings.Join(view[min(1, len(view)):], ""))
	if err != nil {
		return err
	}
	r, err := extract(cmd.Context(), s.source, ref, f.extract)
	if err != nil {
		return err
	}
	return f.format.print(cmd.OutOrStdout(), r, func(w io.Writer) {
		fmt.Fprintf(w, "extracted %s (%s) of %s to %s\n", count(r.Files, "file"), size(r.Bytes), line(r.Bundle), line(r.Directory))
		if r.Skipped > 0 {
			fmt.Fprintf(w, "skipped: %s (links, devices and the like)\n", count(r.Skipped, "member"))
		}
	})
}

// bundleToExtract returns the bundle with the reference or digest named, or the one that a version of a package
// fetches, or the only root.
func (s *subject) bundleToExtract(named, pkg string) (name.Digest, error) {
	d, err := s.digestToExtract(named, pkg)
	if err != nil {
		return name.Digest{}, err
	}
	n := s.graph.Node(d)
	if n == nil && s.plan != nil {
		return name.Digest{}, absentError{fmt.Errorf("bundle %s: %s does not have it", d, s.name)}
	}
	if n == nil { // only the root was read: it is beside that, or nowhere
		n = s.graph.Nodes[0]
	}
	return n.From.Digest(d.String()), nil
}

func (s *subject) digestToExtract(named, pkg string) (v1.Hash, error) {
	switch {
	case pkg != "":
		return s.digestFetched(pkg)
	case named != "":
		return s.digestNamed(named)
	case len(s.graph.Roots) > 1:
		return v1.Hash{}, usagef("%s has %d roots: name the bundle to extract with --bundle", s.name, len(s.graph.Roots))
	}
	return s.graph.Roots[0].Digest, nil
}

// digestFetched returns the digest of the bundle that a version of a package fetches.
func (s *subject) digestFetched(pkg string) (v1.Hash, error) {
	p, err := s.find(pkg)
	if err != nil {
		return v1.Hash{}, err
	}
	for _, f := range p.Fetches {
		if f.Kind == "imgpkgBundle" && f.Digest != (v1.Hash{}) {
			return f.Digest, nil
		}
	}
	return v1.Hash{}, absentError{fmt.Errorf("package %s: it fetches no bundle that %s has", pkg, s.name)}
}

// digestNamed returns the digest of the bundle with the reference or digest of --bundle.
func (s *subject) digestNamed(named string) (v1.Hash, error) {
	if d, err := v1.NewHash(named); err == nil {
		return d, nil
	}
	ref, err := parseReference("--bundle", named)
	if err != nil {
		return v1.Hash{}, err
	}
	if d, ok := ref.(name.Digest); ok {
		return v1.NewHash(d.DigestStr())
	}
	for _, pin := range s.graph.Pins {
		if pin.Reference == ref.Name() {
			return pin.Digest, nil
		}
	}
	return v1.Hash{}, absentError{fmt.Errorf("--bundle %s: %s does not have this tag; --tree shows its references", named, s.name)}
}

// extract writes the files of the bundle ref to the folder dir, which is made, or was empty: all of
// them or none. Permissions are imgpkg's, which gives everyone those of the owner, unless some member of the
// bundle has others; but nobody gets one that the umask takes away, or that the folder does not have. Links
// and devices are left out.
func extract(ctx context.Context, src bundle.Source, ref name.Digest, dir string) (r *extractReport, err error) {
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
	r = &extractReport{Version: reportVersion, Bundle: ref.Name(), Directory: dir}
	if r.Digest, err = v1.NewHash(ref.DigestStr()); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, src, ref, work, info.Mode().Perm()|0o700); err != nil {
		return nil, fmt.Errorf("extract to %s: %w", dir, err)
	}
	return r, errors.Join(os.Chmod(work, info.Mode().Perm()), os.Remove(dir), os.Rename(work, dir))
}

// makeEmpty makes the folder dir, or checks that it is empty.
func makeEmpty(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o777) // less the umask, as anyone makes folders
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		return false, usagef("--extract %s: exists, and is not a folder", dir)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = usagef("--extract %s: is not empty; name a new folder", dir)
	}
	return false, err
}

// fill writes the files below work; most are the permissions that they have at most, beside the umask's.
func (r *extractReport) fill(ctx context.Context, src bundle.Source, ref name.Digest, work string, most fs.FileMode) (err error) {
	root, err := os.OpenRoot(work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	unmasked, err := allowed(root)
	if err != nil {
		return err
	}
	var written []bundle.File
	n, err := bundle.ReadNode(ctx, src, ref)
	if err != nil {
		return err
	}
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
	return setModes(root, written, most&unmasked)
}

// allowed returns the permissions that the umask leaves. It makes a folder to see them, because reading the umask
// changes it for the whole program.
func allowed(root *os.Root) (fs.FileMode, error) {
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

// setModes gives files and then folders, the deepest first, their times and, of their permissions, those in most.
func setModes(root *os.Root, files []bundle.File, most fs.FileMode) error {
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
		mode &= most
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
