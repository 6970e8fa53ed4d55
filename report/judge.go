package report

import (
	"fmt"
	"slices"
	"strings"

	"relocate/internal/text"
)

// Judge sets OK, Sentence and Hint by what was found, and completes Proved and NotProved. It
// returns v.
func (v *Verdict) Judge() *Verdict {
	switch {
	case v.Verify != nil:
		v.judgeRehearsal()
	case v.Objects != nil:
		v.judgeObjects()
	default:
		v.judgeContent()
	}
	return v
}

// judgeContent judges an archive or a repository.
func (v *Verdict) judgeContent() {
	breaking := v.Findings.Breaking()
	v.OK = len(v.Problems) == 0 && (!v.Strict || breaking == 0)
	if s := v.Scan; s != nil && breaking == 0 && s.References+s.Packages > 0 {
		v.closed(v.Level != "")
	}
	if len(v.Problems) > 0 {
		v.Proved = nil
	}
	v.Sentence, v.Hint = v.content(), v.remedy()
	v.limit()
}

// closed says that no reference points outside, or that some do: a warning or an accepted finding names
// them. leads says that they lead to a registry.
func (v *Verdict) closed(leads bool) {
	s := v.Scan
	references := text.Count(s.References, "reference") + " in " + s.Places()
	switch outside := s.References - s.Inside; {
	case outside == 0 && leads:
		v.Proved = append(v.Proved, "the "+references+" lead to it, by the rules of kapp-controller, imgpkg and kbld")
	case outside == 0:
		v.Proved = append(v.Proved, "none of the "+references+" points outside")
	case leads:
		v.NotProved = append(v.NotProved, fmt.Sprintf("that all references lead to it: %d of %s do", s.Inside, references))
	default:
		v.NotProved = append(v.NotProved, fmt.Sprintf("that no reference points outside: %d of %s do", outside, references))
	}
}

// content is the sentence about an archive or a repository: complete says that nothing is missing,
// closed that nothing from outside is needed.
func (v *Verdict) content() string {
	breaking := v.Findings.Breaking()
	open := v.Findings.Open()
	problems := text.Count(len(v.Problems), "problem")
	switch {
	case v.OK && breaking > 0:
		return fmt.Sprintf("%s %s %s (--strict fails on that)", v.Subject, v.complete(), open)
	case v.OK:
		return v.good()
	case len(v.Problems) == 0:
		return fmt.Sprintf("%s %s %s", v.Subject, v.complete(), open)
	case v.unadorned() != "" && breaking == 0:
		content := "every manifest"
		if v.Level != "manifests" {
			content += " and layer"
		}
		return fmt.Sprintf("%s has %s, but not what an import adds: %s", v.Subject, content, v.unadorned())
	case breaking > 0:
		return fmt.Sprintf("%s has %s, and is %s", v.Subject, problems, open)
	}
	return fmt.Sprintf("%s has %s", v.Subject, problems)
}

// good is the sentence of an OK.
func (v *Verdict) good() string {
	s := v.Subject + " is complete"
	if v.Level == "manifests" {
		s += " at level manifests"
	}
	if v.Scan != nil && v.Scan.Closed() {
		s += " and closed"
	}
	return s + v.given() + v.except("that is accepted", "that are accepted")
}

// given says what a good verdict assumes.
func (v *Verdict) given() string {
	var list []string
	for _, b := range v.Bases {
		list = append(list, b.String())
	}
	if len(list) == 0 {
		return ""
	}
	return ", given " + joined(list)
}

// complete begins a sentence about what is not closed: nothing is missing, or only what was left
// out.
func (v *Verdict) complete() string {
	var list []string
	if n := len(OmittedLayers(v.Omitted)); n > 0 {
		list = append(list, text.Count(n, "layer")+" left out")
	}
	if n := len(OmittedImages(v.Omitted)); n > 0 {
		list = append(list, text.Count(n, "image")+" left out by platform")
	}
	if len(list) > 0 {
		return "is complete" + v.given() + " except for " + joined(list) + ", but"
	}
	return "is complete" + v.given() + ", but"
}

