package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/render"
	"relocate/report"
)

// repository is a PackageRepository of the input whose bundle the private repository has.
type repository struct {
	claim  *claim
	node   *bundle.Node
	offers []offer
	folder bool // it has a folder packages/
	cut    bool // offers lacks a document
	wrong  error

	findings []report.Finding // about packages/
}

// offer is a Package, or a PackageMetadata, as kapp-controller makes it of a PackageRepository's
// bundle.
type offer struct {
	name, version string            // a PackageMetadata has no version
	spec          []byte            // spec.template.spec of a Package as JSON
	content       [sha256.Size]byte // of what kapp-controller compares
	revision      []int             // by which kapp-controller chooses between different ones
}

// repositories reads the bundles of the PackageRepositories.
func (v *verification) repositories(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(v.opt.Jobs, 1))
	for i := range v.objects.claims {
		c := &v.objects.claims[i]
		if n := v.bundleOf(c); n != nil && c.object.Kind == "PackageRepository" {
			r := &repository{claim: c, node: n}
			v.offering = append(v.offering, r)
			g.Go(func() error { return r.read(running, v) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	read := map[*object]bool{}
	for _, r := range v.offering {
		read[r.claim.object] = r.folder && !r.cut && r.wrong == nil && len(r.findings) == 0
		v.reportBundle(r)
	}
	for _, o := range v.objects.offering {
		if v.unread[o.Namespace] == nil {
			v.unread[o.Namespace] = []*object{}
		}
		if !read[o] {
			v.unread[o.Namespace] = append(v.unread[o.Namespace], o)
		}
	}
	return nil
}

// reportBundle reports what is wrong with the bundle of a PackageRepository.
func (v *verification) reportBundle(r *repository) {
	switch {
	case r.wrong != nil:
		v.report(r.claim, report.Finding{Code: codeDamaged, Message: "its bundle cannot be read: " + text.Line(text.Clip(r.wrong.Error(), 300)), Action: "import it again with --trust-registry nothing"})
	case !r.folder:
		v.report(r.claim, report.Finding{Code: codeNoPackages, Message: "the bundle has no folder packages/: kapp-controller refuses it", Action: "fetch the bundle of a package repository"})
	}
	for _, f := range r.findings {
		if f.Level.Breaks() { // verify --repo reports the others
			v.report(r.claim, report.Finding{Code: f.Code, Level: f.Level, Message: "in its bundle, " + f.File + ": " + f.Message, Action: f.Advised().Action})
		}
	}
}

// bundleOf returns the bundle that a claim fetches from the repository; nil for none.
func (v *verification) bundleOf(c *claim) *bundle.Node {
	ref, inside := v.inside(c.ref)
	if c.kind != bundleFetch || !inside || c.selects {
		return nil
	}
	got := v.asker.answers[ref.Identifier()]
	if got.node == nil || got.node.Kind != bundle.Bundle {
		return nil
	}
	return got.node
}

// read reads the bundle as kapp-controller does.
func (r *repository) read(ctx context.Context, v *verification) error {
	var documents []carvel.PackageDocument
	packages := v.opt.Renderer.Packages(r.node.Descriptor.Digest, func(d carvel.PackageDocument) bool {
		if d.Served {
			documents = append(documents, d)
		}
		return true
	})
	lock, err := r.readFiles(ctx, v, packages)
	if r.wrong, err = damage(err); err != nil || r.wrong != nil {
		return err
	}
	if r.findings, err = packages.End(ctx); err != nil {
		return err
	}
	ids := map[string]string{}
	if lock != nil {
		for _, e := range lock.Images {
			ids[e.Annotations[carvel.KbldID]] = v.repo.Digest(e.Image.DigestStr()).Name()
		}
	}
	for _, d := range documents {
		r.add(d, ids)
	}
	return nil
}

// readFiles adds the files of the bundle to packages, and returns the lock; nil where it is not right, which
// verify --repo reports. It notes whether there is a folder packages/.
func (r *repository) readFiles(ctx context.Context, v *verification, packages *render.Packages) (lock *carvel.ImagesLock, err error) {
	isWanted := func(p string) bool {
		return p == carvel.LockFile || p == "packages" || strings.HasPrefix(p, "packages/")
	}
	err = r.node.Files(ctx, v.asker.source, isWanted, func(f bundle.File, content io.Reader) error {
		isLock := f.Path == carvel.LockFile
		r.folder = r.folder || !isLock && (f.Mode.IsDir() || f.Path != "packages")
		if !f.Mode.IsRegular() || !isLock && !packages.Wants(f.Path) {
			return nil
		}
		if f.Size > yamlnode.MaxSize {
			packages.TooLarge(f.Path, f.Size)
			return nil
		}
		data, err := io.ReadAll(content)
		switch {
		case err != nil:
			return err
		case !isLock:
			packages.Add(f.Path, data)
		case lock == nil: // the first one counts
			lock, _ = carvel.ParseImagesLock(data)
		}
		return nil
	})
	return lock, err
}

// String names the Package, or the PackageMetadata.
func (o *offer) String() string {
	if o.version == "" {
		return "PackageMetadata " + o.name
	}
	return o.name + " " + o.version
}

// add adds a document. ids has what kbld makes of a value of a key "image".
func (r *repository) add(d carvel.PackageDocument, ids map[string]string) {
	var doc struct {
		Metadata struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec map[string]any `json:"spec"`
	}
	if yamlnode.Decode(d.Text, &doc, false) != nil {
		r.cut = true
		return
	}
	rewriteImages(doc.Spec, ids)
	content, err := json.Marshal(doc)
	if err != nil {
		r.cut = true
		return
	}
	o := offer{name: d.Name, content: sha256.Sum256(content), revision: revision(doc.Metadata.Annotations[revisionAnnotation])}
	if d.Package != nil {
		o.name, o.version = d.Package.Name, d.Package.Version
		template, _ := doc.Spec["template"].(map[string]any)
		o.spec, _ = json.Marshal(template["spec"]) // it was possible before
	}
	r.offers = append(r.offers, o)
}

// rewriteImages replaces the values of keys "image" as kbld does with a lock.
func rewriteImages(n any, ids map[string]string) {
	switch n := n.(type) {
	case []any:
		for _, item := range n {
			rewriteImages(item, ids)
		}
	case map[string]any:
		for key, value := range n {
			if image, ok := value.(string); ok && key == "image" && ids[image] != "" {
				n[key] = ids[image]
			}
			rewriteImages(value, ids)
		}
	}
}

// revisionAnnotation decides which of two different Packages stays.
const revisionAnnotation = "packaging.carvel.dev/revision"

// revision reads the numbers of a revision; -1 stands for none.
func revision(s string) (list []int) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return []int{-1}
		}
		list = append(list, n)
	}
	return list
}

