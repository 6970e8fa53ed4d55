package custody_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// TestRecorded: keys and bundles that cosign 3.1.3 itself wrote, by testdata/cosign/make.sh, are read and
// verified, also that without a digest which it writes with Ed25519.
func TestRecorded(t *testing.T) {
	t.Parallel()
	file := func(name string) []byte { return read(t, filepath.Join("testdata", "cosign", name)) }
	signed := file("seal")
	for bundle, key := range map[string]string{
		"p256.sigstore.json": "p256", "p256.config.sigstore.json": "p256",
		"rsa.sigstore.json": "rsa", "rsa.config.sigstore.json": "rsa", "ed25519.sigstore.json": "ed25519",
	} {
		k, err := custody.ParseKey(file(key+".key"), givenPassword("secret"))
		require.NoError(t, err, key)
		assert.False(t, k.IsSSH())
		public, err := custody.ParsePublicKey(file(key + ".pub"))
		require.NoError(t, err, key)
		assert.Equal(t, public.Fingerprint(), k.Public().Fingerprint())

		b, err := custody.ParseBundle(file(bundle))
		require.NoError(t, err, bundle)
		assert.True(t, b.MadeWith(public), bundle)
		trust := trustIn(t, key+".pub", string(file(key+".pub")))
		signature := custody.Signature{File: bundle, Raw: file(bundle)}
		signer, err := trust.Verify(signature, signed, "the seal", custody.SealNamespace, time.Now())
		require.NoError(t, err, bundle)
		assert.Equal(t, custody.Signer{Principal: key + ".pub", KeyFingerprint: public.Fingerprint(), Form: custody.FormBundle}, signer)
		_, err = trust.Verify(signature, seal, "the seal", custody.SealNamespace, time.Now())
		assert.Error(t, err, bundle)
		for other := range map[string]bool{"p256": true, "rsa": true, "ed25519": true} {
			_, err := trustIn(t, other, string(file(other+".pub"))).Verify(signature, signed, "the seal", custody.SealNamespace, time.Now())
			assert.Equal(t, other == key, err == nil, "%s by %s", bundle, other)
		}
	}
}
