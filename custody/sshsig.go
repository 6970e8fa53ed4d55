package custody

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"

	"relocate/internal/text"
)

// Namespaces of signatures: a key may be trusted for one and not for the other.
const (
	SealNamespace    = "relocate-seal"
	ReceiptNamespace = "relocate-receipt"
)

const (
	sshPEM   = "SSH SIGNATURE"
	sshMagic = "SSHSIG"
)

// sshSignature is a signature of OpenSSH (PROTOCOL.sshsig, version 1).
type sshSignature struct {
	key       PublicKey
	namespace string
	hash      string
	signature *ssh.Signature
}

// sshBlob is what the armor of a signature holds.
type sshBlob struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// sshSigned is what a signature covers.
type sshSigned struct {
	Magic     [6]byte
	Namespace string
	Reserved  string
	Hash      string
	Sum       []byte
}

// SignSSH returns a signature of message as ssh-keygen -Y sign writes it. ssh-keygen -Y verify checks it.
func (k *Key) SignSSH(message []byte, namespace string) ([]byte, error) {
	signer, err := ssh.NewSignerFromSigner(k.signer)
	if err != nil {
		return nil, err
	}
	signed, err := sshSignedOf(message, namespace, "sha512")
	if err != nil {
		return nil, err
	}
	algorithm := signer.PublicKey().Type()
	if algorithm == ssh.KeyAlgoRSA {
		algorithm = ssh.KeyAlgoRSASHA512 // the type's own name means SHA-1
	}
	signature, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, signed, algorithm)
	if err != nil {
		return nil, err
	}
	blob := ssh.Marshal(sshBlob{
		Magic: [6]byte([]byte(sshMagic)), Version: 1, PublicKey: signer.PublicKey().Marshal(),
		Namespace: namespace, Hash: "sha512", Signature: ssh.Marshal(signature),
	})
	return pem.EncodeToMemory(&pem.Block{Type: sshPEM, Bytes: blob}), nil
}

// sshSignedOf returns the bytes that a signature of message covers.
func sshSignedOf(message []byte, namespace, hash string) ([]byte, error) {
	signed := sshSigned{Magic: [6]byte([]byte(sshMagic)), Namespace: namespace, Hash: hash}
	switch hash {
	case "sha256":
		sum := sha256.Sum256(message)
		signed.Sum = sum[:]
	case "sha512":
		sum := sha512.Sum512(message)
		signed.Sum = sum[:]
	default:
		return nil, fmt.Errorf("%w: its hash is %s, not sha256 or sha512", ErrMalformed, text.Quote(hash))
	}
	return ssh.Marshal(signed), nil
}

// parseSSH reads the armored signature. It verifies nothing.
//
// Errors: ErrMalformed, ErrKey.
func parseSSHSignature(raw []byte) (*sshSignature, error) {
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != sshPEM || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: it is not a signature of OpenSSH", ErrMalformed)
	}
	var b sshBlob
	if err := ssh.Unmarshal(block.Bytes, &b); err != nil || string(b.Magic[:]) != sshMagic || b.Version != 1 {
		return nil, fmt.Errorf("%w: it is not a signature of OpenSSH, version 1", ErrMalformed)
	}
	s := &sshSignature{namespace: b.Namespace, hash: b.Hash, signature: &ssh.Signature{}}
	if err := ssh.Unmarshal(b.Signature, s.signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	k, err := ssh.ParsePublicKey(b.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, text.Error(err))
	}
	if s.key, err = fromSSH(k); err != nil {
		return nil, err
	}
	if s.signature.Format == ssh.KeyAlgoRSA {
		return nil, fmt.Errorf("%w: it is made with SHA-1", ErrMalformed)
	}
	return s, nil
}

// verify checks that the signature is its own key's, of message in its own namespace.
//
// Errors: ErrSignature, ErrMalformed.
func (s *sshSignature) verify(message []byte) error {
	signed, err := sshSignedOf(message, s.namespace, s.hash)
	if err != nil {
		return err
	}
	if err := s.key.ssh.Verify(signed, s.signature); err != nil {
		return ErrSignature
	}
	return nil
}
