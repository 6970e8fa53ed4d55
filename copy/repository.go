package copy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// Repository is a repository to fill, and a Source of what it has. It is safe for concurrent use.
// What registry.Client.Writer returns is one.
type Repository interface {
	bundle.Source

	// PutBlob stores the blob d, which open returns. It may call open again for another try, after
	// it has closed what open returned before. What open returns gives an error in place of its
	// last bytes when they do not match d; PutBlob returns such an error and does not store the
	// blob.
	PutBlob(ctx context.Context, d v1.Descriptor, open func(context.Context) (io.ReadCloser, error)) error

	// Resolve returns the digest of the manifest that id, a tag or a digest, stands for.
	//
	// Errors: fs.ErrNotExist.
	Resolve(ctx context.Context, id string) (v1.Hash, error)

	// HasBlob reports whether the repository says that it has the blob d.
	HasBlob(ctx context.Context, d v1.Descriptor) (bool, error)

	// ReadsBlob reports whether the blob d, with d's size, can be read from the repository.
	ReadsBlob(ctx context.Context, d v1.Descriptor) (bool, error)

	// PutManifest puts the manifest raw, which d describes, under tag, or by its digest when tag is
	// empty. When the repository refuses it because blobs are missing, the error has the method
	// MissingBlobs() (named []v1.Hash, missing bool).
	//
	// Errors: fs.ErrExist when the tag exists and may not be moved.
	PutManifest(ctx context.Context, d v1.Descriptor, raw []byte, tag string) error
}

// Trust says what proves that a repository has a blob.
type Trust string

const (
	TrustManifests Trust = "manifests" // a manifest proves that its config and layers are present, but no foreign layers
	TrustBlobs     Trust = "blobs"     // the repository is asked for each blob
	TrustNothing   Trust = "nothing"   // nothing does: everything is uploaded again
)

// Tag is a tag that a manifest is to have.
type Tag struct {
	Name   string
	Digest v1.Hash
}

// Options change what ToRepository does. The zero value copies one blob at a time and trusts
// manifests.
type Options struct {
	Jobs      int        // requests at once; 0 means 1
	Trust     Trust      // empty means TrustManifests
	Tags      []Tag      // of roots, put after everything else
	RepoTags  bool       // imgpkg's --repo-based-tags
	KeepGoing bool       // try everything, even after one blob failed
	Begun     bool       // a new repository, too, probably has blobs: ask for each
	Progress  func(Step) // must be safe for concurrent use; may be nil

	Attachments Attachments // which attachments to copy

	// AwaitBlobs is how long to wait for blobs that others upload, since the last one appeared, before those that
	// are missing are uploaded; 0: they are at once. With TrustNothing nobody is waited for.
	AwaitBlobs time.Duration
}

// Result counts what a copy did.
type Result struct {
	Manifests        int   `json:"manifests"` // uploaded
	ManifestsPresent int   `json:"manifestsThere"`
	Blobs            int   `json:"blobs"` // uploaded; a blob that was uploaded twice counts twice
	Bytes            int64 `json:"bytes"`
	BlobsPresent     int   `json:"blobsThere"`
	BytesPresent     int64 `json:"bytesThere"`
	Assumed          int   `json:"assumed,omitempty"` // layers that the plan assumes, and that the destination has
	AssumedBytes     int64 `json:"assumedBytes,omitempty"`
	Locations        int   `json:"locations"` // locations images uploaded
	LocationsPresent int   `json:"locationsThere"`
	Tags             int   `json:"tags"` // of roots, put
	TagsPresent      int   `json:"tagsThere"`
	Attached         int   `json:"attachments"` // tags of attachments put, and referrers listed
	AttachedPresent  int   `json:"attachmentsThere"`
	Merged           int   `json:"attachmentsMerged,omitempty"` // of Attached: merged with what others had put under the tag

	AttachmentsLeftOut  int       `json:"attachmentsLeftOut,omitempty"`
	AttachmentConflicts int       `json:"attachmentConflicts,omitempty"` // of these: something else has their tag, and keeps it
	LeftOut             []LeftOut `json:"leftOut,omitempty"`             // these attachments, in graph order

	Lacked *Lacked `json:"lacked,omitempty"` // with AwaitBlobs: what had not appeared, and was uploaded; nil: nothing
}

