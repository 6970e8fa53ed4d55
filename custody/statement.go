package custody

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/text"
	"relocate/oci"
)

// Act is what a receipt says was done.
type Act string

// The acts of receipts.
const (
	Exported  Act = "exported"  // the archive was written
	Rehearsed Act = "rehearsed" // its import was rehearsed
	Received  Act = "received"  // every byte of it was checked, wherever it is
	Imported  Act = "imported"  // a repository was filled from it
	Verified  Act = "verified"  // a repository was compared with it
)

// Levels of a verification. A receipt of one that failed has LevelFailed alone.
const (
	LevelSigned    = "RELOCATE_SIGNED"    // the seal is signed by someone whom the verifier trusts
	LevelWhole     = "RELOCATE_WHOLE"     // every byte was hashed
	LevelComplete  = "RELOCATE_COMPLETE"  // the repository has everything that the archive lists, as far as was looked
	LevelLayers    = "RELOCATE_LAYERS"    // the registry says of each layer that it has it
	LevelClosed    = "RELOCATE_CLOSED"    // no reference points outside
	LevelRehearsed = "RELOCATE_REHEARSED" // an import into a registry of the verifier's own succeeded
	LevelFailed    = "FAILED"
)

// Types of predicates (in-toto/attestation, spec/predicates), and the names in them. There is no domain
// whose names could be used: these are URNs, which nothing resolves.
const (
	statementType = "https://in-toto.io/Statement/v1"
	linkType      = "https://in-toto.io/attestation/link/v0.3"
	summaryType   = "https://slsa.dev/verification_summary/v1"

	verifierID   = "urn:relocate:verifier:v1"
	policyPrefix = "urn:relocate:policy:v1:" // and the act
	namePrefix   = "relocate: "              // and the act, of a link
)

// SealAlgorithm is the name of the seal in a set of digests. It is not the SHA-256 of the file.
const SealAlgorithm = "relocateSeal"

// previousName is the name of the receipt before, where it is a material of a link.
const previousName = "previous receipt"

// ErrReceipt says that a statement is one of this program's, but does not say what a receipt must.
var ErrReceipt = errors.New("not a receipt as relocate writes it")

// Receipt is what somebody says they did with an archive. Nothing in it is proved but by the signature:
// names and times are the signer's claims.
type Receipt struct {
	Act  Act
	Time time.Time // in seconds

	By, Host string // user and machine; both empty: not said
	Program  string // and its version

	Archive string  // name of the file, without its folder
	Seal    v1.Hash // of the archive
	SHA256  v1.Hash // of the file; zero: not known

	Roots  []Root // of the archive, or of the repository, under the names that they have there
	Target string // of Imported and Verified: the repository

	Levels   []string // of a verification
	Previous v1.Hash  // SHA-256 of the line of the receipt before; zero: none
}

// Root is a root by name and digest.
type Root struct {
	Name   string
	Digest v1.Hash
}

// Failed reports whether the receipt is of a verification that failed.
func (r *Receipt) Failed() bool { return slices.Contains(r.Levels, LevelFailed) }

func (r *Receipt) isLink() bool { return r.Act == Exported || r.Act == Imported }

// isOfRepository reports whether the receipt is about what a repository holds.
func (r *Receipt) isOfRepository() bool { return r.Act == Imported || r.Act == Verified }

