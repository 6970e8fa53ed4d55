package relocate

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/report"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify/leak"
	"relocate/volume"
)

// Result is what a verb did. It is also returned beside two errors, and says what was done until
// then: a *copy.PartialError, and a *NotClosedError of an export that resumed. With all other
// errors it is nil.
type Result struct {
	Plan   *bundle.Plan // what was, or would be, copied
	Scan   *leak.Report // what would point outside; nil of Import unless a Secret is named
	Copied *copy.Result // nil of Plan
	Shard  *Shard       // of ImportShard: Plan has its blobs; nil of all others

	// Selected says what was chosen of the roots from which packages were chosen; of Export only where it
	// walked, and did not resume.
	Selected []report.Selected

	// Replaced says which indexes and bundles have other digests for the platforms of a Selection that
	// derives, in the order of the graph; of Export as Selected.
	Replaced []report.Replaced

	// Of Plan and of an archive that was written or read; zero where an export is not complete.
	Size   int64 // bytes
	Seal   v1.Hash
	Format tarball.Format

	Cut       volume.Layout     // into volumes; zero where the archive is in one file
	Signature *report.Signature // of the archive that was read; nil: none was asked for

	// Of Export.
	Sealed    *Sealed    // what lies beside the archive; nil in imgpkg's format
	KeptBlobs int        // that an earlier run had fetched
	KeptBytes int64      // of them
	Moved     []MovedTag // tags that mean something else since the export began

	Reread int // blobs that were wrong when they were first read, and right when they were read again

	AtOnce int // requests to one registry that were under way together at most: to that which is written, if any

	// Of Import and Copy, where everything was copied.
	Tags              []string       // that the roots have at the destination
	Moves             []rewrite.Move // what each reference is at the destination
	PackageRepository []byte         // YAML for kubectl apply; empty when no root is a bundle with packages/
	Lock              []byte         // the BundleLock, or the ImagesLock, of the destination
	NeedsLogin        bool           // the registry wants a login to read, and Destination names no Secret
}

// MovedTag is a tag that means something else since an export began.
type MovedTag struct {
	Reference string  `json:"reference"`
	Was       v1.Hash `json:"was"`          // what the export continues with
	Is        v1.Hash `json:"is,omitempty"` // zero when the registry did not say
	Reason    string  `json:"reason,omitempty"`
}
