package custody

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

// encrypted is the body of cosign's key files: PKCS#8 in a box of NaCl, whose key scrypt makes of the
// password (go-securesystemslib, package encrypted).
type encrypted struct {
	KDF struct {
		Name   string       `json:"name"`
		Params scryptParams `json:"params"`
		Salt   []byte       `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

type scryptParams struct {
	N int `json:"N"`
	R int `json:"r"`
	P int `json:"p"`
}

// Names in key files.
const (
	kdfName    = "scrypt"
	cipherName = "nacl/secretbox"
)

// cost is what cosign writes: 64 MiB of memory for a guess.
var cost = scryptParams{N: 1 << 16, R: 8, P: 1}

// isKnown reports whether the cost is one that go-securesystemslib has written. Others could take
// hours, or all memory.
func (p scryptParams) isKnown() bool {
	return (p.N == 1<<15 || p.N == 1<<16 || p.N == 1<<17) && p.R == 8 && p.P == 1
}

// Encrypt returns the key as a file of cosign, encrypted with password.
func (k *Key) Encrypt(password []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, err
	}
	var e encrypted
	e.KDF.Name, e.KDF.Params, e.KDF.Salt = kdfName, cost, make([]byte, 32)
	e.Cipher.Name, e.Cipher.Nonce = cipherName, make([]byte, 24)
	rand.Read(e.KDF.Salt) // never fails: crypto/rand ends the program instead
	rand.Read(e.Cipher.Nonce)
	box, err := e.key(password)
	if err != nil {
		return nil, err
	}
	e.Ciphertext = secretbox.Seal(nil, der, (*[24]byte)(e.Cipher.Nonce), box)
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: body}), nil
}

// key makes the box's key of the password.
func (e *encrypted) key(password []byte) (*[32]byte, error) {
	p := e.KDF.Params
	k, err := scrypt.Key(password, e.KDF.Salt, p.N, p.R, p.P, 32)
	if err != nil {
		return nil, err
	}
	return (*[32]byte)(k), nil
}

// parseEncrypted reads the body of a key file of cosign.
func parseEncrypted(body []byte, password func() ([]byte, error)) (*Key, error) {
	var e encrypted
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch p := e.KDF.Params; {
	case e.KDF.Name != kdfName || e.Cipher.Name != cipherName || len(e.Cipher.Nonce) != 24:
		return nil, fmt.Errorf("%w: it is not encrypted as cosign does, with scrypt and nacl/secretbox", ErrKey)
	case !p.isKnown():
		return nil, fmt.Errorf("%w: the cost of its password is scrypt N=%d r=%d p=%d, which cosign does not use", ErrKey, p.N, p.R, p.P)
	}
	given, err := password()
	if err != nil {
		return nil, err
	}
	box, err := e.key(given)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	der, ok := secretbox.Open(nil, e.Ciphertext, (*[24]byte)(e.Cipher.Nonce), box)
	if !ok {
		return nil, ErrPassword
	}
	return parseDER(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
