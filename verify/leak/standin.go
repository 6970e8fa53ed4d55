package leak

import (
	"bytes"
	"strings"

	"relocate/bundle"
)

func (c *content) standin() (refs []reference, findings []bundle.Finding) {
	files := c.files
	for _, s := range c.steps {
		for p, t := range s.inline {
			files = append(files, textFile{p, []byte(t)})
		}
	}
	for _, f := range files {
		n := 0
		for l := range bytes.Lines(f.data) {
			n++
			v, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(string(l)), "- "), "image: ")
			if !ok {
				continue
			}
			r := reference{f.path, n, v, -1}
			if c.lock != nil {
				for i, e := range c.lock.Images {
					if e.Annotations[bundle.KbldID] == v && r.entry < 0 {
						r.entry = i
					}
				}
			}
			if r.entry < 0 {
				findings = append(findings, bundle.Finding{Code: Uncovered, Level: bundle.Pull, File: f.path, Line: n, Reference: v})
			}
			refs = append(refs, r)
		}
	}
	return refs, findings
}
