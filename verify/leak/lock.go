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
	*carvel.ImagesLock
	ids   map[string]int // id → index of the entry; the first counts
	lines []int          // of the entries
	there []*looked      // what the entries lead to
	left  string         // why imgpkg leaves the lock as it is; empty when it rewrites it
	own   []bool         // the entry names the repository itself, so that it ends there, rewritten or not
}

// parseLock reads the lock of a bundle. What is wrong with it is a finding, without which there is a lock.
func parseLock(data []byte, at position) (*lock, []report.Finding) {
	if data == nil {
		return nil, []report.Finding{newFinding(codeBadLock, report.Install, at, "", "is missing: imgpkg takes no image without it for a bundle")}
	}
	lines, odd := lockLines(data)
	parsed, err := carvel.ParseImagesLock(data)
	if err != nil {
		return nil, []report.Finding{newFinding(codeBadLock, report.Install, at.in(odd), "", "cannot be read: %v", err)}
	}
	l := &lock{ImagesLock: parsed, ids: map[string]int{}, lines: lines}
	for i, e := range parsed.Images {
		id := e.Annotations[carvel.KbldID]
		if _, known := l.ids[id]; id != "" && !known {
			l.ids[id] = i
		}
	}
	return l, nil
}

// lockLines returns the line of each entry's image, and of the first that has no digest, 0 when all have.
func lockLines(data []byte) (lines []int, odd int) {
	for doc := range yamlnode.Documents(data) {
		n, err := doc.Node()
		if err != nil {
			return nil, 0
		}
		for _, entry := range items(below(n, "images")) {
			image := below(entry, "image")
			if odd == 0 && !strings.Contains(text(image), "@sha256:") {
				odd = line(image, entry.Line)
			}
			lines = append(lines, line(image, entry.Line))
		}
		break // imgpkg reads the first document only
	}
	return lines, odd
}

// line returns that of entry i; 0 when it is not known.
func (l *lock) line(i int) int {
	if i < len(l.lines) {
		return l.lines[i]
	}
	return 0
}

// lineOf returns the line of the first entry without id that names the image; 0 when it is not known.
func (l *lock) lineOf(image string) int {
	for i, e := range l.Images {
		if e.Image.Name() == image && e.Annotations[carvel.KbldID] == "" {
			return l.line(i)
		}
	}
	return 0
}

// withoutID returns a finding for each entry that makes kbld refuse the lock.
func (l *lock) withoutID(at position) []report.Finding {
	var list []report.Finding
	for i, e := range l.Images {
		if e.Annotations[carvel.KbldID] == "" {
			list = append(list, newFinding(codeWithoutID, report.Install, at.in(l.line(i)), e.Image.Name(),
				"images[%d] has no annotation %s: kbld refuses the whole lock", i, carvel.KbldID))
		}
	}
	return list
}

// localise looks for what the lock of n names, and finds out what imgpkg makes of it.
func (s *traversal) localise(ctx context.Context, n *bundle.Node, l *lock, at position) ([]report.Finding, error) {
	how, err := s.site.localise(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("ask for the locations image of %s: %w", n.Name(), err)
	}
	var list []report.Finding
	if how == broken {
		l.left = "its locations image cannot be read"
		list = append(list, newFinding(codeLocations, report.Install, at, "", "the bundle's locations image cannot be read: imgpkg refuses to pull the bundle"))
	}
	for i, e := range l.Images {
		found, err := s.site.look(ctx, hashOf(e.Image))
		if err != nil {
			return nil, err
		}
		_, own, err := s.site.end(ctx, e.Image)
		if err != nil {
			return nil, err
		}
		l.there, l.own = append(l.there, found), append(l.own, own)
		if found.node == nil {
			code, note := found.code, ""
			if how == trusted && code == codeMissing {
				code, note = codeLocations, "; there is a locations image, so that imgpkg does not notice"
			}
			if how == probed && !found.head && l.left == "" {
				l.left = fmt.Sprintf("%s is not there", e.Image.DigestStr())
			}
			list = append(list, newFinding(code, report.Install, at.in(l.line(i)), e.Image.Name(), "the lock names an image that cannot be had: %s%s", found.why, note))
		}
		for _, lack := range found.lacks {
			list = append(list, newFinding(lack.code, lack.level, at.in(l.line(i)), e.Image.Name(), "the lock names an image that is not whole: %s", lack.why))
		}
	}
	return list, nil
}

// end says what is wrong with a reference that entry i rewrites. No code: it ends at what is there.
func (l *lock) end(i int) (report.Code, string) {
	switch found := l.there[i]; {
	case l.left != "" && !l.own[i]:
		return codeElsewhere, fmt.Sprintf("ends at %s: imgpkg leaves the lock as it is, because %s", l.Images[i].Image.Name(), l.left)
	case found.node == nil:
		return found.code, fmt.Sprintf("ends at %s, which cannot be had: %s", l.Images[i].Image.DigestStr(), found.why)
	}
	return "", ""
}

// hashOf returns the digest of a reference, which was parsed with it.
func hashOf(ref name.Digest) v1.Hash {
	d, _ := v1.NewHash(ref.DigestStr())
	return d
}
