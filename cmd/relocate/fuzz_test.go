package main

import (
	"context"
	"encoding/json"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// obeyed finds what a terminal does not only show: control characters, those that change the direction
// of writing, and line breaks that only some see. It is a list of its own, not isShown.
var obeyed = regexp.MustCompile("[\x00-\x1f\x7f\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")

// FuzzPrintable: foreign text on a terminal has nothing that it obeys but the line feeds and tabs that
// printable leaves; a line has not even those. What is harmless stays as it is.
func FuzzPrintable(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s)
	}
	f.Add("grüße, 世界\n\tok")
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		require.False(t, obeyed.MatchString(strings.NewReplacer("\n", "", "\t", "").Replace(got)), "%q", got)
		require.True(t, utf8.ValidString(got))
		require.Equal(t, got, printable(got))
		require.Equal(t, utf8.RuneCountInString(s), utf8.RuneCountInString(got))

		one := line(s)
		require.False(t, obeyed.MatchString(one), "%q", one)
		require.Equal(t, one, line(one))
		if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e || r < ' ' && r != '\n' && r != '\t' }) {
			require.Equal(t, s, got)
		}
	})
}

// FuzzPrintableJSON: JSON for people has nothing that a terminal obeys but line feeds, and its meaning:
// it decodes to what went in, so that two values never look the same.
func FuzzPrintableJSON(f *testing.F) {
	for _, s := range hostileTexts {
		text, err := json.Marshal(map[string]any{s: []string{s}, "n": 1.5e300, "null": nil})
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`"\ud800"`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v any
		if json.Unmarshal(raw, &v) != nil {
			return
		}
		text, err := encodeJSON(v)
		require.NoError(t, err)
		require.False(t, obeyed.MatchString(strings.ReplaceAll(string(text), "\n", "")), "%q", text)
		var again any
		require.NoError(t, json.Unmarshal(text, &again), "%s", text)
		require.Equal(t, v, again)
	})
}

// FuzzYAML: -o yaml says what -o json says, and has nothing that a terminal obeys but line feeds.
func FuzzYAML(f *testing.F) {
	for _, s := range append(hostileTexts, "yes", "1.0", "---\na: b", "null", "0x1f", "a: b", " a ", "\n", "é", "2001-01-01", "<<", "- a", "%x", "a\r\nb", "\ta", "# a", "&a *b", "!!int 1", "\U0001f3f4\U000e0067", "\u0085", `\u202e`) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v := struct{ Text []string }{[]string{value, value}}
		var out, asJSON strings.Builder
		asYAML, plain := format("yaml"), format("json")
		require.NoError(t, plain.print(&asJSON, v, nil))
		require.NoError(t, asYAML.print(&out, v, nil))
		var want, got struct{ Text []string }
		require.NoError(t, json.Unmarshal([]byte(asJSON.String()), &want))
		require.NoError(t, yaml.UnmarshalStrict([]byte(out.String()), &got), "%q", out.String())
		require.Equal(t, want, got)
		require.False(t, obeyed.MatchString(strings.ReplaceAll(out.String(), "\n", "")), "%q", out.String())
	})
}

// FuzzTable: a table has a line for each row, whatever is in its cells, and nothing that a terminal
// obeys.
func FuzzTable(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s, "b", "c\nd")
	}
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var out strings.Builder
		table(&out, [][]string{{"A", "B"}, {a, b}, {b, c}})
		text := out.String()
		require.Equal(t, 3, strings.Count(text, "\n"))
		require.False(t, obeyed.MatchString(strings.ReplaceAll(text, "\n", "")), "%q", text)
	})
}

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
