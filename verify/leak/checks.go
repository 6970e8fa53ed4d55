package leak

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/oci"
	"relocate/report"
)

// check looks at all that was read of a repository bundle, and makes wanted what it leads to.
func (r *rootBundle) check(ctx context.Context) error {
	at := r.in(carvel.LockFile)
	var wrong []report.Finding
	if r.lock, wrong = parseLock(r.lockText, at); r.lock != nil {
		if err := r.ask(ctx, r.lock); err != nil {
			return err
		}
		missing, err := r.localise(ctx, r.node, r.lock, at)
		if err != nil {
			return err
		}
		wrong = append(r.lock.withoutID(at), missing...)
	}
	r.findings = append(r.findings, wrong...)
	slices.SortStableFunc(r.documents, func(a, b *packageDocument) int {
		return cmp.Or(strings.Compare(a.file, b.file), a.Line-b.Line)
	})
	r.checkServed()
	known := map[string]*packageDocument{}
	for _, d := range r.documents {
		r.checkDocument(d, known)
		for _, f := range d.fetches {
			if err := r.checkFetch(ctx, d, f); err != nil {
				return err
			}
		}
	}
	if r.lock != nil { // bundles that no Package fetches
		for _, found := range r.lock.there {
			if found.node != nil && found.node.Kind == bundle.Bundle {
				r.want(found.node, nil, 1)
			}
		}
	}
	return nil
}

// checkServed looks whether there is anything to serve.
func (r *rootBundle) checkServed() {
	served := slices.ContainsFunc(r.documents, func(d *packageDocument) bool { return d.Served })
	switch {
	case r.linked:
		r.note(newFinding(codeNoPackages, report.Install, r.in("packages"), "", "is a link, which imgpkg does not unpack: kapp-controller refuses the repository"))
	case served || r.unread:
	default:
		r.note(newFinding(codeNoPackages, report.Install, r.in("packages"), "", "has no Package that kapp-controller serves: it refuses to apply an empty repository"))
	}
}

// checkDocument looks at what a document is; known are those before it, by kind and name.
func (r *rootBundle) checkDocument(d *packageDocument, known map[string]*packageDocument) {
	if d.Package != nil {
		r.report.Packages++
	}
	if d.Package != nil && d.Served {
		r.versions[d.Package.Name] = append(r.versions[d.Package.Name], d.Package.Version)
	}
	switch {
	case d.Served:
	case d.Package != nil || d.Metadata != nil:
		r.note(newFinding(codeOldKind, report.Warning, r.of(d, d.Line), "", "%s %s is of a time before kapp-controller v0.20: a controller of today drops it",
			versionText(d.APIVersion, d.Kind), quote(d.Name)))
		return
	default:
		if d.Kind != "" || !d.ytt {
			r.note(newFinding(codeDropped, report.Warning, r.of(d, d.Line), "", "%s is neither a Package nor a PackageMetadata: kapp-controller drops it", versionText(d.APIVersion, d.Kind)))
		}
		return
	}
	if d.Package != nil && d.Name != d.Package.Name+"."+d.Package.Version {
		r.note(newFinding(codeMisnamed, report.Warning, r.of(d, d.named), "", "is named %s, which is not refName.version, %s: kapp-controller refuses it",
			quote(d.Name), quote(d.Package.Name+"."+d.Package.Version)))
	}
	key := d.Kind + " " + d.Name
	if first := known[key]; first == nil {
		known[key] = d
	} else if first.sum != d.sum {
		r.note(newFinding(codeDuplicate, report.Warning, r.of(d, d.Line), "", "%s is in %s, line %d, too, with different content", quote(key), quote(first.file), first.Line))
	}
	if r.lock != nil {
		for _, image := range d.images {
			r.checkImage(d, image)
		}
	}
}

// checkImage looks at a value that kbld will read, and that no fetch has.
func (r *rootBundle) checkImage(d *packageDocument, image imageKey) {
	if _, covered := r.lock.ids[image.value]; covered {
		return
	}
	at := r.of(d, image.line)
	ref, err := parseReference(image.value)
	_, isDigest := ref.(name.Digest)
	switch {
	case err != nil:
		r.note(newFinding(codeBadImage, report.Install, at, image.value, "the value of the key image, %s, is no reference: kbld refuses the whole repository", quote(image.value)))
	case isDigest:
		r.note(newFinding(codeUncovered, report.Warning, at, image.value, "no lock entry's %s covers the value of the key image: kbld leaves it as it is", carvel.KbldID))
	default:
		r.note(newFinding(codeUncovered, report.Install, at, image.value, "no lock entry's %s covers the value of the key image, and it has no digest: kbld asks its registry, or fails the whole repository", carvel.KbldID))
	}
}

