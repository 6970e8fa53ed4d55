package relocate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/registry"
	"relocate/report"
	"relocate/rewrite"
)

// Destination is the repository to fill, and describes the cluster's PackageRepository for it.
type Destination struct {
	Client     *registry.Client // nil: one with the zero registry.Options
	Repository name.Repository

	Tag      string     // that the root gets; empty: those that the roots have
	NoTag    bool       // the roots get none
	RepoTags bool       // images stay under tags with their repositories' names, as imgpkg's --repo-based-tags
	Trust    copy.Trust // empty means copy.TrustManifests

	NonDistributable bool // of Import: fail where the archive was made without layers whose licence may forbid it

	Attachments copy.Attachments // empty: one that the registry refuses is left out, and named in the result

	// AwaitBlobs lets Import wait for blobs that others upload, until none has appeared for so long; 0: it uploads
	// at once what is missing.
	AwaitBlobs time.Duration

	Name      string // of the PackageRepository; empty: the last element of the source's repository
	Namespace string // empty: carvel.GlobalNamespace
	SecretRef string // the Secret in it with the registry's login; empty: none

	listed *carvel.ImagesLock // whose images are copied
	hashes bool               // the registry hashes what arrives, and the caller learns of what is wrong: it is not hashed before
}

// lock rejects a destination that makes no sense, and keeps other runs away from it.
//
// Errors: ErrOptions, ErrHeld.
func (to *Destination) lock() (unlock func(), err error) {
	if err := to.check(); err != nil {
		return nil, err
	}
	return lockRepository(to.Repository.Name())
}

// check rejects a destination that makes no sense.
//
// Errors: ErrOptions.
func (to *Destination) check() error {
	switch {
	case to.Repository == (name.Repository{}):
		return optionsf("the destination names no repository")
	case to.Tag != "" && to.NoTag:
		return optionsf("the root gets the tag %s, and no tag", to.Tag)
	case !slices.Contains([]copy.Trust{"", copy.TrustManifests, copy.TrustBlobs, copy.TrustNothing}, to.Trust):
		return optionsf("trust %q: must be manifests, blobs or nothing", to.Trust)
	case to.AwaitBlobs < 0:
		return optionsf("blobs cannot be awaited for %v", to.AwaitBlobs)
	}
	return checkPolicy(to.Attachments)
}

// checkPolicy rejects what is not a policy for attachments.
func checkPolicy(a copy.Attachments) error {
	if !slices.Contains([]copy.Attachments{"", copy.AttachAll, copy.AttachNothing}, a) {
		return optionsf("attachments %q: must be require or none, or empty", a)
	}
	return nil
}

// tags returns the tags that the roots get.
//
// Errors: ErrTags.
func (to *Destination) tags(roots []bundle.Root) (map[string]v1.Hash, error) {
	if to.NoTag {
		return nil, nil
	}
	tags, err := rewrite.Tags(roots, to.Tag)
	if err != nil {
		return nil, tagsError{err}
	}
	return tags, nil
}

// tagsError is an ErrTags with its own message.
type tagsError struct{ error }

func (e tagsError) Is(target error) bool { return target == ErrTags || target == ErrOptions }

// filling is one copy of a plan into a destination.
type filling struct {
	action string // import or copy
	to     Destination
	opt    Options
	r      *Result       // of the plan, to be completed
	src    bundle.Source // where the plan's content can be read afterwards; nil: nowhere
	move   func(copy.Repository, copy.Options) (*copy.Result, error)

	tags    map[string]v1.Hash
	objects []rewrite.PackageRepository
}

// run copies, and completes the result. Unless everything was copied, nothing in the result refers
// to the destination.
func (f *filling) run(ctx context.Context) (*Result, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	dst, err := f.send()
	if err != nil && !isPartial(err) {
		return nil, err
	}
	if err == nil {
		f.r.NeedsLogin = len(f.objects) > 0 && f.to.SecretRef == "" && dst.WantsLogin(ctx, f.r.Plan.Graph.Roots[0].Digest)
		if err := f.refer(); err != nil {
			return nil, err
		}
	}
	if f.src != nil {
		err = errors.Join(err, f.opt.content(ctx, f.src, f.r.Plan))
	}
	return f.r, err
}

