package relocate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/render"
	"relocate/render/kbld"
	"relocate/render/ytt"
	"relocate/tarball"
)

// RenderOptions say how a package is rendered. Of Options, Jobs, TempDir, Renderer and Values count.
type RenderOptions struct {
	Options
	// Destination is the repository that the bundles were relocated to, or will be: their locks are
	// as imgpkg rewrites them there. The zero repository leaves them as they are.
	Destination name.Repository
}

// Rendered is a version of a package as it would deploy.
type Rendered struct {
	Name, Version string
	Fetches       []RenderedFetch
	Images        []RenderedImage // in the order of the documents
	*render.Result
}

// RenderedFetch is what the Package fetches.
type RenderedFetch struct {
	Kind      string `json:"kind"`
	Reference string `json:"reference,omitempty"` // by the lock of the repository
	Before    string `json:"before,omitempty"`    // as written, where that differs
}

// RenderedImage is an image in what a package deploys.
type RenderedImage struct {
	Reference    string `json:"reference"`              // as kapp would be given it
	Before       string `json:"before,omitempty"`       // what kbld replaced; empty: nothing
	NotRewritten bool   `json:"notRewritten,omitempty"` // a lock of the package has it, but kbld did not rewrite it
	NotLocked    bool   `json:"notLocked,omitempty"`    // no lock has it: kbld would ask a registry for its digest
	Document     int    `json:"document"`               // in Result.Documents, from 0
	Path         string `json:"path"`                   // JSON pointer in it
	File         string `json:"file,omitempty"`         // of the app folder, from which it comes, where that is known
	Line         int    `json:"line,omitempty"`
}

// PackageError says that a package is not in what was read.
type PackageError struct {
	Of            string // the archive, or the reference
	Name, Version string
	Names         []string // of all packages, sorted
	Versions      []string // of the package, newest first; none: it is not one of them
}

func (e *PackageError) Error() string {
	if len(e.Versions) == 0 {
		return fmt.Sprintf("package %s: %s has no package of that name", e.Name, e.Of)
	}
	return fmt.Sprintf("package %s/%s: %s does not have this version, only %s", e.Name, e.Version, e.Of, strings.Join(e.Versions, ", "))
}

// Is makes a PackageError an fs.ErrNotExist.
func (e *PackageError) Is(target error) bool { return target == fs.ErrNotExist }

// Render runs the templates of a package, NAME or NAME/VERSION, as kapp-controller does, and returns
// what kapp would be given. Without a version it is the newest one. The package repository is that of
// the archive or, where archive is nil, the only bundle of from. A bundle that the package fetches
// from a registry is looked for beside the package repository first.
//
// Errors: *PackageError; ErrOptions; those of render.Renderer.App; of an archive, tarball.ErrDamaged;
// of a registry, as bundle.ReadBundle.
func Render(ctx context.Context, archive *tarball.Archive, from Source, pkg string, opt RenderOptions) (*Rendered, error) {
	r, err := startRendering(ctx, archive, from, pkg, opt)
	if err != nil {
		return nil, err
	}
	if err := opt.Values.Check([]carvel.Package{*r.pkg}); err != nil {
		return nil, err
	}
	return r.render(ctx)
}

// DataValues says which data values a package takes, by the files that it fetches. Its parameters are
// those of Render.
//
// Errors: as Render.
func DataValues(ctx context.Context, archive *tarball.Archive, from Source, pkg string, opt RenderOptions) (*render.DataValues, error) {
	r, err := startRendering(ctx, archive, from, pkg, opt)
	if err != nil {
		return nil, err
	}
	return r.dataValues(ctx)
}

// dataValues says which data values the package takes.
func (r *rendering) dataValues(ctx context.Context) (*render.DataValues, error) {
	app, err := r.app(ctx)
	if err != nil {
		return nil, err
	}
	values, err := r.renderer().DataValues(ctx, app)
	if err != nil {
		return nil, fmt.Errorf("find the data values of package %s/%s: %w", r.pkg.Name, r.pkg.Version, err)
	}
	return values, nil
}

// rendering is one Render.
type rendering struct {
	opt   RenderOptions
	of    string // what is read
	src   bundle.Source
	graph *bundle.Graph
	whole bool // the graph has all that packages fetch: it is not that of a root alone
	pkg   *carvel.Package
	locks []*carvel.ImagesLock // of what is fetched
}

// startRendering finds the package.
func startRendering(ctx context.Context, archive *tarball.Archive, from Source, pkg string, opt RenderOptions) (*rendering, error) {
	r := &rendering{opt: opt, whole: archive != nil}
	if err := r.open(ctx, archive, from); err != nil {
		return nil, err
	}
	var err error
	r.pkg, err = r.find(pkg)
	return r, err
}

