package diff

import (
	"cmp"
	"context"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
)

// version is a version of a package, and the part of a side that has it.
type version struct {
	*carvel.Package
	part *Part
}

// packages returns the packages of a side by name, each with its versions, newest first, each once.
func (h *holding) packages() map[string][]version {
	byName := map[string][]version{}
	for i := range h.Parts {
		part := &h.Parts[i]
		for j := range part.Graph.Packages {
			p := &part.Graph.Packages[j]
			byName[p.Name] = append(byName[p.Name], version{p, part})
		}
	}
	for name, list := range byName {
		slices.SortStableFunc(list, func(a, b version) int {
			return cmp.Or(carvel.CompareVersions(b.Version, a.Version), cmp.Compare(a.Version, b.Version))
		})
		byName[name] = slices.CompactFunc(list, func(a, b version) bool { return a.Version == b.Version })
	}
	return byName
}

// pair is two versions whose Packages are compared: two contents of one version, or a version that is
// added and the newest one of A that is older.
type pair struct{ was, is version }

// comparePackages compares the packages of two sides, and returns those that differ.
func comparePackages(ctx context.Context, was, is *holding) ([]Package, error) {
	had, has := was.packages(), is.packages()
	names := slices.Sorted(maps.Keys(has))
	for name := range had {
		if has[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	read := &reader{bundles: map[repository]*documents{}}
	pairs := map[string][]pair{}
	for _, name := range names {
		pairs[name] = pairsOf(had[name], has[name])
		for _, p := range pairs[name] {
			read.want(p.was)
			read.want(p.is)
		}
		if stateOf(had[name], has[name]) == Differs && had[name][0].Repository != has[name][0].Repository { // for the metadata
			read.want(had[name][0])
			read.want(has[name][0])
		}
	}
	if err := read.all(ctx); err != nil {
		return nil, err
	}
	list := []Package{}
	for _, name := range names {
		p := Package{Name: name, State: stateOf(had[name], has[name]), Added: without(has[name], had[name]), Removed: without(had[name], has[name])}
		for _, pair := range pairs[name] {
			if err := p.compare(ctx, read, pair); err != nil {
				return nil, err
			}
		}
		if p.State == Differs {
			p.Metadata = read.metadata(had[name][0]).differ(read.metadata(has[name][0]))
		}
		if len(p.Added)+len(p.Removed)+len(p.Changed)+len(p.Metadata) > 0 {
			list = append(list, p)
		}
	}
	return list, nil
}

func stateOf(had, has []version) State {
	switch {
	case had == nil:
		return Added
	case has == nil:
		return Removed
	}
	return Differs
}

// without returns the versions of list that other does not have.
func without(list, other []version) (versions []string) {
	for _, v := range list {
		if !slices.ContainsFunc(other, v.isVersion) {
			versions = append(versions, v.Version)
		}
	}
	return versions
}

func (v version) isVersion(other version) bool { return v.Version == other.Version }

// pairsOf returns the versions to compare, newest first. What comes from one repository is equal.
func pairsOf(had, has []version) (pairs []pair) {
	for _, is := range has {
		at := slices.IndexFunc(had, is.isVersion)
		if at < 0 {
			at = slices.IndexFunc(had, func(was version) bool { return carvel.CompareVersions(was.Version, is.Version) < 0 })
		}
		if at >= 0 && had[at].Repository != is.Repository {
			pairs = append(pairs, pair{had[at], is})
		}
	}
	return pairs
}

// compare compares two versions of the package.
func (p *Package) compare(ctx context.Context, read *reader, v pair) error {
	was, is := read.version(v.was), read.version(v.is)
	if v.was.isVersion(v.is) {
		fields := was.fields.differ(is.fields)
		if !slices.Equal(v.was.content(), v.is.content()) {
			fields = append(fields, "content")
		}
		if len(fields) == 0 {
			return nil
		}
		p.Changed = append(p.Changed, Changed{v.is.Version, fields})
	}
	values, err := compareValues(ctx, v, was.schema, is.schema)
	if values != nil {
		p.Values = append(p.Values, *values)
	}
	return err
}

// content is the digests of what a version fetches.
func (v version) content() (list []v1.Hash) {
	for _, f := range v.Fetches {
		list = append(list, f.Digest)
	}
	return list
}
