package main

import (
	"cmp"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
	"relocate/testdata/sample"
)

// hostile is an archive that somebody made to do harm, or one that looks like it and is right.
type hostile struct {
	name   string
	why    string // the rule (r1–r30) or the incident (i1–i66) of docs/threats.md
	make   func(f *forge) *crafted
	status int    // of an import; 0 means that the archive is taken
	says   string // a part of what an import, inspect and verify say; of an archive that is taken, inspect
	verify string // what verify says instead
	late   bool   // only a layer's content is bad: an import finds out when it sends it, inspect does not
}

// forge is where hostile archives are made.
type forge struct {
	t    *testing.T
	good []byte // an archive of the sample
	host string // of all references in it: a canary listens there
}

func (f *forge) sample() *crafted  { return unpack(f.t, f.good) }
func (f *forge) content() *content { return newContent(f.t, f.host) }

// hostileGroups is the catalogue.
var hostileGroups = map[string][]hostile{
	"members":   hostileMembers,
	"headers":   hostileHeaders,
	"seal":      hostileSeals,
	"cut":       hostileCuts,
	"index":     hostileIndexes,
	"inventory": hostileInventories,
	"pins":      hostilePins,
	"manifests": hostileManifests,
	"graph":     hostileGraphs,
	"locks":     hostileLocks,
	"packages":  hostilePackages,
	"bundles":   hostileBundles,
	"layers":    hostileLayers,
	"text":      hostileStrings,
}

// hostileBound is how long one command may take with a hostile archive.
const hostileBound = 90 * time.Second

// TestHostileArchives runs the catalogue. An archive that verify takes is imported to the same digests; one
// that it refuses is refused before anything is written, or, when a layer's content is bad, before anything
// refers to the layer. Nobody asks for what an archive names.
func TestHostileArchives(t *testing.T) {
	skipShort(t)
	good, host := hostileSample(t)
	trap := startCanary(t, host)
	t.Cleanup(func() { trap.assertSilent(t) })
	for group, cases := range hostileGroups {
		for _, h := range cases {
			t.Run(group+"/"+h.name, func(t *testing.T) {
				t.Parallel()
				require.NotEmpty(t, h.why)
				path := filepath.Join(t.TempDir(), "archive.tar")
				require.NoError(t, os.WriteFile(path, h.make(&forge{t, good, host}).bytes(t), 0o600))
				h.run(t, path)
			})
		}
	}
}

// hostileSample exports the sample from a registry that is gone afterwards.
func hostileSample(t *testing.T) (archive []byte, host string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host = strings.TrimPrefix(server.URL, "http://")
	root, err := sample.Push(t.Context(), host, sample.Tiny)
	require.NoError(t, err)
	archive, err = os.ReadFile(export(t, root.Name()))
	require.NoError(t, err)
	return archive, host
}

// run shows the archive at path to verify, inspect and an import.
func (h hostile) run(t *testing.T, path string) {
	dst := startNoting(t)
	repo := dst.host + "/private/repository"
	verified := relocateBounded(t, "verify", path)
	inspected := relocateBounded(t, "inspect", path)
	inspectedTree := relocateBounded(t, "inspect", path, "--tree")
	imported := relocateBounded(t, "--from-tar", path, "--to-repo", repo)
	if h.status == 0 {
		for name, r := range map[string]result{"verify": verified, "inspect": inspected, "inspect --tree": inspectedTree, "import": imported} {
			assert.Zero(t, r.status, "%s: %s%s", name, r.stdout, r.stderr)
		}
		assertAll(t, inspected.stdout+inspectedTree.stdout+verified.stdout, h.says)
		assert.Regexp(t, "^(OK|NOT CLOSED): ", verified.stdout)
		want := 0
		if strings.Contains(verified.stdout, "not closed") { // by which the archive is taken, and its repository is not
			want = statusMissing
		}
		there := relocateBounded(t, "verify", "--repo", repo, path, "--level", "deep")
		assert.Equal(t, want, there.status, there.stdout+there.stderr)
		return
	}
	assert.Equal(t, statusDamage, verified.status, verified.stdout+verified.stderr)
	assert.False(t, strings.HasPrefix(verified.stdout, "OK"), verified.stdout)
	assertAll(t, verified.stdout+verified.stderr, cmp.Or(h.verify, h.says))
	assert.Equal(t, h.status, imported.status, imported.stderr)
	assertAll(t, imported.stderr, h.says)
	assert.Empty(t, imported.stdout, "nothing to apply")
	if h.late {
		assert.Zero(t, inspected.status, inspected.stderr)
		assertNotReferred(t, path, dst)
		return
	}
	if inspected.status == 0 {
		assertAll(t, inspected.stdout, "contents not verified")
		assertAfterHead(t, path)
	} else {
		assert.Equal(t, h.status, inspected.status, inspected.stderr)
		if !strings.Contains(inspected.stderr, notSeal) { // which it says of what comes after the head
			assertAll(t, inspected.stderr, h.says)
		}
	}
	noWrites(t, dst.requests())
}

