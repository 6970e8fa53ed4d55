package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/text"
)

// Verdict says whether something is as it should be, and what is wrong with it. The zero value is
// about nothing. The caller fills in what was found and calls Judge; text, JSON, JUnit and pages
// are made from it.
type Verdict struct {
	Act        string // such as "Verification": what a page is a report of
	Subject    string // the archive, the repository, or the file with objects
	Repository string // that was filled, or that objects were compared with
	Level      string // at which a repository was checked: manifests, blobs or deep; empty for an archive

	Archive   *Archive
	Signature *Signature // of the archive; nil: none was asked for
	Roots     []Root
	Tags      []string // of the roots, in the repository
	Contents  *Contents
	Scan      *Scan // how much was searched for references that point outside; nil when nothing was
	Unread    int   // roots that are not bundles: their content was not read

	Problems []Problem
	Rows     []Row // of a repository: what was checked
	Findings Findings
	Accepted Findings // that are known and are not a reason to fail
	Omitted  []Omitted
	Bases    []Base     // of which the archive assumes layers
	Selected []Selected // what was chosen of the roots from which packages were chosen
	Replaced []Replaced // by others, for some platforms

	Attached        []Attachment // what is attached to images and was carried
	Bare            []string     // images that are listed and have nothing attached
	Unseen          []Unseen     // what may be attached, and was not carried
	AttachedNote    string       // where attachments were looked for
	AcceptedLeftOut []Attachment // attachments that an import left out, which is known; not looked for

	Pinned bool   // a seal or a root was given to compare with
	Strict bool   // findings that break an install or a pull are a reason to fail
	Fix    string // what fixes problems

	Objects *ObjectCounts // of the objects of a cluster; nil for all other verdicts

	// A rehearsal is of an import and of two verifications: of the repository and of the
	// PackageRepository.
	Import            any      // the result of the copy, for JSON
	Registry          any      // what the registry holds then, for JSON
	Verify            *Verdict // of the repository; nil for all other verdicts
	PackageRepository *Verdict // nil when the archive has none
	Connections       []string // hosts that were asked for, by name

	// What Judge sets, or the caller for another act.
	OK        bool
	Sentence  string   // without "OK" before it and without a full stop
	Hint      string   // what to do when it is not OK
	Proved    []string // sentences in lower case
	NotProved []string // what is not proved, likewise
	Notes     []string // beside the verdict
}

// Word returns "OK", "NOT CLOSED" (complete, but with findings that break an install or a pull) or
// "NOT OK".
func (v *Verdict) Word() string {
	switch {
	case !v.OK:
		return "NOT OK"
	case v.Findings.Breaking() > 0:
		return "NOT CLOSED"
	}
	return "OK"
}

// Damaged reports whether a problem is damage.
func (v *Verdict) Damaged() bool {
	for _, p := range v.Problems {
		if p.Kind == Damaged {
			return true
		}
	}
	return false
}

// What is wrong with something.
const (
	Missing   = "missing"   // it is not present
	Damaged   = "damaged"   // its content is wrong
	Different = "different" // something else is in its place
)

// Problem is one thing that is not as it should be.
type Problem struct {
	Kind   string   `json:"kind"`
	What   string   `json:"what"`             // such as "blob sha256:…" or "tag 1.0.0"
	Images []string `json:"images,omitempty"` // references of what needs it, sorted
	Reason string   `json:"reason"`
}

// Row counts the checks of one kind of thing.
type Row struct {
	Of      string `json:"of"` // manifests, tags, locations images, attachments, layers
	Checked int    `json:"checked"`
	Wrong   int    `json:"wrong"` // of them
}

// Archive is an archive that was read or written.
type Archive struct {
	File string  `json:"file"`
	Size int64   `json:"size"`
	Form string  `json:"form"`          // relocate or imgpkg
	Seal v1.Hash `json:"seal,omitzero"` // imgpkg's format has none

	Volumes *Volumes `json:"volumes,omitempty"` // nil where it is in one file

	Zeros  int64 `json:"zerosAfter,omitempty"`  // bytes after its end, which were ignored
	Unread bool  `json:"unreadAfter,omitempty"` // it is on a device, where nothing after its end was read
}

// After says what is known of what follows the end of the archive, and what is not; empty for nothing.
func (a *Archive) After() (ignored, unread string) {
	if a.Zeros > 0 {
		ignored = fmt.Sprintf("%s after its end, at byte %d, ignored", text.Count(int(a.Zeros), "zero byte"), a.Size)
	}
	if a.Unread {
		unread = fmt.Sprintf("what follows the archive on the device, from byte %d on: it was not read", a.Size)
	}
	return ignored, unread
}

// Volumes are the files into which an archive is cut.
type Volumes struct {
	Count  int   `json:"count"`  // without those for parity
	Size   int64 `json:"size"`   // bytes of each but the last
	Parity int   `json:"parity"` // as many can be lost
}

