package bundle

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"
)

// Where the fixtures are: what imgpkg wrote, and the sample's bundles.
const (
	interopFiles = "../testdata/interop"
	sampleFiles  = "../testdata/sample/bundles"
)

// seeds returns the files below dirs whose names end in one of the suffixes.
func seeds(f *testing.F, suffixes []string, dirs ...string) [][]byte {
	f.Helper()
	var list [][]byte
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			for _, suffix := range suffixes {
				if err == nil && !entry.IsDir() && strings.HasSuffix(path, suffix) {
					var data []byte
					data, err = os.ReadFile(path)
					list = append(list, data)
				}
			}
			return err
		})
		require.NoError(f, err)
	}
	require.NotEmpty(f, list)
	return list
}

// recorded is a manifest of the fixtures.
type recorded struct {
	MediaType types.MediaType `json:"mediaType"`
	Raw       string          `json:"raw"`
}

// manifestSeeds returns the manifests that imgpkg wrote.
func manifestSeeds(f *testing.F) []recorded {
	f.Helper()
	var list []recorded
	for _, raw := range seeds(f, []string{".json"}, interopFiles+"/registry") {
		var repos []struct {
			Manifests map[string]recorded `json:"manifests"`
		}
		require.NoError(f, json.Unmarshal(raw, &repos))
		for _, repo := range repos {
			for _, m := range repo.Manifests {
				list = append(list, m)
			}
		}
	}
	require.NotEmpty(f, list)
	return list
}

// requireLine holds an error about foreign text to one line of a length for people.
func requireLine(t *testing.T, err error) {
	t.Helper()
	if s := err.Error(); len(s) > 4000 || strings.ContainsAny(s, "\n\r") {
		t.Fatalf("the error is no line for people: %q", s)
	}
}

// requireLocked holds a reference to what a lock may name: one with a sha256 digest, in the only
// spelling that it has.
func requireLocked(t *testing.T, ref name.Digest) {
	t.Helper()
	again, err := parseDigestReference(ref.Name())
	require.NoError(t, err)
	require.Equal(t, ref.Name(), again.Name())
	require.True(t, strings.HasSuffix(ref.Name(), "@"+hashOf(ref).String()), ref.Name())
	require.Equal(t, "sha256", hashOf(ref).Algorithm)
	require.Equal(t, "/"+ref.RepositoryStr(), path.Clean("/"+ref.RepositoryStr()), "leads out of its registry")
}
