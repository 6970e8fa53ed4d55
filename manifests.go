package relocate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/manifests"
	"relocate/rewrite"
)

// ImageError says that a registry does not have, or does not show, an image that plain manifests name.
type ImageError struct{ Err error }

func (e *ImageError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the registry.
func (e *ImageError) Unwrap() error { return e.Err }

// over returns an overlay of a source with the bundles of the sets of manifests, whose images it asks the source for.
func (w *walker) over(ctx context.Context, src bundle.Source) (*bundle.Overlay, error) {
	over := bundle.NewOverlay(src)
	if len(w.Manifests) == 0 {
		return over, nil
	}
	digests, err := w.resolve(ctx, src)
	if err != nil {
		return nil, err
	}
	for _, set := range w.Manifests {
		made, err := set.Bundle(digests)
		if err != nil {
			return nil, fmt.Errorf("manifests %s: %w", set.Name, err)
		}
		over.Name(set.Root(), made.Descriptor.Digest)
		over.Add(made.Descriptor, made.Manifest, v1.Hash{}, made.Config, made.Layer)
	}
	return over, nil
}

// resolve returns the digests of the images of all sets, by their references.
//
// Errors: *ImageError; others of src.
func (w *walker) resolve(ctx context.Context, src bundle.Source) (map[string]v1.Hash, error) {
	ph := w.opt.begin("read", 0, 0)
	defer ph.end()
	digests, asked := map[string]v1.Hash{}, map[string]bool{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.opt.requests())
	for _, set := range w.Manifests {
		for _, image := range set.Images {
			ref := image.Reference
			if asked[ref.Name()] {
				continue
			}
			asked[ref.Name()] = true
			g.Go(func() error {
				desc, _, err := src.Manifest(ctx, ref)
				if err != nil {
					err = fmt.Errorf("find %s, referenced by %s:%d of the manifests %s: %w",
						ref.Name(), image.File, image.Line, set.Name, err)
					if !strings.Contains(image.Value, "/") {
						err = fmt.Errorf("%w; %s has no registry and so means Docker Hub: "+
							"a kbld Config with an override can name another image", err, image.Value)
					}
				}
				switch {
				case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
					return &ImageError{err}
				case err != nil:
					return err
				}
				ph.read()
				mu.Lock()
				defer mu.Unlock()
				digests[ref.Name()] = desc.Digest
				return nil
			})
		}
	}
	return digests, g.Wait()
}

// Manifests returns the plain manifests that a graph carries, set by set, with every image in repo. src has
// the bundles.
//
// Errors: those of src; what no set that was exported has.
func Manifests(
	ctx context.Context, src bundle.Source, g *bundle.Graph, repo name.Repository,
) (list []rewrite.Manifests, err error) {
	for _, root := range g.Roots {
		n := g.Node(root.Digest)
		if n == nil || n.Manifests == "" {
			continue
		}
		documents, err := manifestsIn(ctx, src, n, repo)
		if err != nil {
			return nil, fmt.Errorf("manifests in %s: %w", n.Name(), err)
		}
		list = append(list, rewrite.Manifests{Name: n.Manifests, Documents: documents, Images: len(n.Locked) > 0})
	}
	return list, nil
}

// manifestsIn returns the manifests in a bundle, with every image in repo.
func manifestsIn(
	ctx context.Context, src bundle.Source, n *bundle.Node, repo name.Repository,
) ([]manifests.Document, error) {
	if err := manifests.CheckName(n.Manifests); err != nil {
		return nil, err
	}
	files, size := map[string][]byte{}, int64(0)
	err := n.Files(ctx, src, manifests.Wants, func(f bundle.File, content io.Reader) (err error) {
		if size += f.Size; !f.Mode.IsRegular() || f.Size > yamlnode.MaxSize || size > manifests.MaxFiles {
			return fmt.Errorf("%q is not a file, or is too large", f.Path)
		}
		files[f.Path], err = imgpkg.Content(f.Size, content)
		return err
	})
	if err != nil {
		return nil, err
	}
	return manifests.At(files, repo)
}