// ToRepository copies the plan from src into dst, a repository that may hold some of it already.
//
// It works from the leaves up. It puts an image's manifest when its blobs are present, an index
// when its children are, a bundle when all that its lock names and its Packages fetch is present;
// then the bundle's locations image and attachments, and the tags of roots last. A bundle does not
// wait for what may fetch it in turn; only the tags of roots wait for that. Every manifest gets
// imgpkg's default tag, except the children of an index, and referrers, which name their subjects
// themselves.
//
// What is already present is not uploaded again, as far as opt.Trust allows. Content that does not
// match its digest is read once more.
//
// What the plan assumes is read from dst before anything is written.
//
// Errors: *AssumedError; *PartialError with opt.KeepGoing, beside a Result: neither what needs a failed blob nor
// the tags of its roots were put; ErrUnaccounted; ErrContended with AttachAll; those of src and
// dst.
func ToRepository(ctx context.Context, plan *bundle.Plan, src bundle.Source, dst Repository, at name.Repository, opt Options) (*Result, error) {
	c := newFilling(plan, src, dst, at, opt)
	if err := c.ask(ctx); err != nil {
		return nil, err
	}
	if opt.AwaitBlobs > 0 && opt.Trust != TrustNothing {
		if err := c.await(ctx); err != nil {
			return nil, err
		}
	}
	return c.fill(ctx)
}

// fill puts what is not present.
func (c *filling) fill(ctx context.Context) (*Result, error) {
	c.schedule()
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	for _, s := range c.unlocated {
		s.withdraw()
	}
	c.withdrawCircular()
	if err := c.attach(ctx); err != nil {
		return nil, err
	}
	for _, tag := range c.opt.Tags {
		if !c.nodes[tag.Digest].complete {
			continue // what it needs is among the failures
		}
		if err := c.putTag(ctx, tag); err != nil {
			return nil, err
		}
	}
	c.reportLeftOut()
	if err := c.settle(); err != nil {
		return nil, err
	}
	result := c.result // alone: whoever keeps it does not keep the plan
	return &result, partial(c.inFileOrder(c.failures))
}

// withdrawCircular withdraws bundles that did not wait for what they fetch, where that is not
// complete. So no root that needs it gets its tag.
func (c *filling) withdrawCircular() {
	for _, n := range c.plan.Graph.Nodes {
		if s := c.nodes[n.Descriptor.Digest]; !s.complete {
			for _, parent := range s.circular {
				parent.withdraw()
			}
		}
	}
}

// filling is the state of one ToRepository or FromStream. It changes between the runs of jobs and
// in their done and failed functions only, never concurrently.
type filling struct {
	runner
	plan   *bundle.Plan
	src    bundle.Source
	dst    Repository
	at     name.Repository
	opt    Options
	nodes  map[v1.Hash]*state
	result Result

	counted []bool // by index in the plan's Blobs: layers and configs that are present, and counted
	again   int    // how many of result.Blobs are counted twice

	attached map[bundle.Attachment]bool  // that are attached
	leftOut  map[bundle.Attachment]error // that are left out, and why

	sent map[v1.Hash]bool  // blobs that were counted before the rest: layers of a stream, and what was awaited
	lost map[v1.Hash]error // layers of a stream that could not be put, and why

	optional map[v1.Hash]bool // blobs and manifests that only attachments need
	refused  map[v1.Hash]bool // those of them that the destination refused

	fresh    atomic.Bool // the destination is new, and has shown nothing that it had before
	declined sync.Map    // names of repositories from which a mount failed
	shared   sync.Map    // *shared by digest

	failures  []*Failure
	unlocated []*state // bundles whose locations image failed
}

