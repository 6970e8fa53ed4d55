package rewrite_test

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"
	yamlv2 "go.yaml.in/yaml/v2"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/oci"
	"relocate/rewrite"
)

// hostileNames are what an operator, a tag or a source repository may be called.
var hostileNames = []string{
	"", "main", "Main_Repo", "a.b-c", "-a-", "..", "a/b", "---\nkind: Secret", "a: b", "{}", "yes", "1.0", "0x1f", "null", "~", "\x1b[2J", "é", "\u2028", "\xff", "#", "&a", "*a", "!!str a",
	strings.Repeat("a", 254), strings.Repeat("a-", 127) + ".b", strings.Repeat("a", 252) + "-b", "2001-01-01", "1e3", "'", `"`, "%", "@", "`", "|", ">",
}

// parse reads a repository, by its full name: go-containerregistry takes hosts that are no text, and
// names that are too long with "library/" before them.
func parse(s string) (name.Repository, bool) {
	repo, err := name.NewRepository(s)
	if err == nil {
		repo, err = name.NewRepository(repo.Name())
	}
	return repo, err == nil && utf8.ValidString(s)
}

// FuzzMapping: every reference of a graph gets a place in the destination, of the same digest, and one
// that is there already stays where it is.
func FuzzMapping(f *testing.F) {
	for _, s := range hostileNames {
		f.Add("private.test/repo", s)
		f.Add(s, "reg.test/a:1")
	}
	f.Add("private.test:5000/a/b", "private.test:5000/a/b@"+digestB.String())
	elsewhere, err := name.NewRepository("reg.test/elsewhere")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, repository, from string) {
		repo, ok := parse(repository)
		if !ok {
			return
		}
		n := &bundle.Node{References: []string{from, "reg.test/other@" + digestB.String()}, Kind: bundle.Plain, From: elsewhere}
		n.Descriptor.Digest, n.Descriptor.MediaType = digestB, types.OCIManifestSchema1
		moves := rewrite.Mapping(&bundle.Graph{Nodes: []*bundle.Node{n}}, repo)
		require.Len(t, moves, len(n.References))
		for i, move := range moves {
			require.Equal(t, n.References[i], move.From)
			to, err := name.NewDigest(move.To)
			require.NoError(t, err)
			require.Equal(t, repo.Name(), to.Context().Name(), "leads out of the destination")
			require.Equal(t, digestB.String(), to.DigestStr())
		}
		n.References = []string{moves[0].To}
		again := rewrite.Mapping(&bundle.Graph{Nodes: []*bundle.Node{n}}, repo)
		require.Equal(t, []rewrite.Move{{From: moves[0].To, To: moves[0].To, Kind: bundle.Plain}}, again)
	})
}

// FuzzLock: the lock of one root is a BundleLock, of several an ImagesLock; it reads as what was meant.
func FuzzLock(f *testing.F) {
	for _, s := range hostileNames {
		f.Add("private.test/repo", s, true)
		f.Add("private.test/repo", s, false)
	}
	f.Fuzz(func(t *testing.T, repository, tag string, one bool) {
		repo, ok := parse(repository)
		if !ok || !oci.IsTag(tag) {
			return
		}
		roots := []bundle.Root{{Reference: repo.Tag("a"), Digest: digestA}, {Reference: repo.Tag("b"), Digest: digestB}}
		if one {
			text, err := rewrite.Lock(graphOf(roots[:1]), repo, tag, nil)
			require.NoError(t, err)
			lock, err := carvel.ParseBundleLock(text)
			require.NoError(t, err, "%s", text)
			require.Equal(t, &carvel.BundleLock{Image: repo.Digest(digestA.String()), Tag: tag}, lock)
			return
		}
		text, err := rewrite.Lock(graphOf(roots), repo, tag, nil)
		require.NoError(t, err)
		lock, err := carvel.ParseImagesLock(text)
		require.NoError(t, err, "%s", text)
		require.Len(t, lock.Images, 2)
		require.Equal(t, repo.Digest(digestA.String()).Name(), lock.Images[0].Image.Name())
		require.Equal(t, repo.Digest(digestB.String()).Name(), lock.Images[1].Image.Name())
	})
}

