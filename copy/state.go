package copy

import (
	"slices"

	"relocate/bundle"
)

// state is what is known of one manifest.
type state struct {
	node     *bundle.Node
	blob     bundle.Blob // the manifest itself
	present  bool        // the destination has it under its name
	waits    int         // blobs, children and subjects that are not complete yet
	complete bool        // it and everything below it is present
	located  bool        // its locations image is present
	leftOut  error       // of an attachment, or a child of one: why it is left out
	parents  []*state
	circular []*state // bundles that fetch it and do not wait for it, because it may need them
	attached []*state // manifests that are attached to it, and wait for it
}

// wantsLocations reports whether it has a locations image at a destination.
func (s *state) wantsLocations() bool { return s.node.Kind == bundle.Bundle }

// withdraw notes that s is not complete after all, and with it everything above it.
func (s *state) withdraw() {
	if !s.complete {
		return // then nothing above it is, or it was withdrawn
	}
	s.complete = false
	for _, parent := range slices.Concat(s.parents, s.circular) {
		parent.withdraw()
	}
}
