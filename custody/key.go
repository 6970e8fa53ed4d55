package custody

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// ErrPassword says that the password of a key is wrong.
var ErrPassword = errors.New("wrong password")

// Key is a private key. It is safe for concurrent use, and no way to print it shows the private part.
type Key struct {
	signer crypto.Signer
	public PublicKey
	isSSH  bool
}

// NewKey makes a key: ECDSA P-256, which cosign, OpenSSH and openssl all take.
func NewKey() (*Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newKey(k)
}

func newKey(private crypto.PrivateKey) (*Key, error) {
	if k, ok := private.(*ed25519.PrivateKey); ok { // as package ssh returns it
		private = *k
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: use ECDSA P-256, Ed25519 or RSA", ErrKey)
	}
	public, err := newPublicKey(signer.Public())
	return &Key{signer: signer, public: public}, err
}

// ParseKey reads the private key in PEM: cosign's encrypted file, PKCS#8, SEC 1 (EC) or PKCS#1 (RSA)
// without a password, or the key of OpenSSH. password is called once if the file is encrypted, and its
// error is returned.
//
// Errors: ErrKey, ErrPassword.
func ParseKey(raw []byte, password func() ([]byte, error)) (*Key, error) {
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("%w: the file has %d bytes, more than the limit of %d", ErrKey, len(raw), MaxFile)
	}
	block, rest := pem.Decode(raw)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes them first
		block, _ = pem.Decode(rest)
	}
	switch {
	case block == nil:
		return nil, fmt.Errorf("%w: the file is not PEM", ErrKey)
	case block.Headers["DEK-Info"] != "":
		return nil, unreadable("an encrypted key of an old format", "openssl pkcs8 -topk8 -nocrypt")
	}
	switch block.Type {
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		return parseEncrypted(block.Bytes, password)
	case "ENCRYPTED PRIVATE KEY":
		return nil, unreadable("an encrypted PKCS#8 key", "openssl pkcs8")
	case "OPENSSH PRIVATE KEY":
		return parseSSH(raw, password)
	case "PUBLIC KEY":
		return nil, fmt.Errorf("%w: it is a public key; signing needs the private one", ErrKey)
	}
	return parseDER(block)
}

// unreadable says of which kind a key is that cannot be read, and how it becomes one that can.
func unreadable(kind, command string) error {
	return fmt.Errorf("%w: it is %s, which cannot be read; convert it with %s -in FILE -out plain.key and "+
		"cosign import-key-pair --key plain.key, or use a key of OpenSSH", ErrKey, kind, command)
}

// parseDER reads a key without a password.
func parseDER(block *pem.Block) (*Key, error) {
	var k crypto.PrivateKey
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		k, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		k, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%w: it is PEM of type %q", ErrKey, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newKey(k)
}

// parseSSH reads a key of OpenSSH. Package ssh limits the rounds of its key derivation.
func parseSSH(raw []byte, password func() ([]byte, error)) (*Key, error) {
	private, err := ssh.ParseRawPrivateKey(raw)
	if isMissing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &isMissing) {
		given, err := password()
		if err != nil {
			return nil, err
		}
		private, err = ssh.ParseRawPrivateKeyWithPassphrase(raw, given)
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, ErrPassword
		}
		return keyOfSSH(private, err)
	}
	return keyOfSSH(private, err)
}

func keyOfSSH(private crypto.PrivateKey, err error) (*Key, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %w; sign with a key in an authenticator or an agent with ssh-keygen -Y sign", ErrKey, err)
	}
	k, err := newKey(private)
	if err != nil {
		return nil, err
	}
	k.isSSH = true
	return k, nil
}

// Public returns the public part.
func (k *Key) Public() PublicKey { return k.public }

// IsSSH reports whether the key came from a file of OpenSSH: its signatures of messages are for
// ssh-keygen.
func (k *Key) IsSSH() bool { return k.isSSH }

// sign signs message as sigstore does: ECDSA and RSA (PKCS#1 v1.5) its SHA-256, Ed25519 the message.
func (k *Key) sign(message []byte) ([]byte, error) {
	if _, ok := k.signer.(ed25519.PrivateKey); ok {
		return k.signer.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}
