package bundle

import (
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/report"
)

// want is a manifest that the graph needs, and its node once it is found.
type want struct {
	ref      name.Reference   // the first reference to it
	name     string           // of ref
	names    []string         // all references to it, except those of indexes
	by       *want            // the parent; nil for a root
	tries    []name.Reference // places to try, in order
	desc     *v1.Descriptor   // of it in an index
	group    *group           // the lock entries of one bundle, with one order of places
	platform string           // of it in an index
	fetch    bool             // a Package names it, not a lock or an index
	pkg      string           // that Package, by name and version

	platforms []string // of the children of an index that are chosen by their platform

	found    *Node
	next     []*want
	packages packageFiles
	err      *MissingError
	unread   error // what of it could not be read, see WalkOptions.Incomplete
}

// wantedBy names what needs x, for an error; empty for a root.
func (x *want) wantedBy() string {
	if x.by == nil {
		return ""
	}
	return ", referenced by " + x.by.name
}

// neededBy returns the name and version of the Package whose bundle needs x; empty for none.
func (x *want) neededBy() string {
	for ; x.by != nil; x = x.by {
		if x.pkg != "" {
			return x.pkg
		}
		d := x.ref.Identifier()
		if x.found != nil {
			d = x.found.Descriptor.Digest.String()
		}
		fetches := func(f carvel.Fetch) bool { return f.Digest.Hex != "" && f.Digest.String() == d }
		for _, p := range x.by.packages.packages {
			if slices.ContainsFunc(p.Fetches, fetches) {
				return nameOf(&p)
			}
		}
	}
	return ""
}

// nameOf returns the name and version of a Package, shortened for a message.
func nameOf(p *carvel.Package) string { return text.Clip(p.Name+" "+p.Version, 200) }

// group is the lock entries of one bundle. Where its first entry is found decides where the others are
// tried first.
type group struct {
	first        *want
	inBundleRepo bool          // the first entry was found in the bundle's own repository
	decided      chan struct{} // closed when inBundleRepo is known
}

// maxTries is the limit on the places that are tried for a manifest which many locks name.
const maxTries = 64

// merge adds the names and places of another want for the same manifest. Places are not needed once the
// manifest is found.
func (x *want) merge(other *want) {
	x.names = append(x.names, other.names...)
	if x.found != nil {
		return
	}
	for _, ref := range other.tries {
		if len(x.tries) < maxTries && !slices.ContainsFunc(x.tries, func(r name.Reference) bool { return r.Name() == ref.Name() }) {
			x.tries = append(x.tries, ref)
		}
	}
}

// wantLocked adds the lock's entries to x.next. An entry that the locations image lists is tried in the
// bundle's own repository first, others at the reference in the lock.
func (x *want) wantLocked(lock *carvel.ImagesLock, local map[string]bool) {
	own := x.found.From
	g := &group{decided: make(chan struct{})}
	smallest := map[string]int{} // digest → index in Locked
	for _, e := range lock.Images {
		d := e.Image.DigestStr()
		if i, ok := smallest[d]; !ok {
			smallest[d] = len(x.found.Locked)
			x.found.Locked = append(x.found.Locked, e.Image)
		} else if e.Image.Name() < x.found.Locked[i].Name() {
			x.found.Locked[i] = e.Image
		}
		next := &want{ref: e.Image, name: e.Image.Name(), by: x, tries: []name.Reference{e.Image}}
		if e.Image.Context().Name() != own.Name() {
			next.tries = append(next.tries, own.Digest(d))
			if local[d] {
				slices.Reverse(next.tries)
			} else {
				next.group = g
			}
		}
		x.next = append(x.next, next)
	}
}

// wantFetched adds to x.next what the Packages of a repository bundle fetch and the lock does not cover.
// Package leak reports whether kapp-controller can fetch it after relocation.
func (x *want) wantFetched(lock *carvel.ImagesLock, has func(name.Reference) bool) {
	ids := map[string]v1.Hash{}
	for _, e := range lock.Images {
		if id := e.Annotations[carvel.KbldID]; ids[id] == (v1.Hash{}) { // the first entry counts
			ids[id] = oci.HashOf(e.Image)
		}
	}
	for _, p := range x.packages.packages {
		for i := range p.Fetches {
			x.wantFetch(&p, &p.Fetches[i], ids, has)
		}
	}
}

// wantFetch is wantFetched for one fetch step of p. ids has what the lock covers; has is
// WalkOptions.Has.
func (x *want) wantFetch(p *carvel.Package, f *carvel.Fetch, ids map[string]v1.Hash, has func(name.Reference) bool) {
	note := func(code report.Code, level report.Level, message string) {
		x.packages.findings = append(x.packages.findings, report.Finding{Code: code, Level: level, Package: nameOf(p),
			File: p.File, Line: f.Line, Message: message})
	}
	id, covered := ids[f.Reference]
	switch {
	case f.Kind == "":
		note(codeNotRead, report.Warning, "has a fetch step of an unknown kind")
	case f.Kind != "imgpkgBundle" && f.Kind != "image", f.TagSelection, f.Reference == "", len(f.Reference) > oci.MaxReference:
	case f.Kind == "imgpkgBundle" && covered:
		f.Digest = id
	default:
		ref, err := name.ParseReference(f.Reference)
		if err != nil || oci.CheckPath(ref.Context()) != nil {
			return
		}
		if has != nil && !has(ref) {
			note(codeNotCarried, report.Install, "fetches "+f.Reference+", which no lock entry covers: it is not in the archive")
			return
		}
		if d, ok := ref.(name.Digest); ok {
			f.Digest = oci.HashOf(d)
		}
		next := x.fetched(ref)
		next.pkg = nameOf(p)
		x.next = append(x.next, next)
	}
}

// fetched returns a want for a reference in a Package. It is tried where the reference says and, if it has
// a digest, in the bundle's own repository.
func (x *want) fetched(ref name.Reference) *want {
	next := &want{ref: ref, name: ref.Name(), by: x, tries: []name.Reference{ref}, fetch: true}
	if d, ok := ref.(name.Digest); ok {
		if own := x.found.From.Digest(d.DigestStr()); own.Name() != ref.Name() {
			next.tries = append(next.tries, own)
		}
	}
	return next
}