// open reads the package repositories.
func (r *rendering) open(ctx context.Context, archive *tarball.Archive, from Source) error {
	if archive != nil {
		plan, err := archive.CheckedPlan(ctx, r.opt.jobs(), r.opt.Renderer)
		if err != nil {
			return err
		}
		r.of, r.src, r.graph = archive.Name(), archive, plan.Graph
		return nil
	}
	if len(from.Bundles) != 1 {
		return optionsf("name one package repository, not %d", len(from.Bundles))
	}
	client, err := r.opt.client(from.Client)
	if err != nil {
		return err
	}
	r.of, r.src = from.Bundles[0].Name(), client
	r.graph, err = bundle.ReadBundle(ctx, r.src, from.Bundles[0], r.opt.Renderer)
	return err
}

// find returns the version of the package that was named.
func (r *rendering) find(pkg string) (*carvel.Package, error) {
	e := &PackageError{Of: r.of}
	e.Name, e.Version, _ = strings.Cut(pkg, "/")
	for _, p := range r.graph.Versions(e.Name) {
		if e.Version == "" || p.Version == e.Version {
			return &p, nil
		}
		e.Versions = append(e.Versions, p.Version)
	}
	for _, p := range r.graph.Packages {
		e.Names = append(e.Names, p.Name)
	}
	slices.Sort(e.Names)
	e.Names = slices.Compact(e.Names)
	return nil, e
}

// render renders the package. Beside an error of the templates it returns what was found before.
func (r *rendering) render(ctx context.Context) (*Rendered, error) {
	app, err := r.app(ctx)
	if err != nil {
		return nil, err
	}
	app.Values = r.opt.Values.Of(r.pkg.Name, r.pkg.Version)
	out := &Rendered{Name: r.pkg.Name, Version: r.pkg.Version}
	for _, f := range r.pkg.Fetches {
		out.Fetches = append(out.Fetches, r.fetchReference(f))
	}
	if out.Result, err = r.renderer().App(ctx, app); err != nil {
		return out, fmt.Errorf("render package %s/%s: %w", r.pkg.Name, r.pkg.Version, err)
	}
	out.Images = r.images(out.Result)
	return out, nil
}

// renderer runs the templates, or says that it cannot.
func (r *rendering) renderer() *render.Renderer {
	if r.opt.Renderer != nil {
		return r.opt.Renderer
	}
	return &render.Renderer{}
}

// app returns the package without values, with all that it fetches.
func (r *rendering) app(ctx context.Context) (app render.App, err error) {
	of := fmt.Sprintf("read package %s/%s", r.pkg.Name, r.pkg.Version)
	repository := r.graph.Node(r.pkg.Repository)
	details, err := repository.Details(ctx, r.src, r.opt.Renderer, r.pkg.Name, r.pkg.Version)
	if err != nil {
		return app, fmt.Errorf("%s: %w", of, err)
	}
	if details.Package == nil {
		return app, fmt.Errorf("%s: its bundle %s changed while it was read", of, repository.Name())
	}
	app = render.PackageApp(r.pkg.Name, r.pkg.Version, details.Package.Template)
	for _, f := range r.pkg.Fetches {
		fetched, err := r.fetch(ctx, repository, f)
		if err != nil {
			return app, fmt.Errorf("%s: %w", of, err)
		}
		app.Fetched = append(app.Fetched, fetched)
	}
	return app, nil
}

// fetchReference returns what a fetch names, by the lock of the repository.
func (r *rendering) fetchReference(f carvel.Fetch) RenderedFetch {
	reference := f.Reference
	if r.opt.Destination != (name.Repository{}) && f.Digest != (v1.Hash{}) {
		reference = r.opt.Destination.Digest(f.Digest.String()).Name()
	}
	if reference == f.Reference {
		return RenderedFetch{Kind: f.Kind, Reference: reference}
	}
	return RenderedFetch{Kind: f.Kind, Reference: reference, Before: f.Reference}
}

// maxFetched is the limit on the bytes of all files of one fetch.
const maxFetched = 64 << 20

// fetch reads the files that a fetch gives.
func (r *rendering) fetch(ctx context.Context, repository *bundle.Node, f carvel.Fetch) (render.Fetched, error) {
	switch f.Kind {
	case "inline":
		return render.Fetched{}, nil
	case "imgpkgBundle", "image":
	default:
		return render.Fetched{Missing: fmt.Sprintf("what it fetches by %s was not read", f.Kind)}, nil
	}
	node, err := r.fetched(ctx, repository, f)
	if node == nil && err == nil || errors.Is(err, fs.ErrNotExist) {
		return render.Fetched{Missing: fmt.Sprintf("%s does not have %s", r.of, f.Reference)}, nil
	}
	if err != nil {
		return render.Fetched{}, err
	}
	if node.Kind != bundle.Bundle {
		return render.Fetched{Missing: fmt.Sprintf("%s is not a bundle, and its files were not read", f.Reference)}, nil
	}
	return r.files(ctx, node, f.Kind == "imgpkgBundle")
}

