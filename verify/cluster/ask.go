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

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
)

// answer is the repository's answer for a tag or a digest.
type answer struct {
	digest   v1.Hash      // of the manifest; zero when it is missing
	damage   error        // its content does not match its digest, or is malformed
	config   v1.Hash      // of an image; kept where a node may report it
	children []v1.Hash    // of an index; kept where a node may report one
	node     *bundle.Node // kept where kapp-controller fetches it as a bundle
}

func (a *answer) exists() bool { return a != nil && a.digest != v1.Hash{} }

// detail says how much of an answer is kept.
type detail int

const (
	presence detail = iota + 1 // whether it exists
	parts                      // and its config or children
	asBundle                   // and whether it is a bundle, which its config says
)

// asker asks the repository once for each tag and digest.
type asker struct {
	source  bundle.Source
	repo    name.Repository
	jobs    int
	answers map[string]*answer // by tag or digest
	wanted  []string           // not asked for yet, in the order found
	details map[string]detail
}

// want queues id, a tag or a digest, for ask.
func (a *asker) want(id string, d detail) {
	got, known := a.answers[id]
	if !known || got != nil && d > a.details[id] {
		a.answers[id] = nil
		a.wanted = append(a.wanted, id)
	}
	a.details[id] = max(a.details[id], d)
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
	if a.details[id] == presence {
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
	if a.details[id] == asBundle {
		got.node, err = bundle.ReadNode(ctx, answered{a.source, desc, raw}, a.repo.Digest(desc.Digest.String()))
		if got.damage, err = damage(err); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// answered is a source with the manifest that it gave.
type answered struct {
	bundle.Source
	desc v1.Descriptor
	raw  []byte
}

// Manifest implements bundle.Source.
func (s answered) Manifest(context.Context, name.Reference) (v1.Descriptor, []byte, error) {
	return s.desc, s.raw, nil
}

// damage separates what is wrong with content from an error of the repository.
func damage(err error) (wrong, broken error) {
	for _, of := range []error{digest.ErrMismatch, oci.ErrMalformed, oci.ErrUnreadable, fs.ErrNotExist} {
		if errors.Is(err, of) {
			return err, nil
		}
	}
	return nil, err
}

func isDigest(id string) bool {
	_, err := v1.NewHash(id)
	return err == nil
}
