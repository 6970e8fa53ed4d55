package custody

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ErrKey says that a key cannot be used; the message says why.
var ErrKey = errors.New("not a usable key")

// Sizes in bits of RSA keys: smaller ones are weak, larger ones only slow.
const (
	minRSA = 2048
	maxRSA = 8192
)

// MaxFile is the limit in bytes on a file with a key, a signature or a list of signers.
const MaxFile = 64 << 10

// PublicKey is a public key: P-256, Ed25519 or RSA, or one of the first two in a FIDO authenticator,
// which can only sign for OpenSSH.
type PublicKey struct {
	ssh ssh.PublicKey
}

// newPublicKey checks a key of the standard library.
//
// Errors: ErrKey.
func newPublicKey(k crypto.PublicKey) (PublicKey, error) {
	if err := checkKey(k); err != nil {
		return PublicKey{}, err
	}
	p, err := ssh.NewPublicKey(k)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return PublicKey{p}, nil
}

// fromSSH checks a key of OpenSSH.
//
// Errors: ErrKey.
func fromSSH(k ssh.PublicKey) (PublicKey, error) {
	if _, ok := k.(*ssh.Certificate); ok {
		return PublicKey{}, fmt.Errorf("%w: it is a certificate, which is not supported; use the key itself", ErrKey)
	}
	with, ok := k.(ssh.CryptoPublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("%w: keys of type %s are not supported", ErrKey, k.Type())
	}
	return PublicKey{k}, checkKey(with.CryptoPublicKey())
}

// checkKey refuses the kinds of keys that one of the stock tools does not take, or that are weak.
func checkKey(k crypto.PublicKey) error {
	switch k := k.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("%w: it is ECDSA %s, whose signatures cosign verify-blob does not accept (sigstore/cosign#5091); "+
			"use ECDSA P-256, Ed25519 or RSA", ErrKey, k.Curve.Params().Name)
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("%w: it is RSA with %d bits, and must have %d to %d", ErrKey, n, minRSA, maxRSA)
		}
		return nil
	}
	return fmt.Errorf("%w: use ECDSA P-256, Ed25519 or RSA", ErrKey)
}

// ParsePublicKey reads a public key as PEM (PUBLIC KEY, as cosign and openssl write it) or as a line
// of OpenSSH (ssh-ed25519 AAAA…, with or without a comment).
//
// Errors: ErrKey.
func ParsePublicKey(raw []byte) (PublicKey, error) {
	if block, _ := pem.Decode(raw); block != nil {
		return parsePEM(block)
	}
	k, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: it is neither PEM nor a public key of OpenSSH", ErrKey)
	}
	return fromSSH(k)
}

func parsePEM(block *pem.Block) (PublicKey, error) {
	switch {
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return PublicKey{}, fmt.Errorf("%w: it is a private key, which stays with its holder; name the public one", ErrKey)
	case block.Type != "PUBLIC KEY":
		return PublicKey{}, fmt.Errorf("%w: it is PEM of type %q, not PUBLIC KEY", ErrKey, block.Type)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newPublicKey(k)
}

// isPEM reports whether raw begins as PEM does.
func isPEM(raw []byte) bool {
	block, _ := pem.Decode(raw)
	return block != nil
}

// crypto returns the key as the standard library has it.
func (p PublicKey) crypto() crypto.PublicKey {
	return p.ssh.(ssh.CryptoPublicKey).CryptoPublicKey() // newPublicKey and fromSSH let no other in
}

// equal reports whether two keys are the same.
func (p PublicKey) equal(q PublicKey) bool { return bytes.Equal(p.ssh.Marshal(), q.ssh.Marshal()) }

// isFIDO reports whether the key is in a FIDO authenticator.
func (p PublicKey) isFIDO() bool { return strings.HasPrefix(p.ssh.Type(), "sk-") }

// Fingerprint returns the kind of the key and its fingerprint, as ssh-keygen -l shows it: "ECDSA
// SHA256:…".
func (p PublicKey) Fingerprint() string {
	kind := map[string]string{ssh.KeyAlgoRSA: "RSA", ssh.KeyAlgoED25519: "ED25519", ssh.KeyAlgoECDSA256: "ECDSA",
		ssh.KeyAlgoSKED25519: "ED25519-SK", ssh.KeyAlgoSKECDSA256: "ECDSA-SK"}[p.ssh.Type()]
	return kind + " " + ssh.FingerprintSHA256(p.ssh)
}

// PEM returns the key as cosign and openssl read it. A key in a FIDO authenticator has no such form.
//
// Errors: ErrKey.
func (p PublicKey) PEM() ([]byte, error) {
	der, err := p.der()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (p PublicKey) der() ([]byte, error) {
	if p.isFIDO() {
		return nil, fmt.Errorf("%w: a key in a FIDO authenticator has no PEM", ErrKey)
	}
	return x509.MarshalPKIXPublicKey(p.crypto())
}

// Line returns the key as OpenSSH reads it, without a comment or a line feed: what follows the
// principals and options in a file of allowed signers.
func (p PublicKey) Line() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p.ssh)))
}

// hint names the key in a bundle, as cosign does: the SHA-256 of its DER in base64. It is "" for a key
// without DER.
func (p PublicKey) hint() string {
	der, err := p.der()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// verify reports whether signature is the key's for message, as Key.sign makes it.
func (p PublicKey) verify(message, signature []byte) bool {
	if p.isFIDO() {
		return false // it signs more than the message
	}
	sum := sha256.Sum256(message)
	switch k := p.crypto().(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, signature)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, sum[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}
