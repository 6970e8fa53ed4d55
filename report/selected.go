package report

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/text"
)

// Selected is what was chosen of the packages of a root.
type Selected struct {
	From     Root              `json:"from"`           // the root that was named
	Root     *Root             `json:"root,omitempty"` // that was derived from it; nil where nothing was chosen
	Choice   json.RawMessage   `json:"choice"`
	Versions []SelectedVersion `json:"versions,omitempty"` // by name, the newest first
	Left     []LeftPackage     `json:"left,omitempty"`     // what the derived root no longer has, by name
}

// Replaced is an index or a bundle in place of which another was made, for some platforms.
type Replaced struct {
	Kind        string       `json:"kind"`                  // index, bundle
	Reference   string       `json:"reference"`             // of the original
	From        v1.Hash      `json:"from"`                  // of the original
	To          v1.Hash      `json:"to"`                    // of what was made
	Attachments []Attachment `json:"attachments,omitempty"` // to the original: they do not apply
}

// SelectedVersion is a version of a package that was chosen.
type SelectedVersion struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Reason   string   `json:"reason"`             // chosen, installed, dependency
	NeededBy []string `json:"neededBy,omitempty"` // of a dependency: names and versions of what installs it
}

// LeftPackage is a package with the versions of it that were not chosen.
type LeftPackage struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`      // the newest first
	Why      string   `json:"why,omitempty"` // of a package that is wanted: why none of its versions was chosen, in kapp-controller's words
}

// String names the versions, and why there is none of a package that is wanted.
func (p LeftPackage) String() string {
	s := strings.Join(p.Versions, ", ")
	if p.Why != "" {
		s += ", though it is wanted: " + p.Why
	}
	return s
}

// CountLeft returns the number of versions that were not chosen.
func (s Selected) CountLeft() int {
	n := 0
	for _, p := range s.Left {
		n += len(p.Versions)
	}
	return n
}

// ChoiceWords describes a choice of packages (choose.Choice), which may be of anybody: "every package, the
// newest version of each".
func ChoiceWords(raw json.RawMessage) string {
	var c struct {
		Packages []struct {
			Name       string `json:"name"`
			Constraint string `json:"constraint"`
		} `json:"packages"`
		Exclude        []string          `json:"exclude"`
		Latest         int               `json:"latest"`
		Prereleases    bool              `json:"prereleases"`
		Installed      []json.RawMessage `json:"installed"`
		NoDependencies bool              `json:"noDependencies"`
		Kubernetes     string            `json:"kubernetes"`
		KappController string            `json:"kappController"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return text.Line(text.Clip(string(raw), 1000))
	}
	var list []string
	add := func(when bool, words string) {
		if when {
			list = append(list, words)
		}
	}
	for _, p := range c.Packages {
		list = append(list, strings.TrimSpace(p.Name+" "+p.Constraint))
	}
	some := len(c.Packages)+len(c.Exclude) > 0 || c.Latest > 0
	add(some && len(c.Packages) == 0, "every package")
	add(c.Latest == 1, "the newest version of each")
	add(c.Latest > 1, fmt.Sprintf("the newest %d versions of each", c.Latest))
	for _, name := range c.Exclude {
		list = append(list, "without "+name)
	}
	add(c.Prereleases, "with prereleases")
	add(some && len(c.Installed) > 0, "with what the cluster uses")
	add(!some && len(c.Installed) > 0, "what the cluster uses")
	add(c.NoDependencies, "without dependencies")
	add(c.Kubernetes != "", "for Kubernetes "+c.Kubernetes)
	add(c.KappController != "", "for kapp-controller "+c.KappController)
	return text.Line(text.Clip(strings.Join(list, ", "), 1000))
}
