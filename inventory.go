package relocate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/internal/digest"
	"relocate/internal/text"
	"relocate/inventory"
	"relocate/oci"
	"relocate/registry"
	"relocate/tarball"
)

// Inventory lists what a repository has, so that an export can leave it out: what its tags lead to, ours
// and others', and nothing else. Manifests are read, layers are not. Of an archive, which is listed where
// at is the zero Destination, it lists what a repository has after the import; it reads what comes before
// the layers.
//
// Errors: ErrOptions without anything to list; tarball.ErrDamaged; fs.ErrNotExist where the registry lists
// no tags; those of registry.Client.
func Inventory(ctx context.Context, archive *tarball.Archive, at Destination, opt Options) (*inventory.Inventory, error) {
	switch {
	case at.Repository != (name.Repository{}):
		client, err := opt.client(at.Client)
		if err != nil {
			return nil, err
		}
		l := &listing{client: client, repo: at.Repository, opt: opt, seen: map[digest.Sum]bool{}, lines: make(chan []inventory.Entry)}
		return l.list(ctx)
	case archive != nil:
		plan, err := archive.HeadPlan(ctx, opt.jobs(), opt.Renderer)
		if err != nil {
			return nil, err
		}
		return inventory.Of(plan)
	}
	return nil, optionsf("nothing to list: name an archive or a repository")
}

// listing is one inventory of a repository.
type listing struct {
	client *registry.Client
	repo   name.Repository
	opt    Options
	phase  *phase

	mu    sync.Mutex
	seen  map[digest.Sum]bool // manifests that were listed
	lines chan []inventory.Entry
}

// mostTagPages is how many pages of tags are read.
const mostTagPages = 100

// list reads what each tag leads to.
func (l *listing) list(ctx context.Context) (*inventory.Inventory, error) {
	tags, all, err := l.client.Tags(ctx, l.repo, mostTagPages)
	switch {
	case err != nil:
		return nil, fmt.Errorf("list the tags of %s: %w", l.repo, err)
	case len(tags) == 0 && !all:
		return nil, fmt.Errorf("list the tags of %s: the registry lists none: %w", l.repo, fs.ErrNotExist)
	case !all:
		l.opt.note("", "%s listed only %s: what other tags lead to is not in the inventory", l.repo.RegistryStr(), text.Count(len(tags), "tag"))
	}
	l.phase = l.opt.begin("read", 0, 0)
	defer l.phase.end()
	read := make(chan error, 1)
	go func() {
		defer close(l.lines)
		read <- l.readAll(ctx, tags)
	}()
	list, err := inventory.New(func(yield func(inventory.Entry) bool) {
		for lines := range l.lines {
			for _, e := range lines {
				if !yield(e) {
					return
				}
			}
		}
	})
	for range l.lines { //nolint:revive // after too many entries, the others are thrown away
	}
	return list, errors.Join(<-read, err)
}

// readAll reads the manifests of tags, several at once.
func (l *listing) readAll(ctx context.Context, tags []string) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(l.opt.jobs())
	reader := l.client.Reader(l.repo)
	for _, tag := range tags {
		if running.Err() != nil {
			break
		}
		kind := inventory.Root
		if strings.HasPrefix(tag, "sha256-") { // of an image, a locations image or an attachment
			kind = inventory.Manifest
		}
		g.Go(func() error { return l.manifest(running, reader, l.repo.Tag(tag), kind, 0) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// maxIndexes is how deep indexes are followed.
const maxIndexes = 32

// manifest lists a manifest and what it needs. It leaves out what is missing, and with a note what
// cannot be read: in a repository may be much that is not ours.
func (l *listing) manifest(ctx context.Context, src *registry.Repository, ref name.Reference, kind inventory.Kind, depth int) error {
	desc, raw, err := src.Manifest(ctx, ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, registry.ErrNotManifest), errors.Is(err, digest.ErrMismatch):
		l.opt.note("", "%s is not in the inventory: %v", ref, err)
		return nil
	case err != nil:
		return err
	}
	l.phase.read()
	l.lines <- []inventory.Entry{{Kind: kind, Digest: desc.Digest, Size: desc.Size}}
	if !l.isNew(desc.Digest) || depth == maxIndexes {
		return nil
	}
	m, err := oci.ParseManifest(desc, raw)
	if err != nil {
		l.opt.note("", "what %s needs is not in the inventory: %v", ref, err)
		return nil
	}
	var lines []inventory.Entry
	for _, d := range m.Blobs {
		lines = append(lines, inventory.Entry{Kind: inventory.Blob, Digest: d.Digest, Size: d.Size})
	}
	l.lines <- lines
	for _, child := range m.Children {
		if err := l.manifest(ctx, src, l.repo.Digest(child.Digest.String()), inventory.Manifest, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// isNew notes a manifest, and reports whether it was not noted before.
func (l *listing) isNew(d v1.Hash) bool {
	key, ok := digest.SumOf(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	isNew := ok && !l.seen[key]
	l.seen[key] = true
	return isNew
}
