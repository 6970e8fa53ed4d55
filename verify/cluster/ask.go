package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/internal/digest"
)

// Source is where manifests are read: the private repository only. Its method is the first of
// bundle.Source, with the same errors.
type Source interface {
	Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error)
}

// answer is the repository's answer for a tag or a digest.
type answer struct {
	digest   v1.Hash   // of the manifest; zero when it is missing
	damage   error     // its content does not match its digest
	config   v1.Hash   // of an image; kept where a node may report it
	children []v1.Hash // of an index; kept where a node may report one
}

func (a *answer) exists() bool { return a != nil && a.digest != v1.Hash{} }

// asker asks the repository once for each tag and digest.
type asker struct {
	source  Source
	repo    name.Repository
	jobs    int
	answers map[string]*answer // by tag or digest
	wanted  []string           // not asked for yet, in the order found
	open    map[string]bool    // the ids whose config and children are kept
}

// want queues id, a tag or a digest, for ask. With details, ask also keeps its config and children.
func (a *asker) want(id string, details bool) {
	got, known := a.answers[id]
	if !known || details && got != nil && !a.open[id] {
		a.answers[id] = nil
		a.wanted = append(a.wanted, id)
	}
	if details {
		a.open[id] = true
	}
}

// ask asks the repository for everything queued. It returns an error when the repository does not
// answer.
func (a *asker) ask(ctx context.Context) error {
	answers := make([]*answer, len(a.wanted))
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(a.jobs, 1))
	for i, id := range a.wanted {
		if running.Err() != nil {
			break
		}
		g.Go(func() (err error) { answers[i], err = a.one(running, id); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, id := range a.wanted {
		a.answers[id] = answers[i]
	}
	a.wanted = nil
	return ctx.Err()
}

func (a *asker) one(ctx context.Context, id string) (*answer, error) {
	var ref name.Reference = a.repo.Tag(id)
	if isDigest(id) {
		ref = a.repo.Digest(id)
	}
	desc, raw, err := a.source.Manifest(ctx, ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &answer{}, nil
	case errors.Is(err, digest.ErrMismatch):
		return &answer{damage: err}, nil
	case err != nil:
		return nil, fmt.Errorf("ask for %s: %w", ref.Name(), err)
	}
	got := &answer{digest: desc.Digest}
	if !a.open[id] {
		return got, nil
	}
	var doc struct {
		Config    struct{ Digest v1.Hash }
		Manifests []struct{ Digest v1.Hash }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return &answer{damage: fmt.Errorf("%s is no manifest", ref.Name())}, nil
	}
	got.config = doc.Config.Digest
	for _, m := range doc.Manifests {
		got.children = append(got.children, m.Digest)
	}
	return got, nil
}

func isDigest(id string) bool {
	_, err := v1.NewHash(id)
	return err == nil
}