// except ends a sentence with what a good verdict does not cover. accepted and acceptedMany are the
// words for one accepted finding and for several.
func (v *Verdict) except(accepted, acceptedMany string) string {
	var list []string
	add := func(n int, one, some string) {
		if n > 0 {
			list = append(list, counted(n, one, some))
		}
	}
	add(len(OmittedLayers(v.Omitted)), "layer left out", "layers left out")
	add(len(OmittedImages(v.Omitted)), "image left out by platform", "images left out by platform")
	if len(v.Unseen) > 0 {
		list = append(list, "attachments that were not copied")
	}
	add(len(v.AcceptedLeftOut), "attachment left out at the import", "attachments left out at the import")
	add(v.Unread, "root that is not a bundle and was not read", "roots that are not bundles and were not read")
	add(v.Findings.count(Warning), "warning", "warnings")
	add(len(v.Accepted), "finding "+accepted, "findings "+acceptedMany)
	if len(list) == 0 {
		return ""
	}
	return ", except for " + joined(list)
}

// unadorned counts the tags and locations images that are missing, if nothing else is wrong:
// another tool uploads all content, but neither of these. It is empty otherwise.
func (v *Verdict) unadorned() string {
	n := map[string]int{}
	for _, p := range v.Problems {
		for _, noun := range []string{"tag", "locations image"} {
			if p.Kind == Missing && strings.HasPrefix(p.What, noun+" ") {
				n[noun]++
			}
		}
	}
	tags, images := n["tag"], n["locations image"]
	if tags+images != len(v.Problems) {
		return ""
	}
	var list []string
	for _, noun := range []string{"tag", "locations image"} {
		if n[noun] > 0 {
			list = append(list, text.Count(n[noun], noun))
		}
	}
	return joined(list)
}

// hintFindings is what to do about findings.
const hintFindings = "fix the findings above, or accept known ones with --allow HOST or --accept REPORT.json"

// remedy is what fixes what was found. Another import does not fix content, and does not fix the
// wrong file.
func (v *Verdict) remedy() string {
	isOther := func(p Problem) bool {
		return p.Kind == Different && (p.What == "seal" || strings.HasPrefix(p.What, "root "))
	}
	isContent := func(f Finding) bool {
		leftOut := f.Code == "foreign" && len(OmittedLayers(v.Omitted)) > 0
		return f.Level.Breaks() && (v.Level == "" || leftOut || !slices.Contains(fixedByImport, f.Code))
	}
	switch {
	case len(v.Problems) == 0 && slices.ContainsFunc(v.Findings, isContent):
		return hintFindings
	case v.unadorned() != "":
		return "import the archive: that adds them, and uploads no layer that is already present"
	case slices.ContainsFunc(v.Problems, isOther) && !v.Damaged():
		return "this is another file, or was written by another export: compare with what the export printed, and find the right file"
	}
	return v.Fix
}

// judgeObjects judges objects of a cluster.
func (v *Verdict) judgeObjects() {
	breaking := v.Findings.Breaking()
	v.OK, v.Hint = breaking == 0, "each finding says what to do"
	objects, all, need, name := v.Objects.Objects, "everything that", "need", "name"
	if objects == 1 {
		need, name = "needs", "names"
	}
	of := fmt.Sprintf("%s in %s", text.Count(objects, "object"), v.Subject)
	switch {
	case !v.OK:
		v.Sentence = fmt.Sprintf("not %s %s %s comes from %s: %s", all, of, need, v.Repository, v.Findings)
	case v.Objects.References == 0:
		v.Sentence = fmt.Sprintf("%s %s no image", of, name)
	case v.Objects.Allowed > 0:
		v.Sentence = fmt.Sprintf("%s %s %s is in %s, or allowed to be elsewhere", all, of, name, v.Repository)
	default:
		v.Sentence = fmt.Sprintf("%s %s %s is in %s", all, of, name, v.Repository)
	}
	if v.OK {
		v.Sentence += v.except("", "")
	}
	if v.OK {
		v.Proved = append(v.Proved, v.Objects.String())
	}
	if n := v.Objects.NotRendered; n > 0 {
		v.NotProved = append(v.NotProved, fmt.Sprintf("what %s: not rendered", counted(n, "PackageInstall deploys", "PackageInstalls deploy")))
	}
	v.NotProved = append(v.NotProved, "that the content that the objects name is intact: relocate verify --repo, with the archive, checks that")
	v.Limit()
}

