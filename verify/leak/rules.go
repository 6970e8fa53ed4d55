package leak

import (
	"slices"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/report"
	"relocate/verify/leak/kappctrl"
)

// documentRules check a document below packages/ that kapp-controller serves.
var documentRules = []func(*repositoryBundle, *kappctrl.Document){
	(*repositoryBundle).checkName,
	(*repositoryBundle).checkDuplicate,
	(*repositoryBundle).checkImages,
}

// checkDocument counts a document and checks it.
func (r *repositoryBundle) checkDocument(d *kappctrl.Document) {
	if p := d.Head.Package; p != nil {
		r.in.report.Packages++
		if d.Head.Served {
			r.in.versions[p.Name] = append(r.in.versions[p.Name], p.Version)
		}
	}
	if !d.Head.Served {
		r.dropped(d)
		return
	}
	for _, rule := range documentRules {
		rule(r, d)
	}
}

// checkServed checks that the repository has something to serve.
func (r *repositoryBundle) checkServed() {
	served := slices.ContainsFunc(r.documents, func(d *kappctrl.Document) bool { return d.Head.Served })
	switch {
	case r.linked:
		r.note(newFinding(codeNoPackages, report.Install, r.at("packages"), "", "is a link, which imgpkg does not unpack: kapp-controller refuses the repository"))
	case served || r.unread:
	default:
		r.note(newFinding(codeNoPackages, report.Install, r.at("packages"), "", "has no Package that kapp-controller serves: it refuses to apply an empty repository"))
	}
}

// dropped reports a document that kapp-controller drops, unless it is data of a ytt template.
func (r *repositoryBundle) dropped(d *kappctrl.Document) {
	kind := strconv.Quote(text.Clip(d.Head.APIVersion+" "+d.Head.Kind, 200))
	switch at := r.of(d, d.Head.Line); {
	case d.Head.Package != nil || d.Head.Metadata != nil:
		r.note(newFinding(codeOldKind, report.Warning, at, "", "%s %s is older than kapp-controller v0.20: current versions drop it", kind, text.Quote(d.Head.Name)))
	case d.Head.Kind != "" || !r.templates[d.File]:
		r.note(newFinding(codeDropped, report.Information, at, "", "%s is neither a Package nor a PackageMetadata: kapp-controller drops it", kind))
	}
}

func (r *repositoryBundle) checkName(d *kappctrl.Document) {
	if p := d.Head.Package; p != nil && d.Head.Name != p.Name+"."+p.Version {
		r.note(newFinding(codeMisnamed, report.Install, r.of(d, d.NameLine), "", "is named %s, which is not refName.version, %s: kapp-controller refuses it, and the repository fails to reconcile",
			text.Quote(d.Head.Name), text.Quote(p.Name+"."+p.Version)))
	}
}

func (r *repositoryBundle) checkDuplicate(d *kappctrl.Document) {
	key := d.Head.Kind + " " + d.Head.Name
	if first := r.byName[key]; first == nil {
		r.byName[key] = d
	} else if first.Sum != d.Sum {
		r.note(newFinding(codeDuplicate, report.Install, r.of(d, d.Head.Line), "", "%s is also in %s, line %d, with different content: kapp refuses the whole repository", text.Quote(key), text.Quote(first.File), first.Head.Line))
	}
}

// checkImages checks the image keys that kbld reads, except those of fetches.
func (r *repositoryBundle) checkImages(d *kappctrl.Document) {
	if r.lock == nil {
		return
	}
	for _, image := range d.Images {
		r.checkImage(d, image)
	}
}

func (r *repositoryBundle) checkImage(d *kappctrl.Document, image kappctrl.ImageKey) {
	if _, covered := r.lock.ids[image.Value]; covered {
		return
	}
	at := r.of(d, image.Line)
	ref, err := parseReference(image.Value)
	_, isDigest := ref.(name.Digest)
	switch {
	case err != nil:
		r.note(newFinding(codeBadImage, report.Install, at, image.Value, "the value of the key image, %s, is not a reference: kbld refuses the whole repository", text.Quote(image.Value)))
	case isDigest:
		r.note(newFinding(codeUncovered, report.Warning, at, image.Value, "no lock entry's %s covers the value of the key image: kbld does not change it", carvel.KbldID))
	default:
		r.note(newFinding(codeUncovered, report.Install, at, image.Value, "no lock entry's %s covers the value of the key image, and it has no digest: kbld asks its registry, or fails the whole repository", carvel.KbldID))
	}
}