// check finds what would make the copy pointless, before anything is uploaded.
func (f *filling) check() (err error) {
	g := f.r.Plan.Graph
	if err := checkAttached(f.to.Attachments, g); err != nil {
		return err
	}
	if n := len(report.OmittedLayers(f.r.Plan.Omitted)); f.to.NonDistributable && n > 0 {
		return optionsf("the archive was exported without %s that may not be distributed; export it again with them", text.Count(n, "layer"))
	}
	if f.tags, err = f.to.tags(g.Roots); err != nil {
		return err
	}
	if f.objects, err = rewrite.PackageRepositories(g, f.to.Repository, f.to.Name, f.to.Namespace, f.to.SecretRef); err != nil {
		return optionsError{err}
	}
	if path := f.to.Repository.RepositoryStr(); len(f.objects) > 0 && len(path) < 2 {
		f.opt.note("", "kapp-controller 0.53 cannot use the package repository at %s: its kbld refuses a repository with a name of one character; choose a longer one", f.to.Repository.Name())
	}
	f.opt.noteNewest(f.objects)
	return nil
}

// send copies the blobs and manifests of the plan. It returns what it has written to.
func (f *filling) send() (*registry.Checked, error) {
	client, err := f.opt.client(f.to.Client)
	if err != nil {
		return nil, err
	}
	dst := client.Writer(f.to.Repository).Checked(manifestTypes(f.r.Plan.Graph))
	if f.r.Shard == nil { // trying a sparse index may make it visible for a moment
		dst = dst.Sparse(sparseIndexes(f.r.Plan.Graph))
	}
	blobs, bytes := copy.Options{Attachments: f.to.Attachments}.Total(f.r.Plan)
	ph := f.opt.begin(f.action, blobs, bytes)
	f.r.Copied, err = f.move(dst, copy.Options{
		Jobs: f.opt.requests(), Trust: f.to.Trust, Tags: tagList(f.tags), RepoTags: f.to.RepoTags, KeepGoing: f.opt.KeepGoing,
		Progress: ph.step, Attachments: f.to.Attachments, AwaitBlobs: f.to.AwaitBlobs,
	})
	f.r.Reread, f.r.AtOnce = ph.end().Reread, client.MostAtOnce()
	if refused := dst.Refused(); refused != nil {
		err = refused
	}
	for _, note := range dst.Notes() {
		if f.r.Shard == nil { // the import that completes shards says it once
			f.opt.note("", "%s", note)
		}
	}
	if err != nil {
		return dst, fmt.Errorf("%s to %s: %w", f.action, f.to.Repository.Name(), err)
	}
	return dst, nil
}

// refer makes what refers to the destination, once it has everything.
func (f *filling) refer() (err error) {
	g := f.r.Plan.Graph
	f.r.Moves, f.r.Tags = rewrite.Mapping(g, f.to.Repository), slices.Sorted(maps.Keys(f.tags))
	tag := ""
	if len(f.r.Tags) > 0 {
		tag = f.r.Tags[0] // the only one, if the lock names a tag at all
	}
	listed := g.Listed
	if f.to.listed != nil {
		listed = f.to.listed
	}
	f.r.Lock, err = rewrite.Lock(g, f.to.Repository, tag, listed)
	if len(f.objects) > 0 && err == nil {
		f.r.PackageRepository, err = rewrite.Encode(f.objects)
	}
	return err
}

// manifestTypes returns the media types of the manifests that a copy of a graph always sends:
// attachments can be left out, and the locations images of bundles are Docker's.
func manifestTypes(g *bundle.Graph) []types.MediaType {
	var list []types.MediaType
	for _, n := range g.Nodes[:g.Core()] {
		list = append(list, n.Descriptor.MediaType)
		if n.Kind == bundle.Bundle {
			list = append(list, types.DockerManifestSchema2)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func tagList(tags map[string]v1.Hash) []copy.Tag {
	var list []copy.Tag
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, copy.Tag{Name: name, Digest: tags[name]})
	}
	return list
}
