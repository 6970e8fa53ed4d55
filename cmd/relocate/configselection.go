package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate"
	"relocate/choose"
	"relocate/crossing"
	"relocate/internal/inspect"
	"relocate/manifests"
	"relocate/tarball"
)

// rootNames returns the names that an import may give the only root of the file, with ":" or "@", the most
// derived one first, and whether packages are chosen of it; none when they are not known.
func (f *configFlags) rootNames(ctx context.Context) (list []string, chooses bool, err error) {
	switch {
	case f.file == nil || f.file.Destination.NoTag:
		return nil, false, nil
	case f.file.Destination.Tag != "":
		return []string{":" + f.file.Destination.Tag}, false, nil
	}
	from, sel, err := f.selected(ctx)
	roots := slices.Concat(from.Bundles, from.Images)
	if err != nil || len(f.file.Roots) != 1 || len(roots) != 1 {
		return nil, false, err
	}
	for _, ref := range sel.Names(roots[0]) {
		_, rest := splitReference(ref.Name())
		list = append(list, rest)
	}
	return list, sel.Root(roots[0]).Name() != roots[0].Name(), nil
}

// rootsError says that an archive is not that of a crossing file.
type rootsError struct{ error }

// checkArchive refuses an archive with other roots than the file, and finds out what is selected of
// those that it has as a whole.
func (f *configFlags) checkArchive(ctx context.Context, a *tarball.Archive) error {
	if f.file == nil || len(f.file.Roots) == 0 || a.Format() == tarball.Imgpkg { // which has no references
		return nil
	}
	from, sel, err := f.selected(ctx)
	if err != nil {
		return err
	}
	have, err := a.Roots()
	if err != nil {
		return err
	}
	want := f.rootsOf(from)
	f.sel = relocate.Selection{Roots: map[string]choose.Choice{}, Platforms: sel.Platforms, Derive: sel.Derive}
	for _, root := range want {
		i := slices.IndexFunc(have, func(ref name.Reference) bool { return sel.Named(root, ref) })
		if i < 0 {
			return rootsError{fmt.Errorf("%s is not the archive of %s: it does not have the root %s", a.Name(), f.path, sel.Names(root)[0])}
		}
		if have[i].Name() == root.Name() {
			f.sel.Roots[root.Name()] = sel.Roots[root.Name()]
		}
	}
	for _, ref := range have {
		if !slices.ContainsFunc(want, func(root name.Reference) bool { return sel.Named(root, ref) }) {
			return rootsError{fmt.Errorf("%s is not the archive of %s: it also has the root %s", a.Name(), f.path, ref)}
		}
	}
	return nil
}

// rootsOf returns the roots of the file, of which from has all but plain manifests.
func (f *configFlags) rootsOf(from relocate.Source) []name.Reference {
	list := slices.Concat(from.Bundles, from.Images)
	for _, root := range f.file.Roots {
		for name := range root.Manifests {
			list = append(list, manifests.Repository.Tag(name))
		}
	}
	return list
}

// open opens an archive, and reads the part of it that the flags choose, or else the file, if any; the
// part is the zero value where all of it is read, and nothing after its head. volumes are as for tarball.Open. The
// caller closes the archive.
func (f *configFlags) open(
	ctx context.Context, archives *archiveFlags, archive string, flags *selectionFlags, opt relocate.Options,
	volumes ...string,
) (*inspect.Subject, relocate.Part, error) {
	if f.file == nil && !flags.given() && len(opt.Selection.Platforms) == 0 {
		a, err := archives.open(ctx, archive, volumes...)
		if err != nil {
			return nil, relocate.Part{}, err
		}
		s, err := inspect.Open(ctx, a, opt.Jobs, opt.Renderer)
		return s, relocate.Part{}, err
	}
	return f.openPart(ctx, archives, archive, flags, opt, volumes...)
}

// openPart is open for an archive that is checked as a whole, apart from the content of layers.
func (f *configFlags) openPart(
	ctx context.Context, archives *archiveFlags, archive string, flags *selectionFlags, opt relocate.Options,
	volumes ...string,
) (*inspect.Subject, relocate.Part, error) {
	a, err := archives.open(ctx, archive, volumes...)
	if err != nil {
		return nil, relocate.Part{}, err
	}
	part, err := f.partOf(ctx, a, flags, opt)
	if err != nil {
		return nil, relocate.Part{}, errors.Join(err, a.Close())
	}
	return inspect.Part(a, part.Plan, part.Source, opt.Renderer), *part, nil
}

