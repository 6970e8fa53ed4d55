package serve_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/registry/serve"
	"relocate/testdata/interop"
)

// memory is an Archive in memory.
type memory map[v1.Hash][]byte

func (m memory) Content(d v1.Hash) (bundle.Content, error) {
	b, ok := m[d]
	if !ok {
		return bundle.Content{}, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
	}
	return bundle.ContentOf(bytes.NewReader(b), 0, int64(len(b))), nil
}

// fixture is a repository at its origin, and the archive that holds it.
type fixture struct {
	t        testing.TB
	registry interop.Registry
	repo     *interop.Repo
	roots    []name.Reference
	attached []bundle.Attachment
	archive  memory
}

func newFixture(t testing.TB, repo string) *fixture {
	f := &fixture{t: t, archive: memory{}}
	f.repo = f.registry.Repo("origin.test/" + repo)
	return f
}

// tag names a manifest as root by a tag.
func (f *fixture) tag(tag string, d name.Digest) {
	f.repo.Tags[tag] = interop.Hash(d)
	f.roots = append(f.roots, f.repo2().Tag(tag))
}

func (f *fixture) repo2() name.Repository {
	repo, err := name.NewRepository(f.repo.Name)
	require.NoError(f.t, err)
	return repo
}

// image keeps an image with a config and layers of its own.
func (f *fixture) image(id string, layers int) name.Digest {
	var list []v1.Descriptor
	for i := range layers {
		list = append(list, f.repo.PutBlob(fmt.Appendf(nil, "layer %d of %s", i, id)))
	}
	return f.repo.PutPlain(fmt.Sprintf(`{"of":%q}`, id), list...)
}

// refer keeps an artifact that refers to a manifest.
func (f *fixture) refer(subject name.Digest, artifactType, note string) name.Digest {
	config := f.repo.PutBlob([]byte("config of " + note))
	config.MediaType = types.MediaType(artifactType)
	layer := f.repo.PutBlob([]byte("layer of " + note))
	layer.MediaType = "text/plain"
	of := f.repo.Describe(subject)
	d := f.repo.PutJSON(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer}, Subject: &of,
		Annotations: map[string]string{"note": note},
	})
	f.attached = append(f.attached, bundle.Attachment{Subject: interop.Hash(subject), Digest: interop.Hash(d)})
	return d
}

// plan walks the content into an archive.
func (f *fixture) plan() *bundle.Plan {
	f.t.Helper()
	for _, m := range f.repo.Manifests {
		d := f.repo.PutManifest(m.MediaType, m.Raw)
		f.archive[d] = m.Raw
	}
	for d, b := range f.repo.Blobs {
		f.archive[d] = b
	}
	var pins []bundle.Pin
	for tag, d := range f.repo.Tags {
		pins = append(pins, bundle.Pin{Reference: f.repo.Name + ":" + tag, Digest: d})
	}
	graph, err := bundle.Walk(context.Background(), f.repo, f.roots, bundle.WalkOptions{Closed: true, Pins: pins, Attachments: f.attached})
	require.NoError(f.t, err)
	plan, err := bundle.NewPlan(graph, bundle.PlanOptions{NonDistributable: true})
	require.NoError(f.t, err)
	return plan
}

// store serves the fixture under the path of its origin.
func (f *fixture) store() *serve.Archives {
	f.t.Helper()
	s := serve.NewArchives()
	require.NoError(f.t, s.Add(f.archive, f.plan(), nil, true))
	return s
}

// start serves a handler until the test ends.
func start(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// answer is a response and its body.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// send sends a request without cleaning its path.
func send(t testing.TB, method, base, path string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, base+"/", nil)
	require.NoError(t, err)
	req.URL.Opaque = path
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err, "%s %s", method, path)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body), err}
}
