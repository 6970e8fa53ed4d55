package custody_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// seal is a message like those that are signed.
var seal = []byte("sha256:" + strings.Repeat("ab", 32) + "\n")

// noPassword is the password of a key that has none.
func noPassword() ([]byte, error) { return nil, errors.New("asked for a password") }

func givenPassword(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

// pemOf is a private key in PKCS#8.
func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// keysOf are keys of each kind that is taken, in PKCS#8.
func keysOf(t *testing.T) map[string][]byte {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return map[string][]byte{"ECDSA": pemOf(t, p256), "ED25519": pemOf(t, ed), "RSA": pemOf(t, r)}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

func parseKey(t *testing.T, raw []byte) *custody.Key {
	t.Helper()
	k, err := custody.ParseKey(raw, noPassword)
	require.NoError(t, err)
	return k
}

// TestSignMessage: a bundle is the signature of its message with its key, and of nothing else.
func TestSignMessage(t *testing.T) {
	t.Parallel()
	other, err := custody.NewKey()
	require.NoError(t, err)
	for name, raw := range keysOf(t) {
		k := parseKey(t, raw)
		bundle, err := k.SignMessage(seal)
		require.NoError(t, err)
		assert.NotContains(t, string(bundle), "\n")
		b, err := custody.ParseBundle(bundle)
		require.NoError(t, err, name)
		require.NoError(t, b.VerifyMessage(k.Public(), seal), name)
		assert.ErrorIs(t, b.VerifyMessage(k.Public(), seal[1:]), custody.ErrSignature, name)
		assert.ErrorIs(t, b.VerifyMessage(other.Public(), seal), custody.ErrSignature, name)
		assert.True(t, b.MadeWith(k.Public()))
		assert.False(t, b.MadeWith(other.Public()))
		_, err = b.VerifyStatement(k.Public())
		assert.ErrorIs(t, err, custody.ErrMalformed, name)
		assert.True(t, strings.HasPrefix(k.Public().Fingerprint(), name+" SHA256:"), k.Public().Fingerprint())
	}
}

// TestSignStatement: an envelope gives back the statement that was signed, and only with its key.
func TestSignStatement(t *testing.T) {
	t.Parallel()
	other, err := custody.NewKey()
	require.NoError(t, err)
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	for name, raw := range keysOf(t) {
		k := parseKey(t, raw)
		bundle, err := k.SignStatement(statement)
		require.NoError(t, err)
		assert.NotContains(t, string(bundle), "\n")
		b, err := custody.ParseBundle(bundle)
		require.NoError(t, err, name)
		got, err := b.VerifyStatement(k.Public())
		require.NoError(t, err, name)
		assert.Equal(t, statement, got)
		assert.Equal(t, statement, b.Statement())
		_, err = b.VerifyStatement(other.Public())
		assert.ErrorIs(t, err, custody.ErrSignature, name)
		assert.ErrorIs(t, b.VerifyMessage(k.Public(), statement), custody.ErrMalformed)

		var edited map[string]any
		require.NoError(t, json.Unmarshal(bundle, &edited))
		edited["dsseEnvelope"].(map[string]any)["payload"] = "e30="
		changed, err := json.Marshal(edited)
		require.NoError(t, err)
		b, err = custody.ParseBundle(changed)
		require.NoError(t, err)
		_, err = b.VerifyStatement(k.Public())
		assert.ErrorIs(t, err, custody.ErrSignature, name)
	}
}

// TestEncrypted: a key comes back from cosign's form with its password, and with no other.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	k, err := custody.NewKey()
	require.NoError(t, err)
	file, err := k.Encrypt([]byte("secret"))
	require.NoError(t, err)
	back, err := custody.ParseKey(file, givenPassword("secret"))
	require.NoError(t, err)
	assert.Equal(t, k.Public(), back.Public())
	_, err = custody.ParseKey(file, givenPassword("wrong"))
	assert.ErrorIs(t, err, custody.ErrPassword)
	_, err = custody.ParseKey(file, noPassword)
	assert.EqualError(t, err, "asked for a password")
}

// TestCostOfPassword: a key file cannot make its reader spend hours or all memory on the password.
func TestCostOfPassword(t *testing.T) {
	t.Parallel()
	for _, params := range []string{`{"N":1073741824,"r":8,"p":1}`, `{"N":65536,"r":1000000,"p":1}`, `{"N":65536,"r":8,"p":100000}`, `{"N":-1,"r":8,"p":1}`, `{}`} {
		body := `{"kdf":{"name":"scrypt","params":` + params + `,"salt":"AAAA"},"cipher":{"name":"nacl/secretbox","nonce":"` + strings.Repeat("A", 32) + `"},"ciphertext":"AAAA"}`
		file := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte(body)})
		_, err := custody.ParseKey(file, noPassword)
		assert.ErrorIs(t, err, custody.ErrKey, params)
		assert.ErrorContains(t, err, "cosign does not use", params)
	}
}

