package report

import "time"

// Signature is who signed an archive, as the site that trusts them knows them (package custody).
type Signature struct {
	Principal      string    `json:"principal"`      // as the site lists them
	KeyFingerprint string    `json:"keyFingerprint"` // the kind of the key, and SHA256:…
	Form           string    `json:"form"`           // sigstore bundle, or OpenSSH signature
	ValidUntil     time.Time `json:"validUntil,omitzero"`
}
