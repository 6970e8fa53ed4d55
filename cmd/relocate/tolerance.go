package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"relocate/report"
	"relocate/verify/cluster"
)

// tolerance are the flags that say which findings are known and are not a reason to fail.
type tolerance struct {
	allow  []string
	accept string
	read   *report.Acceptance // of the flags; nil before it was made: --accept is read once, it may be a pipe
}

func (t *tolerance) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&t.allow, "allow", nil, "accept references to `HOST[/PATH]` (repeatable)")
	flags.StringVar(&t.accept, "accept", "", "accept the findings in the earlier report `FILE` (JSON), and the attachments that its import skipped")
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

// check rejects values that are not possible, before anything is read.
func (t *tolerance) check() error {
	_, err := t.acceptance()
	return err
}

// acceptance returns what the flags accept.
func (t *tolerance) acceptance() (*report.Acceptance, error) {
	if t.read != nil {
		return t.read, nil
	}
	places, err := t.places()
	if err != nil {
		return nil, err
	}
	known := &report.Acceptance{Allowed: func(reference string) bool {
		return slices.ContainsFunc(places, func(p cluster.Place) bool { return p.Holds(reference) })
	}}
	if t.accept != "" {
		if err := t.readReport(known); err != nil {
			return nil, err
		}
	}
	t.read = known
	return known, nil
}

// readReport accepts what the report of --accept has.
func (t *tolerance) readReport(known *report.Acceptance) error {
	f, err := os.Open(t.accept)
	if err != nil {
		return fmt.Errorf("--accept: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	err = known.Read(f)
	if isA[*os.PathError](err) {
		return fmt.Errorf("--accept: %w", err)
	}
	if err != nil {
		return usagef("--accept %s: %w", t.accept, err)
	}
	return nil
}

// split separates the tolerated findings from the rest.
func (t *tolerance) split(findings report.Findings) (rest, accepted report.Findings, err error) {
	known, err := t.acceptance()
	if err != nil {
		return nil, nil, err
	}
	rest, accepted = known.Split(findings)
	return rest, accepted, nil
}