// TestKeysRefused: each with the reason, and what to do.
func TestKeysRefused(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	small, err := os.ReadFile("testdata/rsa1024.key")
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(p384.Public())
	require.NoError(t, err)
	block := func(kind string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("x")})
	}
	legacy := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"P-384":   {pemOf(t, p384), "sigstore/cosign#5091"},
		"RSA":     {small, "RSA with 1024 bits, and must have 2048 to 8192"},
		"PKCS8":   {block("ENCRYPTED PRIVATE KEY"), "an encrypted PKCS#8 key, which cannot be read; convert it with openssl pkcs8 -in"},
		"legacy":  {legacy, "openssl pkcs8 -topk8 -nocrypt -in"},
		"public":  {block("PUBLIC KEY"), "signing needs the private one"},
		"other":   {block("CERTIFICATE"), `PEM of type "CERTIFICATE"`},
		"text":    {[]byte("no key"), "is not PEM"},
		"DER":     {block("PRIVATE KEY"), "not a usable key"},
		"OpenSSH": {block("OPENSSH PRIVATE KEY"), "ssh-keygen -Y sign"},
		"large":   {make([]byte, custody.MaxFile+1), "more than the limit"},
	} {
		_, err := custody.ParseKey(c.raw, noPassword)
		assert.ErrorIs(t, err, custody.ErrKey, name)
		assert.ErrorContains(t, err, c.want, name)
	}
	_, err = custody.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	assert.ErrorContains(t, err, "sigstore/cosign#5091")
	_, err = custody.ParsePublicKey(block("ENCRYPTED SIGSTORE PRIVATE KEY"))
	assert.ErrorContains(t, err, "name the public one")
}

// TestBundlesRefused: what another reader may take for something else.
func TestBundlesRefused(t *testing.T) {
	t.Parallel()
	k, err := custody.NewKey()
	require.NoError(t, err)
	good, err := k.SignMessage(seal)
	require.NoError(t, err)
	edit := func(old, new string) string {
		require.Contains(t, string(good), old)
		return strings.Replace(string(good), old, new, 1)
	}
	for want, raw := range map[string]string{
		"unknown field":              edit(`"mediaType"`, `"extra":1,"mediaType"`),
		"has the key \"mediaType\"":  edit(`"mediaType"`, `"mediaType":"","mediaType"`),
		"its media type is":          edit("v0.3", "v0.9"),
		"signed with a certificate":  edit(`"publicKey"`, `"certificate":{},"publicKey"`),
		"signed with a key":          edit(`"publicKey":{`, `"tlogEntries":[],"timestampVerificationData":{`),
		"either messageSignature or": edit(`"messageSignature"`, `"dsseEnvelope":{},"messageSignature"`),
		"not a sigstore bundle":      "[]",
		"more than the limit":        strings.Repeat(" ", custody.MaxBundle+1),
		"has 0 signatures":           `{"mediaType":"` + custody.BundleType + `","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"signatures":[]}}`,
	} {
		_, err := custody.ParseBundle([]byte(raw))
		assert.ErrorIs(t, err, custody.ErrMalformed, want)
		assert.ErrorContains(t, err, want)
	}
}

// TestBundlesOfCosign: what cosign writes that we do not.
func TestBundlesOfCosign(t *testing.T) {
	t.Parallel()
	k, err := custody.NewKey()
	require.NoError(t, err)
	good, err := k.SignMessage(seal)
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(good, &doc))
	message, material := doc["messageSignature"].(map[string]any), doc["verificationMaterial"].(map[string]any)
	material["tlogEntries"], material["timestampVerificationData"] = []any{map[string]any{"logIndex": "1"}}, map[string]any{}
	verify := func() error {
		raw, err := json.MarshalIndent(doc, "", "  ")
		require.NoError(t, err)
		b, err := custody.ParseBundle(raw)
		require.NoError(t, err)
		return b.VerifyMessage(k.Public(), seal)
	}
	require.NoError(t, verify())
	message["messageDigest"] = map[string]any{} // cosign 3.1.3 with Ed25519
	require.NoError(t, verify())
	message["messageDigest"] = map[string]any{"algorithm": "SHA2_256", "digest": "AAAA"}
	require.ErrorIs(t, verify(), custody.ErrSignature)
}

// TestOpenssl: openssl alone can check a signature, without a bundle.
func TestOpenssl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "seal"), seal)
	for name, raw := range keysOf(t) {
		k := parseKey(t, raw)
		bundle, err := k.SignMessage(seal)
		require.NoError(t, err)
		var b struct {
			MessageSignature struct{ Signature []byte }
		}
		require.NoError(t, json.Unmarshal(bundle, &b))
		public, err := k.Public().PEM()
		require.NoError(t, err)
		write(t, filepath.Join(dir, "pub"), public)
		write(t, filepath.Join(dir, "sig"), b.MessageSignature.Signature)
		args := []string{"dgst", "-sha256", "-verify", "pub", "-signature", "sig", "seal"}
		if name == "ED25519" {
			args = []string{"pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-rawin", "-in", "seal", "-sigfile", "sig"}
		}
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s: %s", name, out)
	}
}