func (f *configFlags) partOf(ctx context.Context, a *tarball.Archive, flags *selectionFlags, opt relocate.Options) (*relocate.Part, error) {
	if err := f.checkArchive(ctx, a); err != nil {
		return nil, err
	}
	if flags.set(&opt); !flags.given() {
		f.set(&opt)
	}
	return relocate.PartOf(ctx, a, opt)
}

// source returns the roots of the file, without plain manifests, whose files only an export needs.
func (f *configFlags) source() (relocate.Source, error) {
	var flags sourceFlags
	for _, root := range f.file.Roots {
		switch {
		case root.Bundle != "":
			flags.bundles = append(flags.bundles, string(root.Bundle))
		case root.Image != "":
			flags.images = append(flags.images, string(root.Image))
		case root.Lock != "":
			flags.lock = string(root.Lock)
		}
	}
	return flags.roots()
}

// choosesOfRoots reports whether the roots are those of the file, and it has choices for single ones.
func (f *configFlags) choosesOfRoots() bool {
	return f.file != nil && !isGiven(f.flags, "bundle") && slices.ContainsFunc(f.file.Roots, func(root crossing.Root) bool { return root.Choose != nil })
}

// noteWhole says that the repository in place of an archive is shown as a whole, where the file selects a part.
func (f *configFlags) noteWhole(show *display) {
	if _, ok := f.used["repo"]; !ok {
		return
	}
	selects := func(s crossing.Setting) bool { return flagIn(&s, "choose", "platforms") != "" }
	if f.file.Roots[0].Choose != nil || slices.ContainsFunc(f.file.Settings(), selects) {
		show.Note("this is the whole root, not only what %s chooses of it: %s shows that", f.path, shellLine([]string{"relocate", "plan", "--config", f.path}))
	}
}

// selected returns the roots of the file, and what it selects of them by itself.
func (f *configFlags) selected(ctx context.Context) (from relocate.Source, sel relocate.Selection, err error) {
	if from, err = f.source(); err != nil {
		return from, sel, err
	}
	var opt relocate.Options
	platforms := platformFlags{platforms: texts(f.file.Platforms), mode: f.file.PlatformMode}
	platforms.set(&opt)
	cluster := renderFlags{kubernetes: f.file.Cluster.Kubernetes}
	opt.Selection.Roots, err = f.choices(ctx, from.Bundles, nil, cluster.version())
	return from, opt.Selection, err
}

// choices returns what is chosen of the bundles of the file: by those of the given flags that the
// command line has, if any, and else by the file.
func (f *configFlags) choices(ctx context.Context, bundles []name.Reference, given *selectionFlags, kubernetes string) (map[string]choose.Choice, error) {
	choices := map[string]choose.Choice{}
	for i, root := range f.file.Roots {
		if root.Image != "" || root.Manifests != nil || len(choices) == len(bundles) { // a lock may list images
			continue
		}
		of, at := f.file.Choose, "choose"
		if root.Choose != nil {
			of, at = *root.Choose, fmt.Sprintf("roots[%d].choose", i)
		}
		flags := given.over(of, f.file.Cluster, func(flag string) bool { return given != nil && f.flags.Changed(flag) })
		if err := flags.check(ctx, kubernetes); err != nil {
			return nil, &crossing.Error{File: f.path, Line: f.file.Line(at), Field: at, Err: err}
		}
		choices[bundles[len(choices)].Name()] = flags.choice
	}
	return choices, nil
}

// choose finds out what is chosen of single roots that are read from their registries.
func (f *configFlags) choose(ctx context.Context, given *selectionFlags, kubernetes string) error {
	if !f.choosesOfRoots() {
		return nil
	}
	from, err := f.source()
	if err == nil {
		f.sel.Roots, err = f.choices(ctx, from.Bundles, given, kubernetes)
	}
	return err
}

// set sets what the file selects, where the command has no flags for it.
func (f *configFlags) set(opt *relocate.Options) {
	for _, choice := range f.sel.Roots {
		if !choice.IsZero() {
			opt.Selection.Choice, opt.Selection.Roots = choose.Choice{}, f.sel.Roots
		}
	}
	if f.flags != nil && f.flags.Lookup("platform") == nil {
		opt.Selection.Platforms, opt.Selection.Derive = f.sel.Platforms, f.sel.Derive
	}
}
