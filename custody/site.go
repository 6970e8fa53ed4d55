package custody

import (
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// SiteState is how far an archive has come at a site.
type SiteState string

// The states of a site.
const (
	SiteUnseen    SiteState = "never seen" // no receipt is from there
	SiteOther     SiteState = "other root" // the last receipt is about another archive
	SiteImporting SiteState = "importing"  // the archive is there, but nobody has verified the repository since
	SiteFailed    SiteState = "failed"     // the repository was verified, and something is missing or wrong
	SiteComplete  SiteState = "complete"   // the repository has everything that the archive lists
	SiteClosed    SiteState = "closed"     // and no reference points outside
)

// Site is what a file of receipts says of a site.
type Site struct {
	State     SiteState
	Last      *Line    // that says so; nil for none
	Elsewhere int      // receipts about other repositories
	Problems  []string // with lines, which do not count then
	Notes     []string // on how the lines that count hang together

	Untrusted bool // one of the problems is that nobody who is trusted signed a line
}

// At returns what the receipts of a site say of its repository and an archive with a seal, by which the chain was
// read. It believes the last receipt: one that names another before it is later than that one, and of chains that do
// not know each other the one with the latest time counts. What is signed by nobody who is trusted does not count,
// nor does a receipt about another repository, which may be that of another site. Lines that nobody who is trusted
// signed are a problem only after the last receipt that counts.
func (c *Chain) At(repository string, seal v1.Hash) Site {
	s := Site{State: SiteUnseen}
	var untrusted []string
	for i := range c.Lines {
		l := &c.Lines[i]
		switch {
		case l.Untrusted != nil:
			untrusted = append(untrusted, l.Untrusted.Error())
		case l.Problem != "" && (l.Receipt == nil || l.Receipt.Seal == seal):
			s.Problems = append(s.Problems, fmt.Sprintf("line %d: %s", l.Number, l.Problem))
		case l.Receipt == nil:
		case l.Receipt.isAbout(repository, seal):
			if l.Note != "" {
				s.Notes = append(s.Notes, fmt.Sprintf("line %d: %s", l.Number, l.Note))
			}
			if s.Last == nil || !l.latest.Before(s.Last.latest) {
				s.State, s.Last, untrusted = l.Receipt.siteState(seal), l, nil
			}
		case l.Receipt.isOfRepository():
			s.Elsewhere++
		}
	}
	s.Problems, s.Untrusted = append(s.Problems, untrusted...), len(untrusted) > 0
	return s
}

// isAbout reports whether a receipt is about a repository, or about an archive that is not in one yet.
func (r *Receipt) isAbout(repository string, seal v1.Hash) bool {
	if r.isOfRepository() {
		return r.Target == repository
	}
	return (r.Act == Received || r.Act == Rehearsed) && r.Seal == seal
}

// siteState is the state of a site whose last receipt it is.
func (r *Receipt) siteState(seal v1.Hash) SiteState {
	switch {
	case r.Seal != seal:
		return SiteOther
	case r.Act != Verified && !r.Failed():
		return SiteImporting
	case r.Failed():
		return SiteFailed
	case slices.Contains(r.Levels, LevelClosed):
		return SiteClosed
	case slices.Contains(r.Levels, LevelComplete):
		return SiteComplete
	}
	return SiteImporting
}
