package custody

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"relocate/internal/text"
	"relocate/oci"
)

// ErrMalformed says that a signature does not have the expected format.
var ErrMalformed = errors.New("malformed signature")

// ErrSignature says that a signature is not of the key, or not of the content.
var ErrSignature = errors.New("the signature does not match")

// BundleType is the media type of the bundles that are read and written: sigstore's, version 0.3.
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// StatementType is the type of the payload of an envelope: an in-toto statement.
const StatementType = "application/vnd.in-toto+json"

// MaxBundle is the limit in bytes on a bundle.
const MaxBundle = 1 << 20

const digestAlgorithm = "SHA2_256"

// Bundle is a sigstore bundle v0.3 (protobuf-specs, sigstore_bundle.proto) that was made with a key:
// the signature of a message, or an envelope that holds what is signed. It has one of the two.
type Bundle struct {
	MediaType string            `json:"mediaType"`
	Material  material          `json:"verificationMaterial"`
	Message   *messageSignature `json:"messageSignature,omitempty"`
	Envelope  *envelope         `json:"dsseEnvelope,omitempty"`
}

// material is what comes with a signature to verify it. cosign refuses a bundle with an unknown member.
type material struct {
	PublicKey *struct {
		Hint string `json:"hint"` // unauthenticated; may be empty
	} `json:"publicKey,omitempty"`
	Chain       json.RawMessage `json:"x509CertificateChain,omitempty"`
	Certificate json.RawMessage `json:"certificate,omitempty"`
	Log         json.RawMessage `json:"tlogEntries,omitempty"`               // ignored: it proves nothing offline
	Timestamps  json.RawMessage `json:"timestampVerificationData,omitempty"` // ignored, as the log
}

type messageSignature struct {
	Digest struct {
		Algorithm string `json:"algorithm,omitempty"`
		Digest    []byte `json:"digest,omitempty"` // cosign 3.1.3 leaves it out with Ed25519
	} `json:"messageDigest"`
	Signature []byte `json:"signature"`
}

// envelope is a DSSE envelope (secure-systems-lab/dsse, protocol.md 1.0.0).
type envelope struct {
	Payload     []byte              `json:"payload"`
	PayloadType string              `json:"payloadType"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	Sig   []byte `json:"sig"`
	KeyID string `json:"keyid,omitempty"` // unauthenticated
}

// paeOf is what an envelope's signature covers: DSSE's pre-authentication encoding.
func paeOf(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// SignMessage returns a bundle, one line of JSON without a line feed, that signs message. cosign
// verify-blob checks it, given message as a file.
func (k *Key) SignMessage(message []byte) ([]byte, error) {
	signature, err := k.sign(message)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(message)
	m := &messageSignature{Signature: signature}
	m.Digest.Algorithm, m.Digest.Digest = digestAlgorithm, sum[:]
	return k.encode(&Bundle{Message: m})
}

// SignStatement returns a bundle, one line of JSON without a line feed, that holds and signs an in-toto
// statement. cosign verify-blob-attestation checks it.
func (k *Key) SignStatement(statement []byte) ([]byte, error) {
	signature, err := k.sign(paeOf(StatementType, statement))
	if err != nil {
		return nil, err
	}
	return k.encode(&Bundle{Envelope: &envelope{
		Payload: statement, PayloadType: StatementType, Signatures: []envelopeSignature{{Sig: signature}},
	}})
}

func (k *Key) encode(b *Bundle) ([]byte, error) {
	b.MediaType = BundleType
	b.Material.PublicKey = &struct {
		Hint string `json:"hint"`
	}{k.public.hint()}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // the media type has a plus
	err := e.Encode(b)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// ParseBundle reads a bundle of at most MaxBundle bytes. It verifies nothing.
//
// Errors: ErrMalformed.
func ParseBundle(raw []byte) (*Bundle, error) {
	if len(raw) > MaxBundle {
		return nil, fmt.Errorf("%w: it has %d bytes, more than the limit of %d", ErrMalformed, len(raw), MaxBundle)
	}
	if err := oci.CheckJSON(raw); err != nil {
		return nil, fmt.Errorf("%w: it %w", ErrMalformed, err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	b := &Bundle{}
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("%w: it is not a sigstore bundle: %w", ErrMalformed, text.Error(err))
	}
	return b, b.check()
}

// check refuses what is not signed with a key, or holds not exactly one signature.
func (b *Bundle) check() error {
	switch {
	case b.MediaType != BundleType:
		return fmt.Errorf("%w: its media type is %s, not %s", ErrMalformed, text.Quote(b.MediaType), BundleType)
	case len(b.Material.Certificate) > 0 || len(b.Material.Chain) > 0:
		return fmt.Errorf("%w: it was signed with a certificate, which cannot be checked offline; sign with a key", ErrMalformed)
	case b.Material.PublicKey == nil:
		return fmt.Errorf("%w: it does not say that it was signed with a key", ErrMalformed)
	case (b.Message == nil) == (b.Envelope == nil):
		return fmt.Errorf("%w: it must have either messageSignature or dsseEnvelope", ErrMalformed)
	}
	if e := b.Envelope; e != nil && len(e.Signatures) != 1 {
		return fmt.Errorf("%w: its envelope has %d signatures, and must have one", ErrMalformed, len(e.Signatures))
	}
	return nil
}

// VerifyMessage checks that the bundle is key's signature of message.
//
// Errors: ErrSignature; ErrMalformed for an envelope.
func (b *Bundle) VerifyMessage(key PublicKey, message []byte) error {
	if b.Message == nil {
		return fmt.Errorf("%w: it is an attestation, not the signature of a file", ErrMalformed)
	}
	if !key.verify(message, b.Message.Signature) {
		return ErrSignature
	}
	if d := b.Message.Digest; len(d.Digest) > 0 { // cosign compares it, too
		if sum := sha256.Sum256(message); d.Algorithm != digestAlgorithm || !bytes.Equal(d.Digest, sum[:]) {
			return fmt.Errorf("%w: its messageDigest is of something else", ErrSignature)
		}
	}
	return nil
}

// VerifyStatement checks that the bundle is an envelope signed with key, and returns the statement in
// it, which is JSON as the signer wrote it.
//
// Errors: ErrSignature; ErrMalformed for the signature of a file, and for what is not a statement.
func (b *Bundle) VerifyStatement(key PublicKey) ([]byte, error) {
	e := b.Envelope
	switch {
	case e == nil:
		return nil, fmt.Errorf("%w: it is the signature of a file, not an attestation", ErrMalformed)
	case e.PayloadType != StatementType:
		return nil, fmt.Errorf("%w: its payload has type %s, not %s", ErrMalformed, text.Quote(e.PayloadType), StatementType)
	case !key.verify(paeOf(e.PayloadType, e.Payload), e.Signatures[0].Sig):
		return nil, ErrSignature
	}
	return e.Payload, nil
}

// Statement returns the statement of an envelope that is not verified; nil without an envelope.
func (b *Bundle) Statement() []byte {
	if b.Envelope == nil {
		return nil
	}
	return b.Envelope.Payload
}

// MadeWith reports whether the bundle names key as the one that it was made with. It is only a hint.
func (b *Bundle) MadeWith(key PublicKey) bool {
	hint := key.hint()
	return hint != "" && b.Material.PublicKey.Hint == hint
}
