// Package diff compares what two sides hold: the packages and their versions, the values that they take,
// images and bytes. Compare is the function to call; its Report is the JSON of the command diff.
//
// What is compared is content, by digest. Where it was found, and the tags that it has there, do not matter:
// a repository and its relocated copy are equal.
package diff

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/report"
)

// Side is one of the two that are compared: what its parts hold together.
type Side struct {
	Name  string // of a file, or a reference
	Kind  Kind
	Parts []Part
}

// Kind says what a Side is.
type Kind string

// The kinds of a Side.
const (
	Archive   Kind = "archive"
	Registry  Kind = "registry"
	Inventory Kind = "inventory"
)

// Version is that of the JSON of this package. Within a version fields are added, never renamed or
// removed.
const Version = 1

// Report says what differs between A and B. What only B has is added, what only A has is removed.
type Report struct {
	Version     int       `json:"version"`
	Equal       bool      `json:"equal"` // both hold the same roots, manifests, configs and layers
	A           Subject   `json:"a"`
	B           Subject   `json:"b"`
	DigestsOnly bool      `json:"digestsOnly,omitempty"` // one of them is an inventory: packages were not compared
	Packages    []Package `json:"packages"`              // that differ, by name
	Images      Images    `json:"images"`
	Blobs       Blobs     `json:"blobs"`
	Carry       Amount    `json:"carry"` // of B, to where A is: all manifests, configs and bundles, and the layers that A does not have
}

// Counts counts the packages and versions that differ.
func (r *Report) Counts() (packages, versions Count) {
	for _, p := range r.Packages {
		switch p.State {
		case Added:
			packages.Added++
		case Removed:
			packages.Removed++
		default:
			packages.Changed++
		}
		versions.Added += len(p.Added)
		versions.Removed += len(p.Removed)
		versions.Changed += len(p.Changed)
	}
	return packages, versions
}

// Kinds says how many manifests of each kind only one side has. Kinds without any are left out.
func (r *Report) Kinds() (list []KindCount) {
	for _, k := range []KindCount{{Of: "bundles"}, {Of: "indexes"}, {Of: "images"}, {Of: "attachments"}, {Of: "manifests"}} {
		count := func(images []Image) (n int) {
			for _, i := range images {
				if kindNames[i.Kind] == k.Of {
					n++
				}
			}
			return n
		}
		if k.Added, k.Removed = count(r.Images.Added), count(r.Images.Removed); k.Added+k.Removed > 0 {
			list = append(list, k)
		}
	}
	return list
}

// KindCount counts manifests of a kind.
type KindCount struct {
	Of             string // several of them: "bundles"
	Added, Removed int
}

var kindNames = map[bundle.Kind]string{bundle.Bundle: "bundles", bundle.Index: "indexes", bundle.Plain: "images", bundle.Attached: "attachments", "": "manifests"}

// Count counts things that differ.
type Count struct{ Added, Removed, Changed int }

// String is "1 added, 2 removed, 3 changed".
func (c Count) String() string {
	return fmt.Sprintf("%d added, %d removed, %d changed", c.Added, c.Removed, c.Changed)
}

// Subject describes a Side.
type Subject struct {
	Name   string        `json:"name"`
	Kind   Kind          `json:"kind"`
	Roots  []report.Root `json:"roots"`
	Blobs  Amount        `json:"blobs"`            // distinct: manifests, configs and layers
	Unread bool          `json:"unread,omitempty"` // it may have packages that are not listed: files below packages/ could not be read in full
}

// Package is a package that differs. One that only one side has lists only versions that are added, or
// removed.
type Package struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	Added    []string  `json:"added,omitempty"`    // versions, newest first
	Removed  []string  `json:"removed,omitempty"`  // likewise
	Changed  []Changed `json:"changed,omitempty"`  // likewise
	Metadata []string  `json:"metadata,omitempty"` // the fields of the PackageMetadata's spec that differ
	Values   []Values  `json:"values,omitempty"`
}

// State says which side has a package.
type State string

// The states of a package.
const (
	Added   State = "added"   // only B has it
	Removed State = "removed" // only A has it
	Differs State = "changed"
)

// Changed is a version that both sides have, with different content.
type Changed struct {
	Version string   `json:"version"`
	Fields  []string `json:"fields"` // of the Package's spec, and "content": what it fetches has another digest
}

// Values says how the values that a package takes differ between two of its versions: a version that is
// added and the newest of A that is older, or the two contents of a version that changed.
type Values struct {
	From    string         `json:"from"`
	To      string         `json:"to"`
	Added   []carvel.Value `json:"added,omitempty"` // by key
	Removed []carvel.Value `json:"removed,omitempty"`
	Changed []ChangedValue `json:"changed,omitempty"`
	Unknown string         `json:"unknown,omitempty"` // why the values of one of them are not known
}

// ChangedValue is a value with another default or type.
type ChangedValue struct {
	Key string       `json:"key"`
	Was carvel.Value `json:"was"`
	Is  carvel.Value `json:"is"`
}

// Images are the manifests that only one side has.
type Images struct {
	Added   []Image `json:"added"` // in graph order
	Removed []Image `json:"removed"`
}

// Image is a manifest of any kind.
type Image struct {
	Digest v1.Hash     `json:"digest"`
	Kind   bundle.Kind `json:"kind,omitempty"` // empty in an inventory
	Name   string      `json:"name,omitempty"` // the first of its references; empty in an inventory
	// Package is the name and the version of the first package that needs it; empty for none.
	Package string `json:"package,omitempty"`
	Size    int64  `json:"size"` // of the manifest and its own blobs; in an inventory of the manifest alone
}

// Blobs are distinct manifests, configs and layers.
type Blobs struct {
	Added   Amount `json:"added"`
	Removed Amount `json:"removed"`
	Same    Amount `json:"same"`
}

// Amount counts blobs.
type Amount struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (a *Amount) add(size int64) {
	a.Blobs++
	a.Bytes += size
}
