package custody

import (
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Endings of the files beside an archive, after its name.
const (
	SealEnding     = ".seal"               // the archive's seal
	BundleEnding   = ".seal.sigstore.json" // a bundle that signs the file of the seal
	SSHEnding      = ".seal.sig"           // a signature of OpenSSH of it
	ReceiptsEnding = ".receipts.jsonl"     // receipts, one a line
)

// ErrNotSeal says that a file is not that of a seal.
var ErrNotSeal = errors.New("is not the file of a seal (sha256:… and a line feed)")

// SealText is the file of a seal, 72 bytes: what is signed, and the archive's own last member.
func SealText(seal v1.Hash) []byte { return fmt.Appendln(nil, seal) }

// ParseSeal reads the file of a seal.
//
// Errors: ErrNotSeal.
func ParseSeal(raw []byte) (v1.Hash, error) {
	if len(raw) < 1 || len(raw) > 72 {
		return v1.Hash{}, ErrNotSeal
	}
	seal, err := v1.NewHash(string(raw[:len(raw)-1]))
	if err != nil || seal.Algorithm != "sha256" || string(SealText(seal)) != string(raw) {
		return v1.Hash{}, ErrNotSeal
	}
	return seal, nil
}

// Sign signs a seal in the form that fits the key, and returns the ending of the file for it.
func (k *Key) Sign(seal v1.Hash) (signature []byte, ending string, err error) {
	if k.isSSH {
		signature, err = k.SignSSH(SealText(seal), SealNamespace)
		return signature, SSHEnding, err
	}
	if signature, err = k.SignMessage(SealText(seal)); err != nil {
		return nil, "", err
	}
	return append(signature, '\n'), BundleEnding, nil
}
