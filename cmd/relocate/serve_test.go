package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/tarball"
)

// served is a run of serve in this process.
type served struct {
	report servingReport
	url    string // with scheme
	host   string
	stop   func() result // as Ctrl-C does, and returns how it ended
	stderr *lockedBuffer
}

// lockedBuffer is written by one and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startServe serves archives at a free port, as the arguments say, until the test ends. One that refuses has ended, and
// its url is empty.
func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	s := &served{stderr: &lockedBuffer{}}
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "-o", "json"}, args...), stdout, s.stderr)
		stdout.Close()
	}()
	decodeErr := json.NewDecoder(out).Decode(&s.report)
	s.stop = sync.OnceValue(func() result {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		return result{<-status, "", s.stderr.String()}
	})
	t.Cleanup(func() { s.stop() })
	if decodeErr != io.EOF { // it listens
		require.NoError(t, decodeErr)
		s.url = s.report.URL
		_, s.host, _ = strings.Cut(s.url, "://")
	}
	return s
}

func mustServe(t *testing.T, args ...string) *served {
	t.Helper()
	s := startServe(t, args...)
	require.NotEmpty(t, s.url, "%v", s.stderr)
	return s
}

// repositories are all that a registry has.
func repositories(t *testing.T, host string) []string {
	t.Helper()
	var list struct{ Repositories []string }
	body, _ := get(t, host, "/v2/_catalog")
	require.NoError(t, json.Unmarshal(body, &list))
	return list.Repositories
}

// TestServeAsImported: what serve answers with, under the root's path or --as, is what an import puts into a real
// registry: the same tags, manifests, blobs and referrers, from both forms of archives.
func TestServeAsImported(t *testing.T) {
	t.Parallel()
	src, dst := startReferrers(t), startReferrers(t)
	signed := newSignedSite(t, src)
	for name, c := range map[string]struct {
		root, path string
		flags      []string
	}{
		"sample":           {pushSample(t, src), "corp/repository", nil},
		"sample in imgpkg": {pushSample(t, src), "corp/repository", []string{"--tar-format", "imgpkg"}},
		"signed":           {signed.root, "signed/repository", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := export(t, append([]string{c.root}, c.flags...)...)
			repo := strings.ReplaceAll(name, " ", "-") + "/" + c.path
			mustRelocate(t, "--from-tar", file, "--to-repo", dst+"/"+repo)
			want := dumpRepositories(t, dst, repo)
			for as, s := range map[string]*served{
				c.path:    mustServe(t, file),
				"another": mustServe(t, file, "--as", "another", "--no-origins"),
			} {
				got := dumpRepositories(t, s.host, as)
				assert.Equal(t, want.manifests, got.manifests)
				assert.True(t, maps.Equal(want.blobs, got.blobs))
				wantTags := map[string]string{}
				for tag, d := range want.tags {
					wantTags[as+strings.TrimPrefix(tag, repo)] = d
				}
				assert.Equal(t, wantTags, got.tags)
				mustRelocate(t, "verify", "--repo", s.host+"/"+as, file, "--level", "deep")
				for d := range want.manifests {
					wantList, _ := get(t, dst, "/v2/"+repo+"/referrers/"+d)
					gotList, _ := get(t, s.host, "/v2/"+as+"/referrers/"+d)
					assert.ElementsMatch(t, referrerDigests(t, wantList), referrerDigests(t, gotList), d)
				}
				if name == "signed" {
					signed.assertSigned(t, s.host, as)
				}
				if as == "another" {
					assert.Equal(t, []string{"another"}, repositories(t, s.host))
				}
				assert.Equal(t, result{stderr: s.stderr.String()}, s.stop())
			}
		})
	}
}

func referrerDigests(t *testing.T, raw []byte) []string {
	t.Helper()
	var index struct{ Manifests []struct{ Digest string } }
	require.NoError(t, json.Unmarshal(raw, &index))
	list := []string{}
	for _, m := range index.Manifests {
		list = append(list, m.Digest)
	}
	return list
}