// fetched returns the manifest that a fetch names: of a graph that is whole, or else in a registry from
// beside the repository, or from where the Package says. It is nil where the graph does not have it.
func (r *rendering) fetched(ctx context.Context, repository *bundle.Node, f carvel.Fetch) (*bundle.Node, error) {
	if r.whole {
		return r.graph.Node(r.digest(f)), nil
	}
	var tries []name.Reference
	if f.Digest != (v1.Hash{}) {
		tries = append(tries, repository.From.Digest(f.Digest.String()))
	}
	if ref, err := name.ParseReference(f.Reference); err == nil {
		tries = append(tries, ref)
	}
	var missing error
	for _, ref := range tries {
		node, err := r.read(ctx, ref)
		if !errors.Is(err, fs.ErrNotExist) {
			return node, err
		}
		missing = err
	}
	return nil, missing
}

// digest returns the digest that a fetch stands for in a graph.
func (r *rendering) digest(f carvel.Fetch) v1.Hash {
	ref, err := name.ParseReference(f.Reference)
	if err != nil || f.Digest != (v1.Hash{}) {
		return f.Digest
	}
	for _, pin := range r.graph.Pins {
		if pin.Reference == ref.Name() {
			return pin.Digest
		}
	}
	return v1.Hash{}
}

// read reads a manifest of a registry.
func (r *rendering) read(ctx context.Context, ref name.Reference) (*bundle.Node, error) {
	if err := oci.CheckPath(ref.Context()); err != nil {
		return nil, err
	}
	digest, ok := ref.(name.Digest)
	if !ok {
		desc, _, err := r.src.Manifest(ctx, ref)
		if err != nil {
			return nil, err
		}
		digest = ref.Context().Digest(desc.Digest.String())
	}
	return bundle.ReadNode(ctx, r.src, digest)
}

// files reads the files of a bundle. The lock becomes what imgpkg makes of it at the destination.
func (r *rendering) files(ctx context.Context, node *bundle.Node, localise bool) (fetched render.Fetched, err error) {
	left := int64(maxFetched)
	all := func(string) bool { return true }
	err = node.Files(ctx, r.src, all, func(f bundle.File, content io.Reader) error {
		if !f.Mode.IsRegular() {
			return nil
		}
		if left -= f.Size; left < 0 {
			return fmt.Errorf("read bundle %s: it has more than %s of files", node.Name(), text.Size(maxFetched))
		}
		data, err := io.ReadAll(content)
		fetched.Files = append(fetched.Files, ytt.File{Path: f.Path, Data: data})
		return err
	})
	if err != nil {
		return fetched, err
	}
	for i, f := range fetched.Files {
		if f.Path != carvel.LockFile {
			continue
		}
		lock, err := carvel.ParseImagesLock(f.Data)
		if err != nil {
			return fetched, fmt.Errorf("read bundle %s: %s: %w", node.Name(), f.Path, err)
		}
		r.locks = append(r.locks, lock)
		if localise && r.opt.Destination != (name.Repository{}) {
			if fetched.Files[i].Data, err = lock.At(r.opt.Destination).Encode(); err != nil {
				return fetched, err
			}
		}
	}
	return fetched, nil
}

// images returns the images in a result: what kbld read as a reference, the values of keys image, and
// what a lock has under its own name.
func (r *rendering) images(result *render.Result) (images []RenderedImage) {
	before := map[string]string{} // what kbld read, by what it became
	asked := map[string]bool{}    // what kbld would ask a registry for
	for _, i := range result.Images {
		final := finalOf(i)
		if before[final] == "" {
			before[final] = i.Value
		}
		asked[final] = asked[final] || i.Result.Outcome == kbld.Asked
	}
	named := r.named()
	listed := map[string]bool{}
	for d, doc := range result.Documents {
		for _, s := range doc.Strings {
			was, isRead := before[s.Value]
			isCovered := named[s.Value] && !isRead
			if !isRead && !isCovered && !strings.HasSuffix(s.Path, "/image") {
				continue
			}
			listed[s.Value] = true
			images = append(images, RenderedImage{s.Value, changed(was, s.Value), isCovered, asked[s.Value], d, s.Path, s.Place.File, s.Place.Line})
		}
	}
	for _, i := range result.Images { // in a document inside a string
		if final := finalOf(i); !listed[final] && bytes.Contains(result.Text, []byte(final)) {
			listed[final] = true
			images = append(images, RenderedImage{final, changed(i.Value, final), false, asked[final], i.Document, i.Path, i.Place.File, i.Place.Line})
		}
	}
	slices.SortStableFunc(images, func(a, b RenderedImage) int { return a.Document - b.Document })
	return images
}

// finalOf returns what kbld makes of an image.
func finalOf(i render.Image) string {
	if i.Result.Outcome == kbld.Rewritten {
		return i.Result.Image
	}
	return i.Value
}

// named are the names that the locks give to their images.
func (r *rendering) named() map[string]bool {
	names := map[string]bool{}
	for _, lock := range r.locks {
		for _, e := range lock.Images {
			names[e.Image.Name()] = true
			if id := e.Annotations[carvel.KbldID]; id != "" {
				names[id] = true
			}
		}
	}
	return names
}

// changed returns what an image was before kbld; empty when it is the same.
func changed(before, reference string) string {
	if before == reference {
		return ""
	}
	return before
}
