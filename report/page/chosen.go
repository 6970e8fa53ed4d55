package page

import (
	"strings"

	"relocate/report"
)

// pageChosen is what was chosen of package repositories, and what was not.
type pageChosen struct {
	Versions excerpt[chosenRow]
	Left     excerpt[leftRow]
}

// chosenRow is a version that was chosen.
type chosenRow struct {
	From, Name, Version, Why string
}

// leftRow is a package with the versions that were not chosen.
type leftRow struct {
	From, Name, Versions string
}

// chosen shows what was chosen.
func (p *htmlPage) chosen(selected []report.Selected) {
	var versions []chosenRow
	var left []leftRow
	for _, s := range selected {
		for _, v := range s.Versions {
			why := v.Reason
			if len(v.NeededBy) > 0 {
				why = "needed by " + strings.Join(v.NeededBy, ", ")
			}
			versions = append(versions, chosenRow{s.From.Reference, v.Name, v.Version, why})
		}
		for _, l := range s.Left {
			left = append(left, leftRow{s.From.Reference, l.Name, l.String()})
		}
	}
	p.Chosen.Versions = shorten(versions, mostPageImages, func(r chosenRow) []string { return []string{r.From, r.Name, r.Version, r.Why} })
	p.Chosen.Left = shorten(left, mostPageImages, func(r leftRow) []string { return []string{r.From, r.Name, r.Versions} })
}