// statement is an in-toto statement (in-toto/attestation, spec/v1/statement.md).
type statement struct {
	Type          string          `json:"_type"`
	Subject       []resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// resource is a resource descriptor (spec/v1/resource_descriptor.md).
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

// origin is who did something, where and with what.
type origin struct {
	By      string    `json:"by,omitempty"`
	Host    string    `json:"host,omitempty"`
	Time    time.Time `json:"time,omitzero"` // of a link; a summary has a place for it
	Program string    `json:"relocate"`
}

// link is the predicate of Exported and Imported.
type link struct {
	Name        string     `json:"name"`
	Materials   []resource `json:"materials"`
	Environment origin     `json:"environment"`
}

// summary is the predicate of the other acts: SLSA's verification summary. Origin is an extension, which
// other readers must ignore.
type summary struct {
	Verifier     named      `json:"verifier"`
	TimeVerified time.Time  `json:"timeVerified"`
	ResourceURI  string     `json:"resourceUri"`
	Policy       policy     `json:"policy"`
	Input        []resource `json:"inputAttestations,omitempty"`
	Result       string     `json:"verificationResult"`
	Levels       []string   `json:"verifiedLevels"`
	Origin       origin     `json:"relocate"`
}

type named struct {
	ID string `json:"id"`
}

type policy struct {
	URI string `json:"uri"`
}

// Statement returns the in-toto statement of the receipt, to be signed.
func (r *Receipt) Statement() ([]byte, error) {
	s := statement{Type: statementType, Subject: r.archive(), PredicateType: summaryType}
	var predicate any
	if r.isLink() {
		s.PredicateType, predicate = linkType, r.link()
	} else {
		predicate = r.summary()
	}
	switch {
	case r.Act == Imported:
		s.Subject = r.roots()
	case r.isOfRepository():
		s.Subject = append(s.Subject, r.roots()...)
	}
	var err error
	if s.Predicate, err = encodeJSON(predicate); err != nil {
		return nil, err
	}
	return encodeJSON(s)
}

// archive returns the archive, and the file of its seal.
func (r *Receipt) archive() []resource {
	file := resource{Name: r.Archive, Digest: map[string]string{SealAlgorithm: r.Seal.Hex}}
	if r.SHA256.Hex != "" {
		file.Digest["sha256"] = r.SHA256.Hex
	}
	return []resource{file, {Name: r.Archive + SealEnding, Digest: map[string]string{"sha256": sum(SealText(r.Seal)).Hex}}}
}

func (r *Receipt) roots() []resource {
	list := []resource{} // never null
	for _, root := range r.Roots {
		list = append(list, resource{Name: root.Name, Digest: map[string]string{root.Digest.Algorithm: root.Digest.Hex}})
	}
	return list
}

// link is what was made of what. The roots of an export are its materials, those of an import its subjects.
func (r *Receipt) link() link {
	l := link{Name: namePrefix + string(r.Act), Materials: r.roots(), Environment: r.origin()}
	if r.Act == Imported {
		l.Materials = r.archive()
	}
	l.Environment.Time = r.Time
	if r.Previous.Hex != "" {
		l.Materials = append(l.Materials, resource{Name: previousName, Digest: map[string]string{"sha256": r.Previous.Hex}})
	}
	return l
}

func (r *Receipt) summary() summary {
	s := summary{
		Verifier: named{verifierID}, TimeVerified: r.Time, ResourceURI: r.Archive,
		Policy: policy{policyPrefix + string(r.Act)},
		Result: "PASSED", Levels: r.Levels, Origin: r.origin(),
	}
	if r.isOfRepository() {
		s.ResourceURI = r.Target
	}
	if r.Failed() {
		s.Result, s.Levels = "FAILED", []string{LevelFailed}
	}
	if r.Previous.Hex != "" {
		s.Input = []resource{{URI: r.Archive + ReceiptsEnding, Digest: map[string]string{"sha256": r.Previous.Hex}}}
	}
	return s
}

func (r *Receipt) origin() origin { return origin{By: r.By, Host: r.Host, Program: r.Program} }

func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// ParseReceipt reads a statement, and returns its type of predicate. The receipt is nil for a statement that
// this program did not make, which is none.
//
// Errors: ErrReceipt; ErrMalformed for what is not a statement.
func ParseReceipt(raw []byte) (r *Receipt, predicateType string, err error) {
	var s statement
	if err := oci.CheckJSON(raw); err != nil {
		return nil, "", fmt.Errorf("%w: its statement: %w", ErrMalformed, err)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, "", fmt.Errorf("%w: it is not an in-toto statement: %w", ErrMalformed, text.Error(err))
	}
	if !strings.HasPrefix(s.Type, "https://in-toto.io/Statement/") {
		return nil, "", fmt.Errorf("%w: its statement has the type %s", ErrMalformed, text.Quote(s.Type))
	}
	switch s.PredicateType {
	case linkType:
		r, err = s.readLink()
	case summaryType:
		r, err = s.readSummary()
	}
	if r != nil && err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, s.PredicateType, fmt.Errorf("%w: %w", ErrReceipt, text.Error(err))
	}
	return r, s.PredicateType, nil
}

