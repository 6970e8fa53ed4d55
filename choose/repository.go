package choose

import (
	"context"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/render"
	"relocate/report"
)

// maxHeld is the limit on the files below packages/ of a repository from which something is chosen.
const maxHeld = 64 << 20

// Repository is the content of a repository bundle.
type Repository struct {
	Digest   v1.Hash // of the bundle
	Lock     *carvel.ImagesLock
	Packages []carvel.Package // in the order in which kapp-controller reads them
	Findings []report.Finding // about what could not be read

	files     map[string][]byte        // YAML files below packages/
	documents []carvel.PackageDocument // Packages and PackageMetadata, with their text
	renderer  *render.Renderer
}

// Read reads the layer of the repository bundle with a digest. r runs its templates; without r, its files
// are read as they are.
//
// Errors: oci.ErrMalformed for a layer that is not a bundle's, or too large to choose from;
// those of layer and ctx.
func Read(ctx context.Context, bundle v1.Hash, layer io.Reader, r *render.Renderer) (*Repository, error) {
	repo := &Repository{Digest: bundle, files: map[string][]byte{}, renderer: r}
	packages := r.Packages(bundle, func(d carvel.PackageDocument) bool {
		repo.add(d)
		return true
	})
	held := 0
	err := imgpkg.ReadLayer(layer, func(p string, size int64) bool {
		if size > yamlnode.MaxSize && packages.Wants(p) && !carvel.IsPackageFile(p) { // such a YAML file is an error
			packages.TooLarge(p, size)
			return false
		}
		return p == carvel.LockFile || packages.Wants(p)
	}, func(p string, data []byte) (err error) {
		switch {
		case p != carvel.LockFile:
			packages.Add(p, data)
		case repo.Lock == nil: // the first one counts
			repo.Lock, err = carvel.ParseImagesLock(data)
		}
		if carvel.IsPackageFile(p) { // the last one counts
			if held += len(data); held > maxHeld {
				return fmt.Errorf("the files below packages/ have more than %d bytes", maxHeld)
			}
			repo.files[p] = data
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", oci.ErrMalformed, err)
	case repo.Lock == nil:
		return nil, fmt.Errorf("%w: has no %s", oci.ErrMalformed, carvel.LockFile)
	}
	if repo.Findings, err = packages.End(ctx); err != nil {
		return nil, err
	}
	repo.resolve()
	return repo, nil
}

// add adds a document below packages/.
func (r *Repository) add(d carvel.PackageDocument) {
	if d.Package == nil && d.Metadata == nil {
		return
	}
	r.documents = append(r.documents, d)
	if d.Package != nil {
		p := *d.Package
		p.Repository, p.Fetches = r.Digest, slices.Clone(p.Fetches)
		r.Packages = append(r.Packages, p)
	}
}

// resolve sets the digests of the fetches of the Packages that the lock covers.
func (r *Repository) resolve() {
	ids := map[string]v1.Hash{}
	for _, e := range r.Lock.Images {
		if id := e.Annotations[carvel.KbldID]; ids[id] == (v1.Hash{}) { // the first entry counts
			ids[id] = oci.HashOf(e.Image)
		}
	}
	for _, p := range r.Packages {
		for i, f := range p.Fetches {
			if f.Kind == "imgpkgBundle" && f.Reference != "" {
				p.Fetches[i].Digest = ids[f.Reference]
			}
		}
	}
}