func newFilling(plan *bundle.Plan, src bundle.Source, dst Repository, at name.Repository, opt Options) *filling {
	c := &filling{plan: plan, src: src, dst: dst, at: at, opt: opt, runner: runner{jobs: max(opt.Jobs, 1)}, nodes: map[v1.Hash]*state{},
		counted: make([]bool, len(plan.Blobs)), attached: map[bundle.Attachment]bool{}, leftOut: map[bundle.Attachment]error{}, sent: map[v1.Hash]bool{}, lost: map[v1.Hash]error{}}
	for _, n := range plan.Graph.Nodes {
		c.nodes[n.Descriptor.Digest] = &state{node: n, blob: bundle.Blob{Descriptor: &n.Descriptor, Node: n, IsManifest: true}}
	}
	c.findOptional()
	return c
}

// ask asks the destination for what the plan assumes, and which manifests are present.
func (c *filling) ask(ctx context.Context) error {
	for _, tag := range c.opt.Tags {
		if c.nodes[tag.Digest] == nil {
			return fmt.Errorf("put tag %s: the plan has no manifest %s", tag.Name, tag.Digest)
		}
	}
	if err := c.askAssumed(ctx); err != nil {
		return err
	}
	if c.opt.Trust == TrustNothing {
		return nil
	}
	if err := c.findFresh(ctx); err != nil {
		return err
	}
	at := 1
	c.rest = func() (job, bool) {
		if c.fresh.Load() || at >= c.wanted() {
			return job{}, false
		}
		n := c.plan.Graph.Nodes[at]
		at++
		var present bool
		return job{
			do: func(ctx context.Context) (err error) {
				present, err = c.isNamed(ctx, n)
				if c.tolerates(n.Descriptor.Digest, err) { // the answer to its upload decides
					err = nil
				}
				return err
			},
			done: func() { c.nodes[n.Descriptor.Digest].present = present },
		}, true
	}
	return c.run(ctx)
}

// isNamed reports whether a manifest is present under every tag that it gets, or, as a child of an
// index, by its digest.
func (c *filling) isNamed(ctx context.Context, n *bundle.Node) (bool, error) {
	if n.IsChild {
		return c.stands(ctx, n.Descriptor.Digest.String(), n.Descriptor.Digest)
	}
	for _, tag := range n.KeptTags(c.opt.RepoTags) {
		if present, err := c.stands(ctx, tag, n.Descriptor.Digest); !present || err != nil {
			return false, err
		}
	}
	return true, nil
}

// stands reports whether id stands for d at the destination.
func (c *filling) stands(ctx context.Context, id string, d v1.Hash) (bool, error) {
	got, err := c.dst.Resolve(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		what := d.String()
		if id != what {
			what = id + ", a tag of " + what
		}
		return false, fmt.Errorf("ask for %s: %w", what, err)
	}
	return got == d, nil
}

// failed returns a function that notes the failure of a blob or manifest of n; nil when a failure
// ends the copy.
func (c *filling) failed(n *bundle.Node, d v1.Hash) func(error) {
	if !c.opt.KeepGoing {
		return nil
	}
	return func(err error) { c.failures = append(c.failures, &Failure{n.Name(), d, err}) }
}

func (c *filling) send(ctx context.Context, b bundle.Blob) error {
	t := newTransfer(c.src, b, c.opt.Progress)
	if err := t.twice(func() error { return c.dst.PutBlob(ctx, *b.Descriptor, t.open) }); err != nil {
		return fmt.Errorf("copy blob %s of %s: %w", b.Descriptor.Digest, b.Node.Name(), err)
	}
	t.finish()
	return nil
}

// countBlob counts a blob as present, which is progress, or as uploaded, whose transfer reported
// it.
func (c *filling) countBlob(b bundle.Blob, present bool) {
	if !present {
		c.result.Blobs++
		c.result.Bytes += b.Descriptor.Size
		return
	}
	c.result.BlobsPresent++
	c.result.BytesPresent += b.Descriptor.Size
	newTransfer(c.src, b, c.opt.Progress).finish()
}

// countAgain counts blobs that were uploaded although they had been counted. They are no progress.
func (c *filling) countAgain(blobs []bundle.Blob) {
	c.again += len(blobs)
	for _, b := range blobs {
		c.result.Blobs++
		c.result.Bytes += b.Descriptor.Size
	}
}
