package copy

import (
	"slices"

	"relocate/bundle"
)

// state is what is known of one manifest.
type state struct {
	node     *bundle.Node
	blob     bundle.Blob // the manifest itself
	there    bool        // the destination has it under its name
	waits    int         // blobs and children that are not there yet
	complete bool        // it and everything below it is there
	located  bool        // its locations image is there
	leftOut  error       // of an attachment, or a child of one: why it is not there, and need not be
	parents  []*state
	circular []*state // bundles whose Packages fetch it and that do not wait for it: it may need them
	attached []*state // what hangs on it and on nothing that was met before
}

// wantsLocations reports whether it has a locations image at a destination.
func (s *state) wantsLocations() bool { return s.node.Kind == bundle.Bundle }

// withdraw takes back that s is complete, and with it all that is above it.
func (s *state) withdraw() {
	if !s.complete {
		return // then nothing above it is, or it was withdrawn
	}
	s.complete = false
	for _, parent := range slices.Concat(s.parents, s.circular) {
		parent.withdraw()
	}
}