// checkFetch looks where a fetch of a Package ends, and follows it.
func (r *rootBundle) checkFetch(ctx context.Context, d *packageDocument, f fetch) error {
	at := r.of(d, f.Line)
	note := func(code report.Code, level report.Level, format string, args ...any) {
		r.note(newFinding(code, level, at, f.Reference, format, args...))
	}
	if f.Kind != "" && f.Kind != "inline" {
		r.report.References++
	}
	switch {
	case f.Kind == "inline":
		r.wantInline(d, f)
	case f.Kind == "":
		note(codeNotRead, report.Warning, "has a fetch step of no known kind")
	case f.Kind != "imgpkgBundle" && f.Kind != "image":
		note(codeOutside, report.Install, "fetches by %s (%s), which is no image: it stays outside", f.Kind, quote(f.Reference))
	case f.TagSelection:
		note(codeOutside, report.Install, "fetches %s with a tagSelection, which cannot be relocated", quote(f.Reference))
	case r.lock == nil: // nothing is rewritten, which was said
	default:
		ref, err := parseReference(f.Reference)
		if err != nil {
			note(codeBadImage, report.Install, "fetches %s, which is no image reference: kapp-controller refuses the whole repository", quote(f.Reference))
			return nil
		}
		if entry, covered := r.lock.ids[f.Reference]; covered && f.Kind == "imgpkgBundle" {
			r.covered(d, f, ref, entry)
			return nil
		}
		return r.uncovered(ctx, d, f, ref)
	}
	return nil
}

// covered follows a fetch that the lock's entry rewrites.
func (r *rootBundle) covered(d *packageDocument, f fetch, ref name.Reference, entry int) {
	at := r.of(d, f.Line)
	if _, isTag := ref.(name.Tag); isTag {
		r.note(newFinding(codeTag, report.Warning, at, f.Reference, "fetches %s, a tag in place of a digest; the lock covers it", f.Reference))
	}
	if code, why := r.lock.end(entry); code != "" {
		r.note(newFinding(code, report.Install, at, f.Reference, "fetches %s, which %s", f.Reference, why))
	} else {
		r.report.Inside++
	}
	r.follow(d, f, r.lock.there[entry])
}

// uncovered follows a fetch that nothing rewrites.
func (r *rootBundle) uncovered(ctx context.Context, d *packageDocument, f fetch, ref name.Reference) error {
	at := r.of(d, f.Line)
	digest, inside, err := r.site.end(ctx, ref)
	if err != nil {
		return err
	}
	found := &looked{code: codeMissing, why: "the registry does not have it"}
	if digest != (v1.Hash{}) {
		if found, err = r.site.look(ctx, digest); err != nil {
			return err
		}
	}
	_, isDigest := ref.(name.Digest)
	switch {
	case inside && found.node != nil:
		r.report.Inside++
	case inside:
		r.note(newFinding(found.code, report.Install, at, f.Reference, "fetches %s, which cannot be had: %s", f.Reference, found.why))
	case f.Kind == "image":
		r.note(newFinding(codeUncovered, report.Install, at, f.Reference, "fetches %s by image.url, which kapp-controller never rewrites, without a word", f.Reference))
	case isDigest:
		r.note(newFinding(codeUncovered, report.Install, at, f.Reference, "fetches %s, which no lock entry's %s covers: kapp-controller leaves it as it is, without a word", f.Reference, carvel.KbldID))
	default:
		r.note(newFinding(codeUncovered, report.Install, at, f.Reference, "fetches %s, which no lock entry's %s covers: kbld asks its registry, or fails the whole repository", f.Reference, carvel.KbldID))
	}
	for _, lack := range found.lacks {
		r.note(newFinding(lack.code, lack.level, at, f.Reference, "fetches an image that is not whole: %s", lack.why))
	}
	r.follow(d, f, found)
	return nil
}

// parseReference reads a reference as kbld does, and holds its path to the distribution spec's grammar.
func parseReference(s string) (name.Reference, error) {
	ref, err := name.ParseReference(clip(s, 2048))
	if err != nil {
		return nil, err
	}
	return ref, oci.CheckPath(ref.Context())
}

func byLine(a, b report.Finding) int {
	return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
}
