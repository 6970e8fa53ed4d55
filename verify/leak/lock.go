package leak

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// lock is the ImagesLock of a bundle, and what imgpkg makes of it.
type lock struct {
	images  *carvel.ImagesLock
	first   int            // number of its first entry among those of the folder's locks
	ids     map[string]int // id → index of the entry; the first one counts
	lines   []int          // of the entries
	targets []*lookup      // what the entries point to
	ends    []problem      // of references that the entries rewrite
}

// problem is what is wrong with the target of a reference. An empty code means no problem.
type problem struct {
	code report.Code
	why  string
}

// parseLock reads the lock of a bundle. It returns either the lock or findings.
func parseLock(data []byte, at position) (*lock, []report.Finding) {
	if data == nil {
		return nil, []report.Finding{newFinding(codeBadLock, report.Install, at, "", "is missing: imgpkg takes no image without it for a bundle")}
	}
	lines, odd := lockLines(data)
	parsed, err := carvel.ParseImagesLock(data)
	if err != nil {
		return nil, []report.Finding{newFinding(codeBadLock, report.Install, at.in(odd), "", "cannot be read: %v", err)}
	}
	l := &lock{images: parsed, ids: map[string]int{}, lines: lines}
	for i, e := range parsed.Images {
		id := e.Annotations[carvel.KbldID]
		if _, known := l.ids[id]; id != "" && !known {
			l.ids[id] = i
		}
	}
	return l, nil
}

// lockLines returns the line of each entry's image, and the line of the first entry without a
// digest, or 0.
func lockLines(data []byte) (lines []int, odd int) {
	for doc := range yamlnode.Documents(data) {
		n, err := doc.Node()
		if err != nil {
			return nil, 0
		}
		for _, entry := range yamlnode.Items(yamlnode.Get(n, "images")) {
			image := yamlnode.Get(entry, "image")
			if odd == 0 && !strings.Contains(yamlnode.Text(image), "@sha256:") {
				odd = yamlnode.Line(image, entry.Line)
			}
			lines = append(lines, yamlnode.Line(image, entry.Line))
		}
		break // imgpkg reads the first document only
	}
	return lines, odd
}

// line returns the line of entry i; 0 when unknown.
func (l *lock) line(i int) int {
	if i < len(l.lines) {
		return l.lines[i]
	}
	return 0
}

// lineOf returns the line of the first entry without an id that names the image; 0 when unknown.
func (l *lock) lineOf(image string) int {
	for i, e := range l.images.Images {
		if e.Image.Name() == image && e.Annotations[carvel.KbldID] == "" {
			return l.line(i)
		}
	}
	return 0
}

// withoutID returns a finding for each entry that makes kbld refuse the lock.
func (l *lock) withoutID(at position) []report.Finding {
	var list []report.Finding
	for i, e := range l.images.Images {
		if e.Annotations[carvel.KbldID] == "" {
			list = append(list, newFinding(codeWithoutID, report.Install, at.in(l.line(i)), e.Image.Name(),
				"images[%d] has no annotation %s: kbld refuses the whole lock", i, carvel.KbldID))
		}
	}
	return list
}

// localise looks up the images that the lock of n names, and finds out how imgpkg rewrites it.
func (t *traversal) localise(ctx context.Context, n *bundle.Node, l *lock, at position) ([]report.Finding, error) {
	how, err := t.store.localises(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("ask for the locations image of %s: %w", n.Name(), err)
	}
	for _, e := range l.images.Images {
		found, err := t.store.lookup(ctx, hashOf(e.Image))
		if err != nil {
			return nil, err
		}
		l.targets = append(l.targets, found)
	}
	left := l.leftBecause(how)
	for i, e := range l.images.Images {
		_, own, err := t.store.resolve(ctx, e.Image)
		if err != nil {
			return nil, err
		}
		l.ends = append(l.ends, l.end(i, own, left))
	}
	return l.missing(how, at), nil
}

// leftBecause says why imgpkg leaves the lock unchanged. It is empty when imgpkg rewrites the lock.
func (l *lock) leftBecause(how localised) string {
	switch how {
	case broken:
		return "its locations image cannot be read"
	case probed:
		for i, found := range l.targets {
			if found.node == nil && !found.head {
				return fmt.Sprintf("%s is missing", l.images.Images[i].Image.DigestStr())
			}
		}
	}
	return ""
}

// end returns what is wrong with a reference that entry i rewrites. own says that the entry names
// the bundle's own repository, so the reference points to it in any case.
func (l *lock) end(i int, own bool, left string) problem {
	switch image, found := l.images.Images[i].Image, l.targets[i]; {
	case left != "" && !own:
		return problem{codeElsewhere, fmt.Sprintf("points to %s: imgpkg does not change the lock, because %s", image.Name(), left)}
	case found.node == nil:
		return problem{found.code, fmt.Sprintf("points to %s, which is not available: %s", image.DigestStr(), found.why)}
	}
	return problem{}
}

// missing returns a finding for each missing part of the images that the entries name.
func (l *lock) missing(how localised, at position) []report.Finding {
	var list []report.Finding
	if how == broken {
		list = append(list, newFinding(codeLocations, report.Install, at, "", "the bundle's locations image cannot be read: imgpkg refuses to pull the bundle"))
	}
	for i, found := range l.targets {
		image, at := l.images.Images[i].Image.Name(), at.in(l.line(i))
		if found.node == nil {
			code, note := found.code, ""
			if how == trusted && code == codeMissing {
				code, note = codeLocations, "; there is a locations image, so that imgpkg does not notice"
			}
			list = append(list, newFinding(code, report.Install, at, image, "the lock names an image that is not available: %s%s", found.why, note))
		}
		for _, gap := range found.gaps {
			list = append(list, newFinding(gap.code, gap.level, at, image, "the lock names an incomplete image: %s", gap.why))
		}
	}
	return list
}

// hashOf returns the digest of a parsed reference.
func hashOf(ref name.Digest) v1.Hash {
	d, _ := v1.NewHash(ref.DigestStr())
	return d
}
