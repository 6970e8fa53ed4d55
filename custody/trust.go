package custody

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"relocate/internal/text"
)

// Forms of signatures.
const (
	FormBundle = "sigstore bundle"
	FormSSH    = "OpenSSH signature"
)

// Signer is who signed, as the trusting site knows them.
type Signer struct {
	Principal      string    `json:"principal"`           // as listed; with a PEM file, its name
	KeyFingerprint string    `json:"keyFingerprint"`      // the kind of the key, and SHA256:…
	Form           string    `json:"form"`                // FormBundle or FormSSH
	ValidUntil     time.Time `json:"validUntil,omitzero"` // zero: no end
}

// String says who signed: "ops@connected (ECDSA SHA256:…), valid until 2027-06-30".
func (s Signer) String() string {
	out := fmt.Sprintf("%s (%s)", s.Principal, s.KeyFingerprint)
	if !s.ValidUntil.IsZero() {
		out += ", valid until " + s.ValidUntil.Format(time.DateOnly)
	}
	return out
}

// UntrustedError says that something is not signed by anyone trusted. It is a whole sentence that
// begins with the name of the file.
type UntrustedError struct {
	text  string
	cause error
}

func (e *UntrustedError) Error() string { return e.text }

// Unwrap returns why the signature cannot be read, or nil.
func (e *UntrustedError) Unwrap() error { return e.cause }

// Untrustedf returns an UntrustedError.
func Untrustedf(format string, args ...any) error {
	return &UntrustedError{text: fmt.Sprintf(format, args...)}
}

// Trust is the list of keys that a site trusts. The zero value trusts nobody.
type Trust struct {
	list  []trusted
	files []string
}

// maxTrust is the limit in bytes on a list of trusted keys.
const maxTrust = 1 << 20

// Add adds the keys of a file: a public key in PEM, or a list of allowed signers of OpenSSH. The name
// of the file is used in messages and, for PEM, as that of the signer.
//
// Errors: ErrTrust, ErrKey.
func (t *Trust) Add(file string, raw []byte) error {
	if len(raw) > maxTrust {
		return fmt.Errorf("%s: %w: it has more than %d bytes", file, ErrTrust, maxTrust)
	}
	var list []trusted
	var err error
	if isPEM(raw) {
		var k PublicKey
		if k, err = ParsePublicKey(raw); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		list = []trusted{{file: file, principals: file, key: k}}
	} else if list, err = parseAllowed(file, raw); err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%s: %w: it lists no key", file, ErrTrust)
	}
	t.list, t.files = append(t.list, list...), append(t.files, file)
	return nil
}

// Signature is a signature in a file.
type Signature struct {
	File string // its name, for messages
	Raw  []byte // a sigstore bundle, or a signature of OpenSSH
}

// Verify checks that a trusted key, at the given time and in the namespace, signed message, which is
// called what in messages. The namespace of a bundle is only the trusting site's limit: the signature
// does not hold one.
//
// Errors: *UntrustedError.
func (t *Trust) Verify(s Signature, message []byte, what, namespace string, at time.Time) (Signer, error) {
	if len(s.Raw) > MaxFile {
		return Signer{}, Untrustedf("%s has %d bytes, more than the limit of %d", s.File, len(s.Raw), MaxFile)
	}
	if isPEM(s.Raw) {
		return t.verifySSH(s, message, what, namespace, at)
	}
	b, err := ParseBundle(s.Raw)
	if err != nil {
		return Signer{}, s.unreadable(err)
	}
	return t.verifyBundle(s, b, what, namespace, at, func(k PublicKey) error { return b.VerifyMessage(k, message) })
}

