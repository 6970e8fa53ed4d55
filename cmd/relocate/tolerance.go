package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/copy"
	"relocate/report"
	"relocate/verify/cluster"
)

// tolerance says which findings are known, and no reason to fail.
type tolerance struct {
	allow   []string
	accept  string
	read    map[identity]bool          // of accept; nil before it was read, once: it may be a pipe
	leftOut map[bundle.Attachment]bool // of accept: attachments that an import left out
}

func (t *tolerance) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&t.allow, "allow", nil, "accept references to `HOST[/PATH]` (repeatable)")
	flags.StringVar(&t.accept, "accept", "", "accept the findings of the earlier report `FILE` (JSON), and the attachments that its import skipped")
}

// places reads the values of --allow.
func (t *tolerance) places() (places []cluster.Place, err error) {
	for _, s := range t.allow {
		place, err := cluster.ParsePlace(s)
		if err != nil {
			return nil, usagef("--allow %w", err)
		}
		places = append(places, place)
	}
	return places, nil
}

// check refuses values that cannot be, before anything is looked at.
func (t *tolerance) check() error {
	if _, err := t.places(); err != nil {
		return err
	}
	_, err := t.known()
	return err
}

// ofPlaces are the findings that --allow is about: of references that end elsewhere. It mends no lock that kbld
// refuses, no file that is not there, and no image that is missing where a cluster looks for it.
var ofPlaces = []report.Code{"uncovered", "outside", "elsewhere", "not-carried", "not-rewritten", "not-locked",
	"composed", "outside-key", "default", "kbld-config", "url", "fetcher"}

// allows reports whether one of the places makes a finding none.
func allows(places []cluster.Place, f report.Finding) bool {
	if f.Code == "kbld-config" && f.Level == report.Install { // such as what has to be built
		return false
	}
	return slices.Contains(ofPlaces, f.Code) && slices.ContainsFunc(places, func(p cluster.Place) bool { return p.Holds(f.Reference) })
}

// split takes the findings that are tolerated out of a list.
func (t *tolerance) split(findings []report.Finding) (rest, accepted []report.Finding, err error) {
	places, err := t.places()
	if err != nil {
		return nil, nil, err
	}
	known, err := t.known()
	if err != nil {
		return nil, nil, err
	}
	for _, f := range findings {
		if known[identityOf(f)] || allows(places, f) {
			accepted = append(accepted, f)
		} else {
			rest = append(rest, f)
		}
	}
	return rest, accepted, nil
}

// identity is by what a finding is the same in two reports: where it is, in which package, what of, and how
// much it hurts. The repository that a bundle is in is no part of it.
type identity struct {
	code                 report.Code
	level                report.Level
	pkg, file, reference string
	line                 int
}

func identityOf(f report.Finding) identity {
	return identity{f.Code, f.Level, f.Package, f.File, f.Reference, f.Line}
}

// maxAccepted is the largest report that is read, in bytes.
const maxAccepted = 64 << 20

// known reads the report of --accept.
func (t *tolerance) known() (map[identity]bool, error) {
	if t.accept == "" || t.read != nil {
		return t.read, nil
	}
	f, err := os.Open(t.accept)
	if err != nil {
		return nil, fmt.Errorf("--accept: %w", err)
	}
	defer func() { _ = f.Close() }() // it was read only
	text, err := io.ReadAll(io.LimitReader(f, maxAccepted+1))
	if err != nil {
		return nil, fmt.Errorf("--accept: %w", err)
	}
	type list struct{ Findings, Accepted []report.Finding }
	var r struct {
		Version int `json:"version"`
		list
		Verify  list        // of a rehearsal
		Running *int        // of objects
		Result  copy.Result // of an import
	}
	switch err := json.Unmarshal(text, &r); {
	case len(text) > maxAccepted:
		return nil, usagef("--accept %s: has more than %s", t.accept, size(maxAccepted))
	case err != nil:
		return nil, usagef("--accept %s: is no report: %w", t.accept, err)
	case r.Version == 0:
		return nil, usagef("--accept %s: is no report: it has no version", t.accept)
	case r.Running != nil:
		return nil, usagef("--accept %s: is a report of objects, which names no findings of packages: give one of plan, verify, rehearse or an export", t.accept)
	case r.Version != reportVersion:
		return nil, usagef("--accept %s: is a report of version %d; this program reads %d", t.accept, r.Version, reportVersion)
	}
	known := map[identity]bool{}
	for _, f := range slices.Concat(r.Findings, r.Accepted, r.Verify.Findings, r.Verify.Accepted) {
		known[identityOf(f)] = true
	}
	t.leftOut = map[bundle.Attachment]bool{}
	for _, l := range r.Result.LeftOut {
		t.leftOut[l.Attachment] = true
	}
	t.read = known
	return known, nil
}