// String says how many there are: "5 of at most 1.0 GB, and 2 for parity".
func (v Volumes) String() string {
	s := fmt.Sprintf("%d of at most %s", v.Count, text.Size(v.Size))
	if v.Parity > 0 {
		s += fmt.Sprintf(", and %d for parity", v.Parity)
	}
	return s
}

// SealText is what people see of the seal.
func (a *Archive) SealText() string {
	if a.Seal == (v1.Hash{}) {
		return "none (imgpkg's format)"
	}
	return a.Seal.String()
}

// Root is what an archive was made of, or a repository was verified from.
type Root struct {
	Reference string  `json:"reference"`
	Digest    v1.Hash `json:"digest"`

	Derived *Derived `json:"derived,omitempty"` // nil unless relocate derived it from another bundle

	Manifests string `json:"manifests,omitempty"` // name of the plain manifests that it carries; empty for all others
}

// Derived says what a root was derived from. Signatures of that do not apply to the root.
type Derived struct {
	From   v1.Hash         `json:"from"`
	Choice json.RawMessage `json:"choice,omitempty"` // of packages; empty for all

	Platforms string `json:"platforms,omitempty"` // of images, with blanks between; empty for all
}

// String says what the root was derived from, by which choice, and for which platforms.
func (d Derived) String() string {
	s := d.From.String()
	if len(d.Choice) > 0 {
		s += " by the choice of " + ChoiceWords(d.Choice)
	}
	if d.Platforms != "" {
		s += " for " + text.Line(strings.ReplaceAll(d.Platforms, " ", ", "))
	}
	return s
}

// String names the root and its digest: "registry/path:tag is sha256:…".
func (r Root) String() string {
	if strings.HasSuffix(r.Reference, r.Digest.String()) {
		return text.Line(r.Reference)
	}
	return fmt.Sprintf("%s is %s", text.Line(r.Reference), r.Digest)
}

// Pinned names the root with its digest: "registry/path:tag@sha256:…".
func (r Root) Pinned() string {
	if strings.HasSuffix(r.Reference, r.Digest.String()) {
		return r.Reference
	}
	return r.Reference + "@" + r.Digest.String()
}

// Contents counts what an archive or a repository holds.
type Contents struct {
	Packages        int   `json:"packages"` // names
	PackageVersions int   `json:"packageVersions"`
	Bundles         int   `json:"bundles"`
	Images          int   `json:"images"` // children of indexes included
	Indexes         int   `json:"indexes"`
	Attachments     int   `json:"attachments"` // images and artifacts that are carried only because they are attached
	Manifests       int   `json:"manifests"`
	Blobs           int   `json:"blobs"` // distinct, manifests included
	Bytes           int64 `json:"bytes"`
}

// String is one line: "3 versions of 2 packages, 5 bundles, 6 images".
func (c Contents) String() string {
	s := fmt.Sprintf("%s of %s, %s, %s", text.Count(c.PackageVersions, "version"), text.Count(c.Packages, "package"),
		text.Count(c.Bundles, "bundle"), text.Count(c.Images, "image"))
	if c.Indexes > 0 {
		s += ", " + text.Count(c.Indexes, "index")
	}
	if c.Attachments > 0 {
		s += ", " + text.Count(c.Attachments, "attachment")
	}
	return s
}

// Omitted is a blob that is named but not carried.
type Omitted struct {
	Digest    v1.Hash `json:"digest"`
	Size      int64   `json:"size"`
	MediaType string  `json:"mediaType"`
	Image     string  `json:"image"` // reference
	Reason    string  `json:"reason"`
	Platform  string  `json:"platform,omitempty"` // of a child of an index, such as linux/arm64, where the index says one
}

// Values of Omitted.Reason.
const (
	NonDistributable = "non-distributable" // a layer of a foreign type
	OtherPlatform    = "platform"          // a child of an index, for a platform that was not chosen
)

// OmittedLayers returns those of a list that are layers.
func OmittedLayers(list []Omitted) []Omitted {
	return slices.DeleteFunc(slices.Clone(list), func(o Omitted) bool { return o.Reason == OtherPlatform })
}

// OmittedImages returns those of a list that are children of indexes.
func OmittedImages(list []Omitted) []Omitted {
	return slices.DeleteFunc(slices.Clone(list), func(o Omitted) bool { return o.Reason != OtherPlatform })
}

// Base is something that the destination has, and of which an archive assumes layers.
type Base struct {
	Kind   string  `json:"kind"`            // archive or inventory
	Digest v1.Hash `json:"digest"`          // the seal of an archive; the SHA-256 of an inventory
	Roots  []Root  `json:"roots,omitempty"` // of an archive
	Layers int     `json:"layers"`          // that are assumed of it
	Bytes  int64   `json:"bytes"`           // of them
}

// String says what is assumed: "3 layers (1.2 GB) of archive sha256:… of registry/path:tag".
func (b Base) String() string {
	s := fmt.Sprintf("%s (%s) of %s %s", text.Count(b.Layers, "layer"), text.Size(b.Bytes), b.Kind, b.Digest)
	for i, root := range b.Roots {
		s += []string{" of ", ", "}[min(i, 1)] + text.Line(root.Reference)
	}
	return s
}