// TestServeOrigins: every reference of the sample, with another host, is pulled by go-containerregistry, crane and skopeo.
func TestServeOrigins(t *testing.T) {
	t.Parallel()
	src := startMemory(t, nil)
	file := export(t, pushSample(t, src))
	s := mustServe(t, file)
	a, err := tarball.Open(file)
	require.NoError(t, err)
	defer a.Close()
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	pulled := 0
	for _, n := range plan.Graph.Nodes {
		for _, from := range n.References {
			pulled++
			ref, err := name.ParseReference(strings.Replace(from, src, s.host, 1))
			require.NoError(t, err)
			desc, err := remote.Get(ref, remote.WithContext(t.Context()))
			require.NoError(t, err)
			assert.Equal(t, n.Descriptor.Digest, desc.Digest)
			if n.Kind == bundle.Index {
				index, err := desc.ImageIndex()
				require.NoError(t, err)
				assert.NoError(t, validate.Index(index), ref)
			} else {
				image, err := desc.Image()
				require.NoError(t, err)
				assert.NoError(t, validate.Image(image), ref)
			}
			pullWithCrane(t, ref.Name())
			pullWithSkopeo(t, ref.Name())
		}
	}
	require.GreaterOrEqual(t, pulled, 9)
	assert.Contains(t, s.stderr.String(), `"GET /v2/corp/simple-app/manifests/`)

	repos := repositories(t, s.host)
	for _, n := range plan.Graph.Nodes { // a blob is in no other repository than those of images that name it
		for _, b := range n.Blobs {
			for _, repo := range repos {
				want := repo == "corp/repository"
				for _, user := range plan.Graph.Nodes {
					names := slices.ContainsFunc(user.Blobs, func(d v1.Descriptor) bool { return d.Digest == b.Digest })
					want = want || (names && isUnder(plan.Graph, user, repo))
				}
				assert.Equal(t, want, has(t, s.host, "/v2/"+repo+"/blobs/"+b.Digest.String()), "%s in %s", b.Digest, repo)
			}
		}
	}
}

// isUnder reports whether a reference names n, or an index that has it, in repo.
func isUnder(g *bundle.Graph, n *bundle.Node, repo string) bool {
	for _, other := range g.Nodes {
		if other == n || (other.Kind == bundle.Index && slices.Contains(other.Children, n.Descriptor.Digest)) {
			for _, s := range other.References {
				if ref, err := name.ParseReference(s); err == nil && ref.Context().RepositoryStr() == repo {
					return true
				}
			}
		}
	}
	return false
}

func pullWithCrane(t *testing.T, ref string) {
	t.Helper()
	raw, err := crane.Manifest(ref, crane.Insecure)
	require.NoError(t, err)
	image, err := crane.Pull(ref, crane.Insecure)
	require.NoError(t, err)
	assert.NoError(t, crane.SaveOCI(image, t.TempDir()), ref)
	assert.NotEmpty(t, raw)
}

func pullWithSkopeo(t *testing.T, ref string) {
	t.Helper()
	skopeo, err := exec.LookPath("skopeo")
	if err != nil || testing.Short() {
		return // make test has it
	}
	out, err := exec.CommandContext(t.Context(), skopeo, "copy", "--all", "--src-tls-verify=false", "docker://"+ref, "dir:"+t.TempDir()).CombinedOutput()
	assert.NoError(t, err, "%s: %s", ref, out)
}

// TestServeIsSource: relocate itself exports from a served archive, and gets the same blobs.
func TestServeIsSource(t *testing.T) {
	t.Parallel()
	src := startMemory(t, nil)
	root := pushSample(t, src)
	first := export(t, root)
	s := mustServe(t, first, "--as", "some/where", "--no-origins")
	again := export(t, strings.Replace(root, src+"/corp/repository", s.host+"/some/where", 1))
	assert.ElementsMatch(t, blobsOf(t, first), blobsOf(t, again))
	inspected := mustRelocate(t, "inspect", "--repo", s.report.Archives[0].Roots[0].Reference)
	assertAll(t, inspected.stdout, "simple-app.corp.com", "guestbook.corp.com")
}

func blobsOf(t *testing.T, file string) []listedBlob {
	t.Helper()
	archive, err := os.ReadFile(file)
	require.NoError(t, err)
	return unpack(t, archive).Blobs
}

// TestServeInterop: imgpkg's own tars are served, from what imgpkg itself wrote.
func TestServeInterop(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(interop + "tar/*.tar")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, file := range files {
		s := mustServe(t, file)
		repos := repositories(t, s.host)
		require.NotEmpty(t, repos, file)
		dump := dumpRepositories(t, s.host, repos...)
		assert.NotEmpty(t, dump.tags, file)
		for _, root := range s.report.Archives[0].Roots {
			assert.Contains(t, dump.manifests, root.Reference[strings.Index(root.Reference, "@")+1:], file)
		}
	}
}

