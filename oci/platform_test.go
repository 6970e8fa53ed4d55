package oci

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIsPlatform(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want string
		yes  []string
		no   []string
	}{
		{"linux/amd64", []string{"linux/amd64", "linux/amd64/v3"}, []string{"", "linux/arm64", "windows/amd64", "linux", "linux/amd64/v3/x"}},
		{"linux/arm64", []string{"linux/arm64", "linux/arm64/v8", "linux/arm64/v9"}, []string{"linux/arm"}},
		{"linux/arm64/v8", []string{"linux/arm64", "linux/arm64/v8"}, []string{"linux/arm64/v9"}},
		{"linux/arm", []string{"linux/arm", "linux/arm/v6", "linux/arm/v7"}, nil},
		{"linux/arm/v7", []string{"linux/arm", "linux/arm/v7"}, []string{"linux/arm/v6"}},
		{"linux/arm/v6", []string{"linux/arm/v6"}, []string{"linux/arm"}},
		{"linux/amd64/v2", []string{"linux/amd64/v2"}, []string{"linux/amd64", "linux/amd64/v3"}},
	} {
		want, err := ParsePlatform(tt.want)
		require.NoError(t, err)
		for _, is := range tt.yes {
			assert.True(t, IsPlatform(want, is), "%s and %s", tt.want, is)
		}
		for _, is := range tt.no {
			assert.False(t, IsPlatform(want, is), "%s and %s", tt.want, is)
		}
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux amd64", "linux/amd64,linux/arm64", "linux/\x1b[31m", "linux/" + strings.Repeat("a", 65)} {
		_, err := ParsePlatform(s)
		require.Error(t, err, s)
		assert.Contains(t, err.Error(), "is not a platform")
		assert.NotContains(t, err.Error(), "\x1b")
	}
}

// An attestation of BuildKit's names the child that it is about; a child for a platform is none.
func TestManifestAttested(t *testing.T) {
	t.Parallel()
	const of = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	d := `"mediaType":"x","size":1,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"`
	unknown := `"platform":{"os":"unknown","architecture":"unknown"}`
	for name, tt := range map[string]struct {
		child string
		want  string
	}{
		"attestation":     {unknown + `,"annotations":{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"` + of + `"}`, of},
		"of no platform":  {`"annotations":{"vnd.docker.reference.digest":"` + of + `"}`, of},
		"for a platform":  {`"platform":{"os":"linux","architecture":"amd64"},"annotations":{"vnd.docker.reference.digest":"` + of + `"}`, ""},
		"without":         {unknown, ""},
		"no digest":       {unknown + `,"annotations":{"vnd.docker.reference.digest":"x"}`, ""},
		"no text":         {unknown + `,"annotations":{"vnd.docker.reference.digest":7}`, ""},
		"no annotations":  {unknown + `,"annotations":[]`, ""},
		"other non-texts": {unknown + `,"annotations":{"a":{},"vnd.docker.reference.digest":"` + of + `"}`, of},
	} {
		raw := `{"schemaVersion":2,"manifests":[{` + d + `,` + tt.child + `}]}`
		m, err := ParseManifest(v1.Descriptor{MediaType: types.OCIImageIndex}, []byte(raw))
		require.NoError(t, err, name)
		want := v1.Hash{}
		if tt.want != "" {
			want, err = v1.NewHash(tt.want)
			require.NoError(t, err)
		}
		assert.Equal(t, []v1.Hash{want}, m.Attested, name)
	}
}