// Attachment is something that is attached to an image.
type Attachment struct {
	Image   string  `json:"image,omitempty"` // reference of the subject; empty when it is not known
	Subject v1.Hash `json:"subject"`
	Digest  v1.Hash `json:"digest"`
	Tag     string  `json:"tag,omitempty"` // empty: it names its subject itself
}

// Unseen is something that is or may be attached to an image, and is not carried.
type Unseen struct {
	Reference string `json:"reference"` // of a repository, or of one manifest
	What      string `json:"what"`      // tags or referrers of a repository, or a manifest
	Reason    string `json:"reason"`
}

// String says what was not seen.
func (u Unseen) String() string {
	switch {
	case u.What == "tags":
		return u.Reference + " refused to list its tags: it may have signatures"
	case u.What == "referrers":
		return u.Reference + " refused to list the referrers of its images: it may have signatures"
	}
	return u.Reference + map[string]string{
		"refused":       " was refused",
		"gone":          " is listed but was not found",
		"unreadable":    " is not a manifest that can be copied",
		"other-subject": " is listed but names another subject",
		"circular":      " is attached to itself",
		"incomplete":    " is left out: a part of it is missing or damaged",
		"second":        " is left out: another one is copied under its tag",
	}[u.Reason]
}

// Scan counts what was searched for references that point outside.
type Scan struct {
	Packages         int `json:"packages"`                 // versions
	PackageInstalls  int `json:"packageInstalls"`          // in bundles
	WithoutSecret    int `json:"withoutSecret"`            // of these, and of PackageRepositories and Apps in bundles, those that fetch images and name no Secret
	Bundles          int `json:"bundles"`                  // that were read, repositories among them
	Files            int `json:"files"`                    // of package bundles, and inline, that were examined
	PackagesRendered int `json:"packagesRendered"`         // versions
	PackagesAsText   int `json:"packagesAsText"`           // versions of which only the text of files was examined
	References       int `json:"references"`               // fetches of Packages, and references in files
	Inside           int `json:"inside"`                   // of these, those that point to what is carried
	PlainManifests   int `json:"plainManifests,omitempty"` // sets of Kubernetes manifests
	Manifests        int `json:"manifests"`                // distinct ones that locks and references lead to

	IDs      int `json:"ids"`      // of the locks of package bundles
	IDsFound int `json:"idsFound"` // of these, those that occur in a file of the bundle

	More int `json:"more,omitempty"` // findings beyond 10,000 warnings and 10,000 others
}

// Closed reports whether there is something that could point outside: Packages or plain manifests.
func (s *Scan) Closed() bool { return s.Packages+s.PlainManifests > 0 }

// Places says what was examined: "3 package versions and their files, and 1 set of plain manifests".
func (s *Scan) Places() string {
	sets := text.Count(s.PlainManifests, "set") + " of plain manifests"
	packages := text.Count(s.Packages, "package version") + " and their files"
	switch {
	case s.PlainManifests == 0:
		return packages
	case s.Packages == 0:
		return sets
	}
	return packages + ", and " + sets
}

// Rendering says of how many package versions it was seen what they deploy: "rendered 3 of 4 package
// versions, examined 1 as text only". It is empty when there are none.
func (s *Scan) Rendering() string {
	all := s.PackagesRendered + s.PackagesAsText
	if all == 0 {
		return ""
	}
	says := fmt.Sprintf("rendered %d of %s", s.PackagesRendered, text.Count(all, "package version"))
	if s.PackagesAsText > 0 {
		says += fmt.Sprintf(", examined %d as text only", s.PackagesAsText)
	}
	return says
}

// ObjectCounts counts objects of a cluster, and the references in them.
type ObjectCounts struct {
	Objects    int `json:"objects"`
	References int `json:"references"` // that objects have; one that comes twice counts twice
	Inside     int `json:"inside"`     // of them, those that the repository has
	Allowed    int `json:"allowed"`    // of them, those that may be elsewhere; no registry was asked for them
	Running    int `json:"running"`    // containers whose image, by the node, is the one that is named

	Rendered    int `json:"rendered"`    // PackageInstalls that were rendered with their values
	NotRendered int `json:"notRendered"` // those that were not
}

// String is one line, for people.
func (c ObjectCounts) String() string {
	s := fmt.Sprintf("%s: %d in the repository, %d allowed elsewhere; %s compared with what the nodes run",
		text.Count(c.References, "reference"), c.Inside, c.Allowed, text.Count(c.Running, "container"))
	if says := c.Rendering(); says != "" {
		s += "; " + says
	}
	return s
}

// Rendering says how many PackageInstalls were rendered: "rendered 3 of 4 PackageInstalls". It is empty
// when there are none.
func (c ObjectCounts) Rendering() string {
	n := c.Rendered + c.NotRendered
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("rendered %d of %s", c.Rendered, text.Count(n, "PackageInstall"))
}