// collisions finds Packages that two PackageRepositories of one namespace have with different
// content: kapp-controller refuses the second one (docs/carvel.md, "How a PackageRepository is
// reconciled").
func (v *verification) collisions() {
	type key struct{ namespace, name, version string }
	type owner struct {
		of *repository
		*offer
	}
	first := map[key]owner{}
	for _, r := range v.offering {
		with := map[*repository][]string{}
		var others []*repository
		for i := range r.offers {
			o := &r.offers[i]
			k := key{r.claim.object.Namespace, o.name, o.version}
			other, known := first[k]
			if !known {
				first[k] = owner{r, o}
				continue
			}
			if other.of == r || other.content == o.content || slices.Compare(other.revision, o.revision) != 0 {
				continue
			}
			if with[other.of] == nil {
				others = append(others, other.of)
			}
			with[other.of] = append(with[other.of], o.String())
		}
		for _, other := range others {
			v.note(r.claim, codeConflict, fmt.Sprintf("the PackageRepositories %s and %s have %s with different content: kapp-controller refuses the second of the two",
				text.Quote(repositoryName(other.claim.object)), text.Quote(repositoryName(r.claim.object)), listed(with[other])), "keep the Package in one of the two, or put them into two namespaces")
		}
	}
}

// note reports a finding about a claim that has nothing to do with its reference.
func (v *verification) note(c *claim, code report.Code, message, action string) {
	v.result.Findings = append(v.result.Findings, report.Finding{Code: code, Level: report.Install, Object: &c.object.Object, Line: c.line, Path: c.path, Message: message, Action: action})
}

// repositoryName is the name of a PackageRepository as in its Packages' annotation.
func repositoryName(o *object) string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// listed lists the first of many names.
func listed(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(slices.Clone(names[:most]), text.Count(more, "other"))
	}
	return text.Line(strings.Join(names, ", "))
}
