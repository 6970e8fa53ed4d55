package leak

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/report"
	"relocate/verify/leak/kappctrl"
)

// checkFetches checks the fetches of a Package, and queues the folder that they make.
func (r *repositoryBundle) checkFetches(ctx context.Context, d *kappctrl.Document) error {
	r.parts = nil
	isKnown := false
	for i, f := range d.Fetches {
		if err := r.checkFetch(ctx, d, f); err != nil {
			return err
		}
		if len(r.parts) == i {
			r.parts = append(r.parts, part{unknown: true})
		}
		r.parts[i].folder = kappctrl.CleanPath(f.Folder)
		isKnown = isKnown || r.parts[i].node != nil || len(r.parts[i].inline) > 0
	}
	if isKnown {
		r.in.wantFolder(r.parts, use{at: r.of(d, d.Fetches[0].Line), of: d})
	}
	return nil
}

// checkFetch checks one fetch of a Package and follows it: it adds what is fetched to r.parts, if
// that is known.
func (r *repositoryBundle) checkFetch(ctx context.Context, d *kappctrl.Document, f kappctrl.Fetch) error {
	if f.Kind != "" && f.Kind != "inline" {
		r.in.report.References++
	}
	switch f.Kind {
	case "inline":
		r.parts = append(r.parts, part{inline: f.Inline})
	case "imgpkgBundle", "image":
		return r.checkImageFetch(ctx, d, f)
	case "":
		r.noteFetch(d, f, codeNotRead, report.Warning, "has a fetch step of an unknown kind")
	default:
		r.noteFetch(d, f, codeOutside, report.Install, "fetches by %s (%s), which is not an image and stays outside", f.Kind, text.Quote(f.Reference))
	}
	return nil
}

// noteFetch adds a finding about a fetch.
func (r *repositoryBundle) noteFetch(d *kappctrl.Document, f kappctrl.Fetch, code report.Code, level report.Level, format string, args ...any) {
	r.note(newFinding(code, level, r.of(d, f.Line), f.Reference, format, args...))
}

// checkImageFetch checks where the fetch of an image or a bundle points, and follows it.
func (r *repositoryBundle) checkImageFetch(ctx context.Context, d *kappctrl.Document, f kappctrl.Fetch) error {
	switch {
	case f.TagSelection:
		r.noteFetch(d, f, codeOutside, report.Install, "fetches %s with a tagSelection, which cannot be relocated", text.Quote(f.Reference))
		return nil
	case r.lock == nil: // nothing is rewritten; already reported
		return nil
	}
	ref, err := parseReference(f.Reference)
	if err != nil {
		r.noteFetch(d, f, codeBadImage, report.Install, "fetches %s, which is not an image reference: kapp-controller refuses the whole repository", text.Quote(f.Reference))
		return nil
	}
	if entry, covered := r.lock.ids[f.Reference]; covered && f.Kind == "imgpkgBundle" {
		r.covered(d, f, ref, entry)
		return nil
	}
	return r.uncovered(ctx, d, f, ref)
}

// covered follows a fetch that the lock entry rewrites.
func (r *repositoryBundle) covered(d *kappctrl.Document, f kappctrl.Fetch, ref name.Reference, entry int) {
	if _, isTag := ref.(name.Tag); isTag {
		r.noteFetch(d, f, codeTag, report.Information, "fetches %s, a tag in place of a digest; the lock covers it", f.Reference)
	}
	if wrong := r.lock.ends[entry]; wrong.code != "" {
		r.noteFetch(d, f, wrong.code, report.Install, "fetches %s, which %s", f.Reference, wrong.why)
	} else {
		r.in.report.Inside++
	}
	r.follow(d, f, r.lock.targets[entry])
}

// uncovered follows a fetch that nothing rewrites.
func (r *repositoryBundle) uncovered(ctx context.Context, d *kappctrl.Document, f kappctrl.Fetch, ref name.Reference) error {
	digest, inside, err := r.in.store.resolve(ctx, ref)
	if err != nil {
		return err
	}
	found := &lookup{code: codeMissing, why: "the registry does not have it"}
	if digest != (v1.Hash{}) {
		if found, err = r.in.store.lookup(ctx, digest); err != nil {
			return err
		}
	}
	_, isDigest := ref.(name.Digest)
	switch {
	case inside && found.node != nil:
		r.in.report.Inside++
	case inside:
		r.noteFetch(d, f, found.code, report.Install, "fetches %s, which is not available: %s", f.Reference, found.why)
	case f.Kind == "image":
		r.noteFetch(d, f, codeUncovered, report.Install, "fetches %s by image.url, which kapp-controller never rewrites, and reports no error", f.Reference)
	case isDigest:
		r.noteFetch(d, f, codeUncovered, report.Install, "fetches %s, which no lock entry's %s covers: kapp-controller does not change it and reports no error", f.Reference, carvel.KbldID)
	default:
		r.noteFetch(d, f, codeUncovered, report.Install, "fetches %s, which no lock entry's %s covers: kbld asks its registry, or fails the whole repository", f.Reference, carvel.KbldID)
	}
	for _, gap := range found.gaps {
		r.noteFetch(d, f, gap.code, gap.level, "fetches an incomplete image: %s", gap.why)
	}
	r.follow(d, f, found)
	return nil
}

// follow adds the target of f to the folder.
func (r *repositoryBundle) follow(d *kappctrl.Document, f kappctrl.Fetch, found *lookup) {
	switch {
	case found.node == nil:
	case found.node.Kind == bundle.Bundle:
		r.parts = append(r.parts, part{node: found.node})
	case f.Kind == "imgpkgBundle":
		r.noteFetch(d, f, codeBadImage, report.Install, "fetches %s, which is not a bundle", f.Reference)
	}
}

// parseReference reads a reference as kbld does, and checks its path against the distribution
// spec's grammar.
func parseReference(s string) (name.Reference, error) {
	ref, err := name.ParseReference(text.Clip(s, 2048))
	if err != nil {
		return nil, err
	}
	return ref, oci.CheckPath(ref.Context())
}