// assertAfterHead holds that all that is wrong with the archive comes after its small section, which is all
// that inspect reads.
func assertAfterHead(t *testing.T, path string) {
	t.Helper()
	a, err := tarball.Open(path)
	require.NoError(t, err)
	defer a.Close()
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	last, err := a.Content(plan.Blobs[plan.Small-1].Descriptor.Digest)
	require.NoError(t, err)
	_, at, n := last.Outer()
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	require.NotEmpty(t, damage)
	for _, d := range damage {
		assert.GreaterOrEqual(t, d.Offset, at+n, d.String())
	}
}

// assertNotReferred holds that no layer of the archive that is bad was stored, and nothing that needs one.
func assertNotReferred(t *testing.T, path string, dst *noting) {
	t.Helper()
	a, err := tarball.Open(path)
	require.NoError(t, err)
	defer a.Close()
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	damage, err := a.Check(t.Context(), 1, nil)
	require.NoError(t, err)
	bad := map[v1.Hash]bool{}
	for _, d := range damage {
		bad[d.Digest] = true
		assert.False(t, has(t, dst.host, "/v2/private/repository/blobs/"+d.Digest.String()), "blob %s", d.Digest)
	}
	require.NotEmpty(t, bad)
	for _, n := range slices.Backward(plan.Graph.Nodes) { // what is needed comes after what needs it, mostly
		for _, d := range n.Blobs {
			bad[n.Descriptor.Digest] = bad[n.Descriptor.Digest] || bad[d.Digest]
		}
		for _, d := range n.Children {
			bad[n.Descriptor.Digest] = bad[n.Descriptor.Digest] || bad[d]
		}
		if bad[n.Descriptor.Digest] {
			assert.False(t, has(t, dst.host, "/v2/private/repository/manifests/"+n.Descriptor.Digest.String()), n.Name())
		}
	}
	for _, root := range plan.Graph.Roots {
		assert.True(t, bad[root.Digest])
		assert.False(t, has(t, dst.host, "/v2/private/repository/manifests/"+root.Tag()), "the root's tag")
	}
}

// relocateBounded runs the program, whose output a terminal only shows.
func relocateBounded(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hostileBound)
	defer cancel()
	start := time.Now()
	r := relocateContext(ctx, args...)
	assert.Less(t, time.Since(start), hostileBound, "%v", args)
	assertShown(t, r.stdout)
	assertShown(t, r.stderr)
	return r
}

// assertShown fails when a terminal would do more than show s.
func assertShown(t *testing.T, s string) {
	t.Helper()
	assert.True(t, utf8.ValidString(s), "%q", s)
	at := strings.IndexFunc(s, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029')
	})
	if at >= 0 {
		assert.Fail(t, "a control character in the output", "%q", s[max(0, at-100):min(len(s), at+100)])
	}
}

// noting is a registry in this process that remembers what it was asked.
type noting struct {
	host string
	mu   sync.Mutex
	list []string
}

func startNoting(t *testing.T) *noting {
	t.Helper()
	n := &noting{}
	n.host = startMemory(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.mu.Lock()
			n.list = append(n.list, "? "+r.Method+" "+r.URL.RequestURI())
			n.mu.Unlock()
			next.ServeHTTP(w, r)
		})
	})
	return n
}

func (n *noting) requests() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}