// readLink reads an export or an import; nil for the link of another program.
func (s *statement) readLink() (*Receipt, error) {
	var l link
	if err := json.Unmarshal(s.Predicate, &l); err != nil {
		return nil, err
	}
	act, ok := strings.CutPrefix(l.Name, namePrefix)
	if !ok {
		return nil, nil
	}
	r := &Receipt{Act: Act(act), Time: l.Environment.Time}
	r.setOrigin(l.Environment)
	if !r.isLink() {
		return nil, fmt.Errorf("%s is not what a link can say", text.Quote(act))
	}
	materials := l.Materials
	if n := len(materials) - 1; n >= 0 && materials[n].Name == previousName {
		r.Previous, materials = hashOf(materials[n], "sha256"), materials[:n]
		if r.Previous.Hex == "" {
			return nil, errors.New("the receipt before has no SHA-256")
		}
	}
	if r.Act == Imported {
		return r, r.read(materials, s.Subject)
	}
	return r, r.read(s.Subject, materials)
}

// readSummary reads a verification; nil for one by another verifier.
func (s *statement) readSummary() (*Receipt, error) {
	var v summary
	if err := json.Unmarshal(s.Predicate, &v); err != nil {
		return nil, err
	}
	if v.Verifier.ID != verifierID {
		return nil, nil
	}
	r := &Receipt{Act: Act(strings.TrimPrefix(v.Policy.URI, policyPrefix)), Time: v.TimeVerified, Levels: v.Levels}
	r.setOrigin(v.Origin)
	switch {
	case r.Act != Rehearsed && r.Act != Received && r.Act != Verified:
		return nil, fmt.Errorf("policy %s is unknown", text.Quote(v.Policy.URI))
	case (v.Result == "FAILED") != r.Failed() || v.Result != "FAILED" && v.Result != "PASSED":
		return nil, fmt.Errorf("result %s does not go with its levels", text.Quote(v.Result))
	case len(v.Input) > 1:
		return nil, fmt.Errorf("it has %d inputs, and can have one", len(v.Input))
	case len(v.Input) == 1:
		if r.Previous = hashOf(v.Input[0], "sha256"); r.Previous.Hex == "" {
			return nil, errors.New("the receipt before has no SHA-256")
		}
	}
	if r.Act == Verified {
		r.Target = v.ResourceURI
	}
	return r, r.read(s.Subject[:min(2, len(s.Subject))], s.Subject[min(2, len(s.Subject)):])
}

func (r *Receipt) setOrigin(o origin) { r.By, r.Host, r.Program = o.By, o.Host, o.Program }

// read reads the archive with the file of its seal, and the roots.
func (r *Receipt) read(archive, roots []resource) error {
	if len(archive) != 2 {
		return errors.New("it does not name an archive and its seal")
	}
	r.Archive, r.SHA256 = archive[0].Name, hashOf(archive[0], "sha256")
	r.Seal = v1.Hash{Algorithm: "sha256", Hex: archive[0].Digest[SealAlgorithm]}
	if hashOf(archive[1], "sha256") != sum(SealText(r.Seal)) {
		return errors.New("the SHA-256 of the seal's file is not that of its seal")
	}
	for _, root := range roots {
		d := hashOf(root, "sha256")
		if d.Hex == "" {
			return fmt.Errorf("root %s has no digest", text.Quote(root.Name))
		}
		r.Roots = append(r.Roots, Root{root.Name, d})
	}
	if r.Act == Imported && len(r.Roots) > 0 {
		r.Target, _, _ = strings.Cut(r.Roots[0].Name, "@")
	}
	return nil
}

// hashOf returns a digest of a resource; zero where there is none.
func hashOf(x resource, algorithm string) v1.Hash {
	d, err := v1.NewHash(algorithm + ":" + x.Digest[algorithm])
	if err != nil {
		return v1.Hash{}
	}
	return d
}

// check refuses what a reader could not work with.
func (r *Receipt) check() error {
	switch _, err := v1.NewHash(r.Seal.String()); {
	case err != nil:
		return errors.New("its seal is not a digest")
	case r.Time.IsZero():
		return errors.New("it has no time")
	case r.Archive == "" || strings.ContainsAny(r.Archive, `/\`):
		return fmt.Errorf("%s is not the name of an archive", text.Quote(r.Archive))
	}
	return nil
}
