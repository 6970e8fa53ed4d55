package leak_test

import (
	"bytes"
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

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/child"
	"relocate/internal/imgpkg"
	"relocate/registry"
	"relocate/render"
	"relocate/testdata/interop"
	"relocate/testdata/judges"
	"relocate/verify/leak"
)

// TestCorpus finds in each seeded repository what is wrong with it, at its place, and nothing else.
func TestCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/repository/*.txtar")
	require.NoError(t, err)
	require.Greater(t, len(files), 30)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			target := startTarget(t)
			c := readSeeded(t, file, target.repo.Name())
			target.fill(c)
			opt := leak.Options{Jobs: 3}
			if _, plain := c.setup["not-rendered"]; !plain {
				opt.Renderer = renderer(t)
			}
			if _, c.renders = c.setup["render"]; c.renders {
				opt.RenderPackages, opt.Values = true, c.values
			}
			if _, withHelm := c.setup["helm"]; withHelm {
				opt.Renderer.Helm = judges.Program(t, "helm")
			}
			roots := c.setup["root"]
			if roots == nil {
				roots = []string{root}
			}
			if _, fails := c.setup["no-walk"]; !fails {
				c.scan(opt, roots)
			}
			report, err := leak.Resolve(t.Context(), target, target.repo, c.hashes(roots), opt)
			require.NoError(t, err)
			assert.Equal(t, c.wanted("resolve"), c.found(report.Findings), "resolve: %s", messages(report))
			target.requireFrugal(t)
			opt.Jobs = 1
			again, err := leak.Resolve(t.Context(), target, target.repo, c.hashes(roots), opt)
			require.NoError(t, err)
			assert.Equal(t, report, again, "one thing at a time")
		})
	}
}

// renderer runs this test binary for ytt.
func renderer(t testing.TB) *render.Renderer {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	r := &render.Renderer{Program: child.Program{Path: path}}
	t.Cleanup(r.Close)
	return r
}

func (c *seeded) hashes(names []string) []v1.Hash {
	var list []v1.Hash
	for _, name := range names {
		list = append(list, interop.Hash(c.refs[name]))
	}
	return list
}

// scan walks the roots at their origin and looks at the graph.
func (c *seeded) scan(opt leak.Options, roots []string) {
	c.t.Helper()
	var refs []name.Reference
	for _, root := range roots {
		refs = append(refs, c.refs[root])
	}
	g, err := bundle.Walk(c.t.Context(), &c.sources, refs, bundle.WalkOptions{Renderer: opt.Renderer})
	require.NoError(c.t, err)
	if _, closed := c.setup["omitted"]; closed {
		plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
		require.NoError(c.t, err)
		opt.Omitted = plan.Omitted
	}
	report, err := leak.Scan(c.t.Context(), &c.sources, g, opt)
	require.NoError(c.t, err)
	assert.Equal(c.t, c.wanted("scan"), c.found(report.Findings), "scan: %s", messages(report))
	if want, has := c.want["installs"]; has {
		assert.Equal(c.t, want, installs(report.Installs))
	}
}

func messages(r *leak.Report) string {
	var lines []string
	for _, f := range r.Findings {
		lines = append(lines, f.Message)
	}
	return strings.Join(lines, "\n")
}

// target is a private repository at a registry in process.
type target struct {
	*registry.Repository
	t      testing.TB
	repo   name.Repository
	server *httptest.Server

	mu     sync.Mutex
	asked  []string        // "METHOD PATH"
	denied map[string]bool // digests that it does not show
	refuse func() int      // if not nil: the status of each answer, 0 for the right one
}

func startTarget(t testing.TB) *target {
	t.Helper()
	r := &target{t: t, denied: map[string]bool{}}
	handler := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.asked = append(r.asked, req.Method+" "+req.URL.Path)
		status := 0
		if r.refuse != nil {
			status = r.refuse()
		}
		r.mu.Unlock()
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		if req.Method != http.MethodPut && r.denied[filepath.Base(req.URL.Path)] {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(r.server.Close)
	var err error
	r.repo, err = name.NewRepository(strings.TrimPrefix(r.server.URL, "http://") + "/all")
	require.NoError(t, err)
	client, err := registry.New(registry.Options{Anonymous: true, Jobs: 4, Tries: 1})
	require.NoError(t, err)
	r.Repository = client.Reader(r.repo)
	return r
}

// Manifest refuses what would go elsewhere, if the repository let it.
func (r *target) Manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	assert.Equal(r.t, r.repo.Name(), ref.Context().Name(), "asked for elsewhere")
	return r.Repository.Manifest(ctx, ref)
}

// Blob is as Manifest.
func (r *target) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	assert.Equal(r.t, r.repo.Name(), repo.Name(), "asked for elsewhere")
	return r.Repository.Blob(ctx, repo, d)
}

func (r *target) send(method, path, mediaType string, body []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+"/v2/all/"+path, bytes.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", mediaType)
	res, err := r.server.Client().Do(req)
	require.NoError(r.t, err)
	require.NoError(r.t, res.Body.Close())
	require.Less(r.t, res.StatusCode, 300, "%s %s", method, path)
}

// fill imports all of a case as imgpkg does, and then takes away what the case's setup says.
func (r *target) fill(c *seeded) {
	r.t.Helper()
	gone := map[v1.Hash]bool{}
	for _, called := range c.setup["missing-layer"] {
		gone[c.layer(called)] = true
	}
	for called := range c.refs {
		repo := c.repo(called)
		for d, b := range repo.Blobs {
			if !gone[d] {
				r.send(http.MethodPost, "blobs/uploads/?digest="+d.String(), "", b)
			}
		}
		for _, index := range []bool{false, true} { // after their children
			for d, m := range repo.Manifests {
				if m.MediaType.IsIndex() == index {
					r.send(http.MethodPut, "manifests/"+d.String(), string(m.MediaType), m.Raw)
				}
			}
		}
		r.putLocations(c, called)
	}
	for _, called := range c.setup["missing"] {
		r.send(http.MethodDelete, "manifests/"+c.refs[called].DigestStr(), "", nil)
	}
	for _, called := range c.setup["denied"] {
		r.denied[c.refs[called].DigestStr()] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = nil
}

// layer returns the digest of the image's one layer.
func (c *seeded) layer(called string) v1.Hash {
	c.t.Helper()
	n, err := bundle.ReadNode(c.t.Context(), &c.sources, c.refs[called])
	require.NoError(c.t, err)
	require.Len(c.t, n.Blobs, 2)
	return n.Blobs[1].Digest
}

// putLocations puts the locations image of a bundle whose lock can be read, unless the setup says otherwise.
func (r *target) putLocations(c *seeded, called string) {
	r.t.Helper()
	listed := func(verb string) bool {
		return slices.Contains(c.setup[verb], called) || slices.Contains(c.setup[verb], "all")
	}
	if c.files[called] == nil || listed("without-locations") {
		return
	}
	text := c.files[called]["lock"]
	lock, err := carvel.ParseImagesLock([]byte(c.expand(lockOf(text))))
	require.NoError(r.t, err)
	locations := &carvel.ImageLocations{}
	for _, e := range lock.Images {
		locations.Images = append(locations.Images, carvel.Location{Image: e.Image})
	}
	image, err := imgpkg.Locations(locations)
	require.NoError(r.t, err)
	if listed("broken-locations") {
		image, err = imgpkg.Build(map[string][]byte{"image-locations.yml": []byte("a: b\n")}, nil)
		require.NoError(r.t, err)
	}
	r.send(http.MethodPost, "blobs/uploads/?digest="+v1Hash(image.Config), "", image.Config)
	r.send(http.MethodPost, "blobs/uploads/?digest="+v1Hash(image.Layer), "", image.Layer)
	tag := imgpkg.LocationsTag(interop.Hash(c.refs[called]))
	r.send(http.MethodPut, "manifests/"+tag, string(image.Descriptor.MediaType), image.Manifest)
}

func v1Hash(b []byte) string {
	d, _, _ := v1.SHA256(bytes.NewReader(b))
	return d.String()
}

// requireFrugal checks that nothing was written, and nothing but the repository asked for; each manifest once.
func (r *target) requireFrugal(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, request := range r.asked {
		method, path, _ := strings.Cut(request, " ")
		assert.Contains(t, []string{http.MethodGet, http.MethodHead}, method)
		assert.True(t, path == "/v2/" || strings.HasPrefix(path, "/v2/all/"), request)
		if strings.Contains(path, "/manifests/sha256:") {
			assert.False(t, seen[request], "%s was asked for twice", request)
			seen[request] = true
		}
	}
}
