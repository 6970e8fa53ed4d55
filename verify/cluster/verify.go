package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/text"
	"relocate/render"
	"relocate/report"
)

// Options change what Verify does.
type Options struct {
	Allow    []Place          // where images may be outside the repository; Verify contacts none of them
	Jobs     int              // concurrent requests; 0 means 1
	Renderer *render.Renderer // runs templates; nil: nothing is rendered

	RenderPackages bool // also render what PackageInstalls deploy, not only the Packages of PackageRepositories
}

// Verify compares what the objects name with the repository repo, which it reads through source. It
// asks for each digest and tag once, reads the bundles of PackageRepositories, and contacts no other
// registry.
//
// An error means that the repository could not be asked.
func (o *Objects) Verify(ctx context.Context, source bundle.Source, repo name.Repository, opt Options) (*Result, error) {
	v := &verification{
		objects: o, repo: repo, opt: opt, result: &Result{ObjectCounts: report.ObjectCounts{Objects: o.count, References: len(o.claims)}},
		asker:  asker{source: source, repo: repo, jobs: opt.Jobs, answers: map[string]*answer{}, details: map[string]detail{}},
		unread: map[string][]*object{},
	}
	for i := range o.claims {
		v.wantClaim(&o.claims[i])
	}
	for i := range o.running {
		if ref, inside := v.inside(o.running[i].ref); inside {
			v.asker.want(ref.Identifier(), parts)
		}
	}
	if err := v.asker.ask(ctx); err != nil {
		return nil, err
	}
	v.result.Findings = slices.Clone(o.findings)
	for i := range o.claims {
		v.claim(&o.claims[i])
	}
	if err := v.running(ctx); err != nil {
		return nil, err
	}
	if err := v.inlineFiles(ctx); err != nil {
		return nil, err
	}
	if err := v.repositories(ctx); err != nil {
		return nil, err
	}
	v.installs()
	v.conflicts()
	if err := v.deployments(ctx); err != nil {
		return nil, err
	}
	v.collisions()
	slices.SortStableFunc(v.result.Findings, func(a, b report.Finding) int {
		return cmp.Compare(a.Line, b.Line)
	})
	for i, f := range v.result.Findings {
		v.result.Findings[i] = f.Advised()
	}
	if v.result.Findings == nil {
		v.result.Findings = []report.Finding{}
	}
	return v.result, nil
}

// verification is one run of Verify.
type verification struct {
	objects *Objects
	repo    name.Repository
	opt     Options
	asker   asker
	result  *Result

	offering []*repository        // in the order of the input
	unread   map[string][]*object // by namespace with PackageRepositories: those that were not read in full
}

// inside parses the reference s and reports whether it is in the repository.
func (v *verification) inside(s string) (name.Reference, bool) {
	ref := parse(s)
	return ref, ref != nil && ref.Context().Name() == v.repo.Name()
}

func (v *verification) allowed(host, path string) bool {
	return slices.ContainsFunc(v.opt.Allow, func(p Place) bool { return p.has(host, path) })
}

// wantClaim queues a request for what a claim names. For an image outside the repository, it queues
// its digest, to see whether the repository has it too.
func (v *verification) wantClaim(c *claim) {
	ref, inside := v.inside(c.ref)
	_, pinned := ref.(name.Digest)
	switch {
	case c.isURL() || inside && c.selects:
	case inside && c.kind == bundleFetch:
		v.asker.want(ref.Identifier(), asBundle)
	case ref != nil && (inside || pinned && !v.allowed(ref.Context().RegistryStr(), ref.Context().RepositoryStr())):
		v.asker.want(ref.Identifier(), presence)
	}
}

// isURL reports whether a claim is a URL, not an image.
func (c *claim) isURL() bool {
	return c.kind == httpFetch || c.kind == gitFetch || c.kind == chartFetch
}

// report adds a finding about a claim.
func (v *verification) report(c *claim, f report.Finding) {
	f.Object, f.Path, f.Line, f.Reference = &c.object.Object, c.path, c.line, c.ref
	f.Level = cmp.Or(f.Level, c.level)
	if c.deploys != "" {
		f.Basis, f.Message = report.Rendered, "it deploys "+c.deploys+": "+f.Message
	}
	if c.idle != "" && f.Level == report.Pull {
		f.Level = report.Warning
		f.Message += "; it is " + c.idle
	}
	v.result.Findings = append(v.result.Findings, f)
}

// claim checks one claim.
func (v *verification) claim(c *claim) {
	if c.isURL() {
		v.url(c)
		return
	}
	ref, inside := v.inside(c.ref)
	switch {
	case ref == nil:
		v.report(c, report.Finding{Code: codeNotReference, Message: "it is not an image reference", Action: "name an image of " + v.repo.Name() + ", by digest"})
	case inside && c.selects:
		v.selection(c, ref)
	case inside:
		v.local(c, ref)
	case v.allowed(ref.Context().RegistryStr(), ref.Context().RepositoryStr()):
		v.result.Allowed++
	default:
		v.outside(c, ref)
	}
}