// judgeRehearsal copies what the verification found, and judges.
func (v *Verdict) judgeRehearsal() {
	of := v.Verify
	v.Level, v.Pinned, v.Strict = "deep", true, true // every byte was hashed by the import
	v.Roots, v.Contents, v.Scan, v.Unread = of.Roots, of.Contents, of.Scan, of.Unread
	v.Problems, v.Rows, v.Omitted, v.Unseen = of.Problems, of.Rows, of.Omitted, of.Unseen
	v.Attached, v.Bare, v.AttachedNote, v.AcceptedLeftOut = of.Attached, of.Bare, of.AttachedNote, of.AcceptedLeftOut
	v.Findings, v.Accepted = slices.Clone(of.Findings), of.Accepted
	objects := v.PackageRepository
	if objects != nil {
		v.Findings = append(v.Findings, objects.Findings...)
	}
	v.OK = of.OK && (objects == nil || objects.OK)
	v.Hint = "fix the problems, or add what is missing, and export again"
	if len(v.Problems) == 0 && of.Findings.Breaking() > 0 {
		v.Hint = hintFindings
	}
	v.Sentence = v.rehearsed()
	if s := of.Scan; s != nil && s.References > 0 {
		v.closed(true)
	}
	if objects != nil && objects.OK {
		v.Proved = append(v.Proved, "the PackageRepository fetches from it, by digest")
	}
	v.NotProved = append(v.NotProved, "that the private registry accepts and keeps it: the rehearsal has its own registry; after the import, relocate verify --repo checks that")
	v.limit()
}

// rehearsed is the sentence about a rehearsal.
func (v *Verdict) rehearsed() string {
	if v.OK {
		s := fmt.Sprintf("%s can be imported into %s", v.Subject, v.Repository)
		if v.Scan == nil || v.Scan.Bundles == 0 {
			return s + "; it has no bundle, so what it needs from elsewhere is not known"
		}
		return s + ", and needs nothing from elsewhere" + v.given() + v.except("accepted", "accepted")
	}
	var why []string
	if n := len(v.Problems); n > 0 {
		why = append(why, text.Count(n, "problem"))
	}
	if v.Findings.Breaking() > 0 {
		why = append(why, "findings: "+v.Findings.String())
	}
	return fmt.Sprintf("%s does not work at %s: %s", v.Subject, v.Repository, strings.Join(why, "; "))
}

// limit says what is not proved about an archive or a repository.
func (v *Verdict) limit() {
	add := func(s string) { v.NotProved = append(v.NotProved, s) }
	if v.Archive != nil && !v.Pinned {
		add("that it is the file that was exported: neither --seal nor --root was given")
	}
	v.sayAfter()
	switch v.Level {
	case "manifests":
		add("that layers are present: level manifests does not check that; --level blobs asks the registry for each, --level deep reads and hashes each")
	case "blobs":
		add("that layers are intact: the registry says that it has them, but they were not read; --level deep reads and hashes each")
	}
	v.Limit()
}

// sayAfter says what is known of what follows the archive, and what is not.
func (v *Verdict) sayAfter() {
	if v.Archive == nil {
		return
	}
	ignored, unread := v.Archive.After()
	if ignored != "" {
		v.Proved = append(v.Proved, ignored)
	}
	if unread != "" {
		v.NotProved = append(v.NotProved, unread)
	}
}

// Limit adds to NotProved what is not proved because of layers that were left out, content that
// could not be read and attachments that were not seen. Judge calls it. It returns v.
func (v *Verdict) Limit() *Verdict {
	add := func(n int, format string, noun string) {
		if n > 0 {
			v.NotProved = append(v.NotProved, fmt.Sprintf(format, text.Count(n, noun)))
		}
	}
	layers := 0
	for _, b := range v.Bases {
		layers += b.Layers
	}
	add(layers, "that the destination has %s that the archive assumes: an import reads a byte of each before it begins", "layer")
	add(len(OmittedLayers(v.Omitted)), "that all layers are present: %s that may not be distributed left out", "layer")
	add(len(OmittedImages(v.Omitted)), "that images work on all platforms: %s left out by platform", "image")
	if v.Scan != nil {
		deploy := "deploy: their"
		if v.Scan.PackagesAsText == 1 {
			deploy = "deploys: its"
		}
		says := "what %s " + deploy + " files were examined as text only"
		if n := v.Findings.ofCode("needs-values"); n > 0 {
			says += fmt.Sprintf(", %d because values are missing (--values-file)", n)
		}
		add(v.Scan.PackagesAsText, says, "package version")
	}
	if v.Scan != nil && v.Scan.PlainManifests > 0 {
		v.NotProved = append(v.NotProved, "that plain manifests name no image in another form, such as compressed or in parts that a program joins")
	}
	add(v.Findings.ofCode("not-read"), "that every reference was found: %s could not be read in full", "place")
	add(len(v.Unseen), "that every signature was found: %s refused or not copied", "attachment")
	return v
}
