package report

import (
	"bytes"
	"encoding/json"
)

// jsonVersion is the version of the JSON of verdicts. Within a version fields are added, never
// renamed or removed.
const jsonVersion = 1

// contentJSON is the JSON of verify.
type contentJSON struct {
	Version         int          `json:"version"`
	Subject         string       `json:"subject"`
	OK              bool         `json:"ok"`
	Archive         *Archive     `json:"archive,omitempty"`
	Signature       *Signature   `json:"signature,omitempty"`
	Roots           []Root       `json:"roots,omitempty"`
	Contents        *Contents    `json:"contents,omitempty"`
	Proved          []string     `json:"proved,omitempty"`
	NotProved       []string     `json:"notProved,omitempty"`
	Problems        []Problem    `json:"problems"`
	Rows            []Row        `json:"rows,omitempty"`
	Omitted         []Omitted    `json:"omitted,omitempty"`
	Bases           []Base       `json:"bases,omitempty"`
	Unseen          []Unseen     `json:"unseen,omitempty"`
	AcceptedLeftOut []Attachment `json:"acceptedLeftOut,omitempty"`
	Findings        Findings     `json:"findings,omitempty"`
	Accepted        Findings     `json:"accepted,omitempty"`
	Scan            *Scan        `json:"scan,omitempty"`
}

// objectsJSON is the JSON of verify -f.
type objectsJSON struct {
	Version    int    `json:"version"`
	Subject    string `json:"subject"`
	Repository string `json:"repository"`
	OK         bool   `json:"ok"`
	ObjectCounts
	Findings []objectFinding `json:"findings"`
}

// objectFinding is the JSON of a finding about an object.
type objectFinding struct {
	Code      Code    `json:"code"`
	Level     Level   `json:"level"`
	Object    *Object `json:"object"`
	Path      string  `json:"path,omitempty"`
	Line      int     `json:"line"`
	Reference string  `json:"reference,omitempty"`
	Message   string  `json:"message"`
	Action    string  `json:"action,omitempty"`
	Basis     Basis   `json:"basis,omitempty"`
}

// rehearsalJSON is the JSON of rehearse.
type rehearsalJSON struct {
	Version     int      `json:"version"`
	Subject     string   `json:"subject"`
	Repository  string   `json:"repository"`
	OK          bool     `json:"ok"`
	Import      any      `json:"import"`
	Registry    any      `json:"registry"`
	Verify      *Verdict `json:"verify"`
	Objects     *Verdict `json:"objects"`
	Connections []string `json:"connections"`

	Signature *Signature `json:"signature,omitempty"` // of the archive
}

// MarshalJSON implements json.Marshaler: docs/json.md has the documents of verify, verify -f and
// rehearse.
func (v *Verdict) MarshalJSON() ([]byte, error) {
	switch {
	case v.Verify != nil:
		return encode(rehearsalJSON{
			jsonVersion, v.Subject, v.Repository, v.OK, v.Import, v.Registry, v.Verify, v.PackageRepository, v.Connections, v.Signature,
		})
	case v.Objects != nil:
		doc := objectsJSON{jsonVersion, v.Subject, v.Repository, v.OK, *v.Objects, []objectFinding{}}
		for _, f := range v.Findings {
			doc.Findings = append(doc.Findings, objectFinding{f.Code, f.Level, f.Object, f.Path, f.Line, f.Reference, f.Message, f.Action, f.Basis})
		}
		return encode(doc)
	}
	return encode(contentJSON{
		jsonVersion, v.Subject, v.OK, v.Archive, v.Signature, v.Roots, v.Contents, v.Proved, v.NotProved, append([]Problem{}, v.Problems...), v.Rows,
		v.Omitted, v.Bases, v.Unseen, v.AcceptedLeftOut, v.Findings, v.Accepted, v.Scan,
	})
}

// encode returns JSON with <, > and & as they are.
func encode(doc any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(doc)
	return b.Bytes(), err
}
