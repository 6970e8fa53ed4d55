package report

import "encoding/json"

// Selected is what was chosen of the packages of a root.
type Selected struct {
	From     Root              `json:"from"`           // the root that was named
	Root     *Root             `json:"root,omitempty"` // that was derived from it; nil where nothing was chosen
	Choice   json.RawMessage   `json:"choice"`
	Versions []SelectedVersion `json:"versions,omitempty"` // by name, the newest first
	Left     []LeftPackage     `json:"left,omitempty"`     // what the derived root no longer has, by name
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
	Versions []string `json:"versions"` // the newest first
}

// CountLeft returns the number of versions that were not chosen.
func (s Selected) CountLeft() int {
	n := 0
	for _, p := range s.Left {
		n += len(p.Versions)
	}
	return n
}