// url checks a claim that is a URL.
func (v *verification) url(c *claim) {
	host, path, err := splitURL(c.ref)
	switch {
	case err == nil && v.allowed(host, path):
		v.result.Allowed++
	case err != nil:
		v.report(c, report.Finding{Code: codeNotReference, Message: "it " + err.Error(), Action: "fetch a bundle of " + v.repo.Name() + " with imgpkgBundle"})
	default:
		v.report(c, report.Finding{Code: codeOutside, Message: fmt.Sprintf("kapp-controller fetches it with %s from %s", c.kind, text.Quote(host)),
			Action: fmt.Sprintf("fetch a bundle of %s with imgpkgBundle, or allow that host with --allow if the cluster reaches it", v.repo.Name())})
	}
}

// outside reports an image outside the repository.
func (v *verification) outside(c *claim, ref name.Reference) {
	f := report.Finding{Code: codeOutside, Message: "it is at " + ref.Context().Name() + ", outside of " + v.repo.Name()}
	if _, isTag := ref.(name.Tag); !isTag && v.asker.answers[ref.Identifier()].exists() {
		f.Message += ", which has the same digest"
		f.Action = "refer to " + v.repo.Digest(ref.Identifier()).Name()
		if c.kind == "" {
			f.Action += ": the package's lock, or its kbld step, does not cover it"
		}
	} else {
		f.Action = fmt.Sprintf("copy it to %s and refer to it there by digest, or allow its registry with --allow", v.repo.Name())
	}
	v.report(c, f)
}

// selection reports a fetch from the repository with a tag selection. kapp-controller rewrites a
// Package's reference to a digest, and refuses a tag selection beside a digest (docs/carvel.md,
// "How a PackageRepository is reconciled").
func (v *verification) selection(c *claim, ref name.Reference) {
	f := report.Finding{Code: codeNotPinned, Action: "name one digest, without a tag selection"}
	switch _, pinned := ref.(name.Digest); {
	case pinned:
		f.Message = "a tag selection beside a digest fails when it is fetched"
	default:
		f.Message = "a range of tags chooses what is fetched: it is not pinned, and an import gives tags to the roots only"
	}
	v.report(c, f)
}

// local checks an image that should be in the repository.
func (v *verification) local(c *claim, ref name.Reference) {
	got := v.asker.answers[ref.Identifier()]
	_, isTag := ref.(name.Tag)
	switch {
	case got.damage != nil:
		v.report(c, report.Finding{Code: codeDamaged, Message: "its manifest in the registry is damaged: " + text.Line(text.Clip(got.damage.Error(), 300)), Action: "import it again with --trust-registry nothing"})
		return
	case !got.exists() && isTag:
		v.report(c, report.Finding{Code: codeMissing, Message: fmt.Sprintf("the repository does not have the tag %s", text.Quote(ref.Identifier())), Action: "use its digest; imported images have few tags"})
		return
	case !got.exists():
		v.report(c, report.Finding{Code: codeMissing, Message: "the registry does not have it", Action: "import the archive with the image again"})
		return
	case isTag:
		v.report(c, report.Finding{Code: codeNotPinned, Level: report.Warning, Message: "it is named by a tag, which may move; its digest is now " + got.digest.String(),
			Action: "refer to " + v.repo.Digest(got.digest.String()).Name()})
	}
	if n := got.node; n != nil && c.kind == bundleFetch && n.Kind != bundle.Bundle {
		v.report(c, report.Finding{Code: codeNotBundle, Message: fmt.Sprintf("it is an %s, not a bundle: kapp-controller cannot fetch it with imgpkgBundle", n.Kind), Action: "name the digest of a bundle"})
	}
	v.result.Inside++
}

// running compares the images that nodes report with those that the Pods name.
func (v *verification) running(ctx context.Context) error {
	open := v.compareRunning()
	if err := v.asker.ask(ctx); err != nil {
		return err
	}
	for _, c := range open {
		ref, _ := v.inside(c.ref)
		got := v.asker.answers[ref.Identifier()]
		if slices.ContainsFunc(got.children, func(child v1.Hash) bool { return v.asker.answers[child.String()].has(c.id) }) {
			v.result.Running++
			continue
		}
		v.result.Findings = append(v.result.Findings, report.Finding{Code: codeDifferent, Level: report.Pull, Object: &c.object.Object, Path: c.path, Line: c.line, Reference: c.ref,
			Message: fmt.Sprintf("its node runs %s, which does not belong to %s", c.id, got.digest),
			Action:  "delete the Pod so that it is created again; if that does not help, check the node for a registry mirror or an image that was loaded by hand"})
	}
	return nil
}

// compareRunning counts the containers that run the image they name. It returns those that only the
// children of an index can decide, and queues requests for these children.
func (v *verification) compareRunning() (open []*container) {
	for i := range v.objects.running {
		c := &v.objects.running[i]
		ref, inside := v.inside(c.ref)
		if !inside { // no other registry is asked for the children of an index
			if ref != nil && ref.Identifier() == c.id.String() {
				v.result.Running++
			}
			continue
		}
		got := v.asker.answers[ref.Identifier()]
		switch {
		case !got.exists(): // the image's claim has the finding
		case got.digest == c.id, got.has(c.id):
			v.result.Running++
		default:
			open = append(open, c)
			for _, child := range got.children {
				v.asker.want(child.String(), parts)
			}
		}
	}
	return open
}

// has reports whether d is the image's config, or a child of the index.
func (a *answer) has(d v1.Hash) bool {
	return a.exists() && (a.config == d || slices.Contains(a.children, d))
}
