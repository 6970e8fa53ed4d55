package main

import (
	"context"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"
)

// obeyed finds what a terminal does not only show: control characters, those that change the direction
// of writing, and line breaks that only some see. It is a list of its own, not that of package text.
var obeyed = regexp.MustCompile("[\x00-\x1f\x7f\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")

// pathGrammar is the distribution specification's (1.1, pulling manifests), but for the separators, of
// which the program takes any number.
var pathGrammar = regexp.MustCompile(`^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$`)

// requireInside holds a repository to names from which no URL leads out of its registry and path.
func requireInside(t *testing.T, repo name.Repository) {
	t.Helper()
	require.Regexp(t, pathGrammar, repo.RepositoryStr())
	u, err := url.Parse("https://" + repo.RegistryStr() + "/v2/" + repo.RepositoryStr() + "/manifests/a")
	if err != nil {
		return // a port that is none, which go-containerregistry takes: no request can be made
	}
	require.Equal(t, repo.RegistryStr(), u.Host)
	require.Equal(t, "/v2/"+repo.RepositoryStr()+"/manifests/a", u.Path)
	require.Equal(t, u.Path, path.Clean(u.Path))
	require.True(t, u.User == nil && u.RawQuery == "" && u.Fragment == "", u.String())
	again, err := name.NewRepository(repo.Name())
	require.NoError(t, err)
	require.Equal(t, repo.Name(), again.Name())
}

var hostileReferences = []string{
	"", "a", "a/b", "reg.test/a", "reg.test:5000/a/b:c", "docker.io/a", "index.docker.io/a", "[::1]:5000/a", "localhost/a", "https://reg.test/a", "reg.test/../a", "reg.test//a", "reg.test/a/", "reg.test/A",
	"reg.test/a?b", "reg.test/a#b", "user@reg.test/a", "reg.test/a@sha256:aa", "reg.test/a:b:c", "reg.test\\x/a", "reg.test /a", "reg.test/a\n", "é.test/a", "reg.test/é", "..", "reg.test/.", "reg.test/a..b/c", "*.test/a", "reg.test:/a", "reg.test:x/a",
}

// FuzzRepo: a repository that the command line may name is a registry and a path, and reads as itself.
func FuzzRepo(f *testing.F) {
	for _, s := range hostileReferences {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		repo, err := parseRepo("--to-repo", s)
		if err != nil {
			require.Equal(t, statusUsage, statusOf(err))
			return
		}
		requireInside(t, repo)
		require.False(t, strings.ContainsFunc(s, unicode.IsSpace))
	})
}

// FuzzRoots: a root that the command line may name is in a repository as FuzzRepo's, with one tag or
// one digest, and reads as itself.
func FuzzRoots(f *testing.F) {
	for _, s := range hostileReferences {
		f.Add(s)
		f.Add(s + ":1.0")
		f.Add(s + ":1.0@sha256:" + strings.Repeat("0", 64))
	}
	f.Fuzz(func(t *testing.T, s string) {
		named, err := (&sourceFlags{bundles: []string{s}}).roots()
		if err != nil {
			require.Equal(t, statusUsage, statusOf(err))
			return
		}
		require.Len(t, named.Bundles, 1)
		requireInside(t, named.Bundles[0].Context())
		again, err := (&sourceFlags{bundles: []string{named.Bundles[0].Name()}}).roots()
		require.NoError(t, err)
		require.Equal(t, named.Bundles[0].Name(), again.Bundles[0].Name())
	})
}

// statusOf returns the exit status of an error.
func statusOf(err error) int {
	status, _, _ := judge(context.Background(), err)
	return status
}