var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`) // Kubernetes' own

// FuzzDNSName: the result is empty or a name that Kubernetes takes, and a name stays as it is.
func FuzzDNSName(f *testing.F) {
	for _, s := range hostileNames {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := rewrite.DNSName(s)
		require.True(t, got == "" || subdomain.MatchString(got) && len(got) <= 253, "%q becomes %q", s, got)
		require.Equal(t, got, rewrite.DNSName(got))
		if subdomain.MatchString(s) && len(s) <= 253 {
			require.Equal(t, s, got)
		}
	})
}

// FuzzPackageRepository: whatever names go in, they are refused, or what comes out is a document for
// each object, with just the fields that were given.
func FuzzPackageRepository(f *testing.F) {
	for _, s := range hostileNames {
		f.Add("reg.test/path/main", "private.test/repo", s, "", "", "")
		f.Add("reg.test/path/main", "private.test/repo", "1.0", s, "", "")
		f.Add("reg.test/path/main", "private.test/repo", "1.0", "a", s, s)
		f.Add(s, s, "1.0", "", "", "b")
	}
	f.Fuzz(func(t *testing.T, source, destination, version, as, namespace, secret string) {
		from, ok := parse(source)
		to, okTo := parse(destination)
		if _, err := name.NewTag("reg.test/repo:" + version); !ok || !okTo || version != "" && err != nil {
			return // a version is the tag of a reference
		}
		p, err := rewrite.NewPackageRepository(from.Digest(digestA.String()), to, version, as, namespace, secret)
		if err != nil {
			return
		}
		require.Regexp(t, subdomain, p.Name)
		other, err := rewrite.NewPackageRepository(from.Digest(digestB.String()), to, "", "other", "", "")
		require.NoError(t, err)
		text, err := rewrite.Encode([]rewrite.PackageRepository{p, other})
		require.NoError(t, err)
		require.False(t, bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }), "%q", text)

		d := yamlv2.NewDecoder(bytes.NewReader(text))
		d.SetStrict(true)
		for _, want := range []rewrite.PackageRepository{p, other} {
			var got map[any]any
			require.NoError(t, d.Decode(&got), "%s", text)
			require.Equal(t, object(want), got, "%s", text)
		}
		require.ErrorIs(t, d.Decode(new(any)), io.EOF)
	})
}

// object is a PackageRepository as a reader of YAML sees it.
func object(p rewrite.PackageRepository) map[any]any {
	type m = map[any]any
	meta, fetch := m{"name": p.Name, "namespace": p.Namespace}, m{"image": p.Image.Name()}
	if p.Namespace == "" {
		meta["namespace"] = "kapp-controller-packaging-global"
	}
	if p.Version != "" {
		meta["annotations"] = m{"kctrl.carvel.dev/repository-version": p.Version}
	}
	if p.SecretRef != "" {
		fetch["secretRef"] = m{"name": p.SecretRef}
	}
	return m{"apiVersion": "packaging.carvel.dev/v1alpha1", "kind": "PackageRepository", "metadata": meta, "spec": m{"fetch": m{"imgpkgBundle": fetch}}}
}

// FuzzTags: every root gets its own tag, or the one that was asked for, or there is an error; and a tag
// is one that a registry takes, and none that imgpkg gives by digest.
func FuzzTags(f *testing.F) {
	for _, s := range append(hostileNames, "sha256-aa", "SHA256-aa", "v1", "latest", strings.Repeat("a", 129)) {
		f.Add("a", "b", s)
		f.Add(s, s, "")
		f.Add(s, "", s)
	}
	f.Fuzz(func(t *testing.T, first, second, tag string) {
		repo, err := name.NewRepository("reg.test/repo")
		require.NoError(t, err)
		roots := []bundle.Root{{Reference: repo.Tag(first), Digest: digestA}}
		if second != "" {
			roots = append(roots, bundle.Root{Reference: repo.Tag(second), Digest: digestB})
		}
		tags, err := rewrite.Tags(roots, tag)
		if err != nil {
			return
		}
		wanted := 0
		for _, root := range roots {
			want := root.Tag()
			if tag != "" {
				want = tag
			}
			if want == "" {
				continue
			}
			wanted++
			require.Equal(t, root.Digest, tags[want])
			require.Regexp(t, `^\w[\w.-]{0,127}$`, want)
			require.False(t, strings.HasPrefix(want, "sha256-"), want)
		}
		require.Len(t, tags, wanted)
	})
}
