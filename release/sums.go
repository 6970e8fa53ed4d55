package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"relocate/custody"
)

// sums writes SHA256SUMS, which sha256sum -c reads, and signs it where there is a key.
func (r *release) sums() error {
	entries, err := os.ReadDir(r.out) // in the order of their names
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), entry.Name())
	}
	path := filepath.Join(r.out, "SHA256SUMS")
	if err := os.WriteFile(path, sums.Bytes(), 0o644); err != nil {
		return err
	}
	if r.key == "" {
		return nil
	}
	return r.sign(path, sums.Bytes())
}

// sshNamespace is what a key of OpenSSH must be trusted for.
const sshNamespace = "relocate-release"

// sign writes a signature beside path, in the formats in which relocate signs archives: for ssh-keygen if
// the key is one of OpenSSH, else for cosign.
func (r *release) sign(path string, content []byte) error {
	raw, err := os.ReadFile(r.key)
	if err != nil {
		return err
	}
	key, err := custody.ParseKey(raw, func() ([]byte, error) { return []byte(os.Getenv("COSIGN_PASSWORD")), nil })
	if err != nil {
		return fmt.Errorf("%s: %w", r.key, err)
	}
	if key.IsSSH() {
		signature, err := key.SignSSH(content, sshNamespace)
		if err != nil {
			return fmt.Errorf("%s: %w", r.key, err)
		}
		return os.WriteFile(path+".sig", signature, 0o644)
	}
	bundle, err := key.SignMessage(content)
	if err != nil {
		return fmt.Errorf("%s: %w", r.key, err)
	}
	return os.WriteFile(path+".sigstore.json", append(bundle, '\n'), 0o644)
}