// VerifyStatement checks that a trusted key signed the statement in the envelope of a bundle, as Verify
// does, and returns the statement.
//
// Errors: *UntrustedError.
func (t *Trust) VerifyStatement(s Signature, namespace string, at time.Time) ([]byte, Signer, error) {
	b, err := ParseBundle(s.Raw)
	if err != nil {
		return nil, Signer{}, s.unreadable(err)
	}
	signer, err := t.verifyBundle(s, b, "it", namespace, at, func(k PublicKey) error {
		_, err := b.VerifyStatement(k)
		return err
	})
	return b.Statement(), signer, err
}

func (s Signature) unreadable(err error) error {
	return &UntrustedError{text: fmt.Sprintf("%s cannot be used: %s", s.File, err), cause: err}
}

// verifySSH checks a signature of OpenSSH, which names its key.
func (t *Trust) verifySSH(s Signature, message []byte, what, namespace string, at time.Time) (Signer, error) {
	signature, err := parseSSHSignature(s.Raw)
	if err != nil {
		return Signer{}, s.unreadable(err)
	}
	by := signature.key.Fingerprint()
	listed := t.listed(func(k PublicKey) bool { return k.equal(signature.key) })
	switch {
	case len(listed) == 0:
		return Signer{}, Untrustedf("%s is by a key that %s does not list: %s", s.File, t.names(), by)
	case signature.namespace != namespace:
		return Signer{}, Untrustedf("%s is a signature for %s, not for %s: make it with ssh-keygen -Y sign -n %s",
			s.File, text.Quote(signature.namespace), namespace, namespace)
	}
	if err := signature.verify(message); err != nil {
		return Signer{}, Untrustedf("%s is not by %s (%s), or %s was changed after signing", s.File, listed[0].principals, by, what)
	}
	return admit(s, FormSSH, listed, namespace, at)
}

// verifyBundle checks a bundle with each trusted key: it need not name its own.
func (t *Trust) verifyBundle(s Signature, b *Bundle, what, namespace string, at time.Time, verify func(PublicKey) error) (Signer, error) {
	var malformed error
	listed := t.listed(func(k PublicKey) bool {
		err := verify(k)
		if err != nil && !errors.Is(err, ErrSignature) {
			malformed = err
		}
		return err == nil
	})
	switch {
	case malformed != nil:
		return Signer{}, s.unreadable(malformed)
	case len(listed) > 0:
		return admit(s, FormBundle, listed, namespace, at)
	}
	if named := t.listed(b.MadeWith); len(named) > 0 {
		return Signer{}, Untrustedf("%s is not by %s (%s), or %s was changed after signing", s.File, named[0].principals, named[0].key.Fingerprint(), what)
	}
	return Signer{}, Untrustedf("%s is not by %s, or %s was changed after signing", s.File, t.names(), what)
}

// listed returns the usable keys that match.
func (t *Trust) listed(matches func(PublicKey) bool) []trusted {
	var out []trusted
	for _, k := range t.list {
		if k.refused == nil && matches(k.key) {
			out = append(out, k)
		}
	}
	return out
}

// names returns the files of the list, for messages.
func (t *Trust) names() string { return strings.Join(slices.Compact(t.files), ", ") }

// admit returns the first of the lines that list a key which allows the signature, or why none does.
func admit(s Signature, form string, listed []trusted, namespace string, at time.Time) (Signer, error) {
	var why error
	for _, k := range listed {
		reason := ""
		switch {
		case !k.allows(namespace):
			reason = "but not for " + namespace
		case !k.after.IsZero() && at.Before(k.after):
			reason = "only from " + shownTime(k.after)
		case !k.before.IsZero() && at.After(k.before):
			reason = "until " + shownTime(k.before)
		default:
			return Signer{Principal: k.principals, KeyFingerprint: k.key.Fingerprint(), Form: form, ValidUntil: k.before}, nil
		}
		if why == nil {
			why = Untrustedf("%s is by a key that %s lists %s, as %s: %s", s.File, k.file, reason, k.principals, k.key.Fingerprint())
		}
	}
	return Signer{}, why
}

// shownTime is a time as far as it was given: most are days.
func shownTime(t time.Time) string {
	if t.Equal(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}
