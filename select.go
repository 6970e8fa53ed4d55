package relocate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/choose"
	"relocate/oci"
	"relocate/report"
)

// Selection says what of the roots is carried. The zero value carries everything.
type Selection struct {
	Choice choose.Choice            // of the packages of each root that is a package repository
	Roots  map[string]choose.Choice // in place of Choice: of single roots, by their complete references

	Platforms []v1.Platform // of the children of indexes; empty: all
	Derive    bool          // other indexes and bundles are made for Platforms; otherwise indexes stay as they are
}

// of returns the choice for a root.
func (s Selection) of(root name.Reference) choose.Choice {
	if len(s.Roots) > 0 {
		return s.Roots[root.Name()]
	}
	return s.Choice
}

// Root returns the name that the selection gives to what it makes of a root: the root's own where
// packages are not chosen of it, or it is no package repository.
func (s Selection) Root(root name.Reference) name.Reference {
	choice := s.of(root)
	if choice.IsZero() {
		return root
	}
	if tag, ok := root.(name.Tag); ok {
		return root.Context().Tag(choice.Tag(tag.TagStr()))
	}
	return root.Context().Tag(choice.TagOf(root.Identifier()))
}

// Named reports whether a root may have the name ref after the selection: its own where nothing was
// made of it, or that of what was made.
func (s Selection) Named(root, ref name.Reference) bool {
	if d, ok := ref.(name.Digest); ok && s.trims() && s.trimmed(root, oci.HashOf(d)).Name() == ref.Name() {
		return true
	}
	return slices.ContainsFunc(s.Names(root), func(n name.Reference) bool { return n.Name() == ref.Name() })
}

// Names returns the names that a root may have after the selection: that of what is made of it for the
// platforms, that of what is chosen of it, and its own. A digest that is not known in advance is left out.
func (s Selection) Names(root name.Reference) []name.Reference {
	list := []name.Reference{s.Root(root), root}
	if _, tagged := root.(name.Tag); s.trims() && (tagged || !s.of(root).IsZero()) {
		list = append([]name.Reference{s.trimmed(root, v1.Hash{})}, list...)
	}
	return slices.CompactFunc(list, func(a, b name.Reference) bool { return a.Name() == b.Name() })
}

// chooses reports whether packages are chosen.
func (s Selection) chooses() bool {
	for _, c := range s.choices() {
		if !c.IsZero() {
			return true
		}
	}
	return false
}

// choices returns the choices, sorted by root.
func (s Selection) choices() []choose.Choice {
	list := []choose.Choice{s.Choice}
	for _, root := range slices.Sorted(maps.Keys(s.Roots)) {
		list = append(list, s.Roots[root])
	}
	return list
}

// check refuses a selection that has no meaning.
//
// Errors: ErrOptions.
func (s Selection) check() error {
	if !s.Choice.IsZero() && len(s.Roots) > 0 {
		return optionsf("the selection has a choice for all roots, and choices for single ones")
	}
	for _, c := range s.choices() {
		if err := c.Check(); err != nil {
			return optionsError{err}
		}
	}
	return nil
}

// request returns what is selected of roots, for an export that resumes.
func (s Selection) request(roots []name.Reference) (list []string) {
	for _, ref := range roots {
		if c := s.of(ref); !c.IsZero() {
			words := report.ChoiceWords(json.RawMessage(c.String()))
			list = append(list, fmt.Sprintf("the choice of %s, from %s (%s)", words, ref.Name(), c.Tag("")))
		}
	}
	return append(list, s.platforms()...)
}
