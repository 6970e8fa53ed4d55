package custody_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// seed adds the recorded files whose names have an ending.
func seed(f *testing.F, ending string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*", "*"+ending))
	require.NoError(f, err)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(raw)
	}
}

// FuzzSignature: whatever lies beside an archive as its signature is refused, unless it is one by the trusted key, and
// is so under every mutation that still verifies.
func FuzzSignature(f *testing.F) {
	seed(f, ".sigstore.json")
	key, err := custody.NewKey()
	require.NoError(f, err)
	bundle, err := key.SignMessage(seal)
	require.NoError(f, err)
	ssh, err := key.SignSSH(seal, custody.SealNamespace)
	require.NoError(f, err)
	f.Add(bundle)
	f.Add(ssh)
	other, err := custody.NewKey()
	require.NoError(f, err)
	trust := &custody.Trust{}
	require.NoError(f, trust.Add("signers", []byte("ops "+other.Public().Line())))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := trust.Verify(custody.Signature{File: "f", Raw: raw}, seal, "the seal", custody.SealNamespace, time.Now())
		var untrusted *custody.UntrustedError
		require.ErrorAs(t, err, &untrusted, "nobody knows the key")
		require.NotContains(t, err.Error(), "\x1b")
		if b, err := custody.ParseBundle(raw); err == nil {
			require.Error(t, b.VerifyMessage(other.Public(), seal))
			_, err := b.VerifyStatement(other.Public())
			require.Error(t, err)
		}
	})
}

// FuzzKey: no file makes the reader of a private key spend long, and what is read can be written and read again.
func FuzzKey(f *testing.F) {
	seed(f, ".key")
	key, err := custody.NewKey()
	require.NoError(f, err)
	file, err := key.Encrypt(nil)
	require.NoError(f, err)
	f.Add(file)
	f.Add(bytes.Replace(file, []byte("SIGSTORE"), []byte("COSIGN"), -1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := custody.ParseKey(raw, noPassword) // a password costs 64 MiB and a fifth of a second
		if err != nil {
			return
		}
		bundle, err := k.SignMessage(seal)
		require.NoError(t, err)
		b, err := custody.ParseBundle(bundle)
		require.NoError(t, err)
		require.NoError(t, b.VerifyMessage(k.Public(), seal))
	})
}

// FuzzTrust: a list of trusted keys is read as a whole or refused; what is read trusts the keys that its lines have, and
// a line of ours at its end.
func FuzzTrust(f *testing.F) {
	seed(f, ".pub")
	key, err := custody.NewKey()
	require.NoError(f, err)
	line := key.Public().Line()
	for _, s := range []string{
		"ops " + line, "# comment\n\na,b namespaces=\"relocate-*,!x\" " + line, "ops cert-authority " + line,
		"\"ops\" valid-after=\"20200101Z\",valid-before=\"20990101120000\" " + line + " comment", "ops " + strings.Repeat("x", 100),
	} {
		f.Add([]byte(s))
	}
	signature, err := key.SignSSH(seal, custody.SealNamespace)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var trust custody.Trust
		if trust.Add("signers", raw) != nil || bytes.Contains(raw, []byte("-----BEGIN")) {
			return
		}
		require.NoError(t, (&custody.Trust{}).Add("signers", append(bytes.Clone(raw), "\nours "+line...)))
		require.NoError(t, trust.Add("more", []byte("ours "+line)))
		_, err := trust.Verify(custody.Signature{File: "f", Raw: signature}, seal, "the seal", custody.SealNamespace, time.Now())
		require.NoError(t, err)
	})
}
