package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/text"
)

// Acceptance says which findings are known and are not a reason to fail. The zero value accepts
// none.
type Acceptance struct {
	Allowed func(reference string) bool // reports where images and fetched content may be; nil: nowhere

	known   map[identity]bool
	leftOut map[attached]bool
}

// identity is what makes a finding the same in two reports: its code, its level, its package, its
// file and line, and its reference. The repository of the bundle is not part of it.
type identity struct {
	code                 Code
	level                Level
	pkg, file, reference string
	line                 int
}

func identityOf(f Finding) identity {
	return identity{f.Code, f.Level, f.Package, f.File, f.Reference, f.Line}
}

// attached is what makes an attachment the same in two reports.
type attached struct {
	subject, digest v1.Hash
	tag             string
}

// maxAccepted is the largest report that is read, in bytes.
const maxAccepted = 64 << 20

// Read accepts the findings of an earlier report (JSON of plan, verify, rehearse, an export or an
// import), and the attachments that an import left out.
func (a *Acceptance) Read(r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxAccepted+1))
	if err != nil {
		return err
	}
	type list struct{ Findings, Accepted Findings }
	var doc struct {
		Version int `json:"version"`
		list
		Verify  list // of a rehearsal
		Running *int // of objects
		Result  struct {
			LeftOut []Attachment `json:"leftOut"`
		} // of an import
	}
	switch err := json.Unmarshal(raw, &doc); {
	case len(raw) > maxAccepted:
		return fmt.Errorf("has more than %s", text.Size(maxAccepted))
	case err != nil:
		return fmt.Errorf("is not a report: %w", err)
	case doc.Version == 0:
		return errors.New("is not a report: it has no version")
	case doc.Running != nil:
		return errors.New("is a report on cluster objects, which has no findings of packages: give a report of plan, verify, rehearse or an export")
	case doc.Version != jsonVersion:
		return fmt.Errorf("is a report of version %d; this program reads %d", doc.Version, jsonVersion)
	}
	a.known, a.leftOut = map[identity]bool{}, map[attached]bool{}
	for _, f := range slices.Concat(doc.Findings, doc.Accepted, doc.Verify.Findings, doc.Verify.Accepted) {
		a.known[identityOf(f)] = true
	}
	for _, l := range doc.Result.LeftOut {
		a.leftOut[attached{l.Subject, l.Digest, l.Tag}] = true
	}
	return nil
}

// Split separates the accepted findings from the rest.
func (a *Acceptance) Split(findings Findings) (rest, accepted Findings) {
	for _, f := range findings {
		if a.known[identityOf(f)] || a.allows(f) {
			accepted = append(accepted, f)
		} else {
			rest = append(rest, f)
		}
	}
	return rest, accepted
}

// allows reports whether a finding is about a place that is allowed.
func (a *Acceptance) allows(f Finding) bool {
	if a.Allowed == nil || f.Code == "kbld-config" && f.Level == Install { // such as what has to be built
		return false
	}
	return f.PointsElsewhere() && a.Allowed(f.Reference)
}

// LeftOut reports whether the report says that an import left the attachment out.
func (a *Acceptance) LeftOut(x Attachment) bool {
	return a.leftOut[attached{x.Subject, x.Digest, x.Tag}]
}