// TestServeHosts: one path at two registries, in two archives or in one. A client that names the registry, as containerd does
// to a mirror, gets what the tag is of there; any other gets it by digest, and by a tag only if there is one answer.
func TestServeHosts(t *testing.T) {
	t.Parallel()
	a, b := site{t: t, host: startMemory(t, nil)}, site{t: t, host: startMemory(t, nil)}
	digest := map[string]string{}
	for _, at := range []site{a, b} {
		image := at.ref("img/app", at.image("img/app", "v1", "the app of "+at.host))
		_, digest[at.host], _ = strings.Cut(at.ref("corp/all", at.bundle("corp/all", "1", nil, image)), "@")
	}
	_, digest["other"], _ = strings.Cut(b.ref("corp/all", b.bundle("corp/all", "2", map[string]string{"a": "b"})), "@")
	one, two := export(t, a.host+"/corp/all:1"), export(t, b.host+"/corp/all:1", b.host+"/corp/all:2")
	both := export(t, a.host+"/corp/all:1", b.host+"/corp/all:1", b.host+"/corp/all:2")
	for _, files := range [][]string{{one, two}, {two, one}, {both}, {both, "--no-origins"}} {
		s := mustServe(t, files...)
		at := func(path string) (string, int) {
			status, body, _ := ask(t, http.MethodGet, s.host, "/v2/corp/all/"+path)
			return digestOf(string(body)), status
		}
		for _, host := range []string{a.host, b.host} {
			got, _ := at("manifests/1?ns=" + host)
			assert.Equal(t, digest[host], got, host)
			got, _ = at("manifests/" + digest[host])
			assert.Equal(t, digest[host], got, "by digest: %s", host)
		}
		got, _ := at("manifests/2")
		assert.Equal(t, digest["other"], got, "there is one such tag")
		got, _ = at("manifests/2?ns=docker.io")
		assert.Equal(t, digest["other"], got, "nothing here is of that registry")
		_, status := at("manifests/2?ns=" + a.host)
		assert.Equal(t, http.StatusNotFound, status, "the tag is of the other registry")
		for _, path := range []string{"manifests/1", "manifests/1?ns=docker.io"} {
			status, body, _ := ask(t, http.MethodGet, s.host, "/v2/corp/all/"+path)
			assert.Equal(t, http.StatusNotFound, status)
			assertAll(t, string(body), "MANIFEST_UNKNOWN", a.host, b.host, "?ns=")
		}
		for query, want := range map[string]string{"": `["1","2"`, "?ns=" + a.host: `["1",`, "?ns=" + b.host: `["1","2"`} {
			body, _ := get(t, s.host, "/v2/corp/all/tags/list"+query)
			assert.Contains(t, string(body), `"tags":`+want, query)
		}
	}
	refused := startServe(t, one, two, "--as", "all")
	assertFailed(t, refused.stop(), statusUsage, "all:1: sha256:", "a tag cannot point to both")
}

// TestServeTwo: two archives are one registry, unless they disagree.
func TestServeTwo(t *testing.T) {
	t.Parallel()
	src := site{t: t, host: startMemory(t, nil)}
	one := src.ref("pkg/one", src.bundle("pkg/one", "1", nil, src.ref("img/app", src.image("img/app", "v1", "app"))))
	two := src.ref("pkg/two", src.bundle("pkg/two", "1", nil, src.ref("img/app", src.image("img/app", "v2", "other"))))
	first, second := export(t, src.host+"/pkg/one:1"), export(t, src.host+"/pkg/two:1")
	s := mustServe(t, first, second)
	assert.Equal(t, []string{"img/app", "pkg/one", "pkg/two"}, repositories(t, s.host))
	for _, ref := range []string{one, two} {
		_, path, _ := strings.Cut(ref, "/")
		repo, d, _ := strings.Cut(path, "@")
		assert.True(t, has(t, s.host, "/v2/"+repo+"/manifests/"+d))
	}
	for _, d := range []string{"v1", "v2"} {
		assert.False(t, has(t, s.host, "/v2/pkg/one/manifests/"+d))
	}
	refused := startServe(t, first, second, "--as", "all")
	assertFailed(t, refused.stop(), statusUsage, `all:1: sha256:`, " and sha256:", "a tag cannot point to both", second, "--no-origins")
}
