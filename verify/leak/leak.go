package leak

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/render"
	"relocate/report"
)

// Target is a private repository.
type Target interface {
	bundle.Source
	// Resolve returns the digest of the manifest that id, a tag or a digest, stands for.
	//
	// Errors: fs.ErrNotExist when there is no such manifest.
	Resolve(ctx context.Context, id string) (v1.Hash, error)
}

// blobTarget is a Target that can be asked for a foreign layer.
type blobTarget interface {
	HasBlob(ctx context.Context, d v1.Descriptor) (bool, error)
}

// Options change what Scan and Resolve do. The zero value does one thing at a time.
type Options struct {
	Jobs    int              // bundles and manifests read at once; 0 means 1
	Omitted []report.Omitted // what is left out by choice: children of indexes, and foreign layers, without which no pod can pull an image
	Read    func()           // called for each bundle read and each manifest asked for; safe for concurrent use

	Renderer       *render.Renderer // runs the templates of repositories and packages; nil: none are rendered
	RenderPackages bool             // also render packages, and examine what they deploy
	Values         render.Values    // for these packages
}

// Report is what a scan examined and found.
type Report struct {
	report.Scan
	// Findings has those of the repository bundles first, then those of each other bundle, in the
	// order in which Packages, in file order, and then locks name it. Findings of one bundle are
	// sorted by file and line. Each occurs once.
	Findings report.Findings
	// Installs are the PackageInstalls that packages deploy, in the order of Findings.
	Installs []Install
}

// count adds the counts of one bundle.
func (r *Report) count(of *Report) {
	r.PackageInstalls += of.PackageInstalls
	r.WithoutSecret += of.WithoutSecret
	r.Installs = append(r.Installs, of.Installs[:min(len(of.Installs), maxThings-len(r.Installs))]...)
	r.Bundles += of.Bundles
	r.Files += of.Files
	r.PackagesRendered += of.PackagesRendered
	r.References += of.References
	r.Inside += of.Inside
	r.IDs += of.IDs
	r.IDsFound += of.IDsFound
}

// Scan examines what g, a graph that was walked through src, carries, and reports what would point
// outside the one repository that everything is copied to. An image that a lock names and g holds
// is inside. Each bundle is read once. The report includes the findings of the walk.
//
// An error is an error of src; damage is a finding.
func Scan(ctx context.Context, src bundle.Source, g *bundle.Graph, opt Options) (*Report, error) {
	var roots []v1.Hash
	for _, root := range g.Roots {
		roots = append(roots, root.Digest)
	}
	store := newCarried(g, opt.Omitted)
	t := newTraversal(src, store, v1.Hash.String, opt)
	for _, f := range g.Findings {
		if f.Code != codeNotRead && f.Code != codeRefused { // reading the files finds it again
			f = f.Advised()
			t.walked = append(t.walked, f)
		}
	}
	if err := t.run(ctx, roots); err != nil {
		return nil, err
	}
	t.report.Manifests = int(store.count.Load())
	t.report.addLeftOut(report.OmittedLayers(opt.Omitted), store.namedLayer)
	nameRoots(t.report.Findings, g)
	return &t.report, nil
}

// addLeftOut adds a finding for each left-out layer that no finding names yet. Such a layer may
// belong to an image of a fetch or of an attachment.
func (r *Report) addLeftOut(omitted []report.Omitted, named func(layer v1.Hash) bool) {
	for i, o := range omitted {
		switch {
		case named(o.Digest):
		case len(r.Findings) >= 2*maxFindings:
			r.More += len(omitted) - i
			return
		default:
			r.Findings = append(r.Findings, newFinding(codeForeign, report.Pull, position{bundle: o.Image}, o.Image, "the image is not whole: %s", leftOut(o.Digest).why))
		}
	}
}

// Resolve follows references from roots, which are digests in repo, as kapp-controller does, and
// asks target for each digest once. It contacts nothing else. It reports references that point
// elsewhere, content that is missing or damaged, and foreign layers that target does not have, if
// target has the method HasBlob.
//
// An error means that target could not be asked. fs.ErrPermission: target does not show a root.
func Resolve(ctx context.Context, target Target, repo name.Repository, roots []v1.Hash, opt Options) (*Report, error) {
	store := &private{target: target, repo: repo, omitted: digests(opt.Omitted), read: opt.Read}
	t := newTraversal(target, store, func(d v1.Hash) string { return repo.Digest(d.String()).Name() }, opt)
	if err := t.run(ctx, roots); err != nil {
		return nil, err
	}
	t.report.Manifests = int(store.count.Load())
	return &t.report, nil
}
