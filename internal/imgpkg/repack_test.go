package imgpkg

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRepack: only what is changed differs, and the bytes do not depend on who built the program.
func TestRepack(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{".imgpkg/images.yml": []byte("aaaa"), "config/a.yml": []byte("aaaa"), "config/" + strings.Repeat("long", 60): []byte("b")}
	of, err := BuildStored(files, map[string]string{Label: "true", LabelDerivedFrom: "first", LabelChoice: "{}", "mine": "yes"})
	require.NoError(t, err)
	change := func(path string, _ []byte) ([]byte, error) {
		if path == ".imgpkg/images.yml" {
			return []byte("bbbb"), nil
		}
		return nil, nil
	}
	got, err := Repack(of.Config, bytes.NewReader(of.Layer), change, map[string]string{LabelDerivedFrom: "second", LabelPlatforms: "linux/amd64"})
	require.NoError(t, err)
	files[".imgpkg/images.yml"] = []byte("bbbb")
	want, err := BuildStored(files, map[string]string{Label: "true", LabelDerivedFrom: "second", "mine": "yes", LabelPlatforms: "linux/amd64"})
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Equal(t, "sha256:e2cebe58a4f83390606767dcb6e1189079aff7d307d544b458f0394a761f9a6e", got.Descriptor.Digest.String())
	assert.Equal(t, Config{IsBundle: true, DerivedFrom: "second", Platforms: "linux/amd64"}, ReadConfig(got.Config))

	compressed, err := Build(files, map[string]string{Label: "true", LabelDerivedFrom: "first", "mine": "yes"})
	require.NoError(t, err)
	got, err = Repack(compressed.Config, bytes.NewReader(compressed.Layer), change, map[string]string{LabelDerivedFrom: "second", LabelPlatforms: "linux/amd64"})
	require.NoError(t, err)
	assert.Equal(t, want, got, "however the layer was compressed")
}

func TestRepackRefuses(t *testing.T) {
	t.Parallel()
	of, err := BuildStored(map[string][]byte{"a": []byte("aaaa")}, nil)
	require.NoError(t, err)
	for want, change := range map[string]func(string, []byte) ([]byte, error){
		`"a": has 4 bytes, and would have 5`: func(string, []byte) ([]byte, error) { return []byte("bbbbb"), nil },
		`"a": no`:                            func(string, []byte) ([]byte, error) { return nil, errors.New("no") },
	} {
		_, err := Repack(of.Config, bytes.NewReader(of.Layer), change, nil)
		require.EqualError(t, err, want)
	}
	_, err = Repack(of.Config, strings.NewReader("no gzip"), nil, nil)
	require.Error(t, err)
	large, err := store(make([]byte, maxRepacked+1))
	require.NoError(t, err)
	_, err = Repack(of.Config, bytes.NewReader(large), nil, nil)
	require.ErrorContains(t, err, "unpacks to more than")
}
