package relocate_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/internal/child"
	"relocate/render"
	"relocate/tarball"
	"relocate/testdata/generated"
)

// benchmarked has 61 bundles, 100 images and 560 blobs of 40 MB, on a registry in this process.
var benchmarked = generated.Shape{
	Packages: 20, Versions: 3, Images: []int{1, 2}, Indexes: 9, Layers: 4, Shared: 1, Bases: 8, Min: 1 << 10, Max: 1 << 20,
}

// benchmarking is what the benchmarks of the verbs work on.
type benchmarking struct {
	registry *httptest.Server
	pushed   *generated.Repository
	from     relocate.Source
}

func newBenchmarking(b *testing.B) *benchmarking {
	b.Helper()
	b.ReportAllocs()
	c := &benchmarking{registry: startRegistry()}
	b.Cleanup(c.registry.Close)
	var err error
	c.pushed, err = generated.Push(b.Context(), hostOf(c.registry), benchmarked)
	require.NoError(b, err)
	c.from = relocate.Source{Bundles: []name.Reference{c.pushed.Root}}
	return c
}

// export writes the archive, and opens it.
func (c *benchmarking) export(b *testing.B) *tarball.Archive {
	b.Helper()
	file := filepath.Join(b.TempDir(), "a.tar")
	_, err := relocate.Export(b.Context(), c.from, relocate.Target{Path: file}, relocate.Options{})
	require.NoError(b, err)
	archive, err := tarball.Open(file)
	require.NoError(b, err)
	b.Cleanup(func() { _ = archive.Close() })
	return archive
}

// BenchmarkPlan walks and scans a repository; rendering is apart.
func BenchmarkPlan(b *testing.B) {
	c := newBenchmarking(b)
	for b.Loop() {
		_, err := relocate.Plan(b.Context(), c.from, relocate.Target{}, relocate.Options{})
		require.NoError(b, err)
	}
}

// BenchmarkPlanRendered also renders the repository and its packages.
func BenchmarkPlanRendered(b *testing.B) {
	c := newBenchmarking(b)
	program, err := os.Executable() // with ytt.Hook in TestMain
	require.NoError(b, err)
	for b.Loop() {
		renderer := &render.Renderer{Program: child.Program{Path: program}} // of its own: it keeps what it rendered
		opt := relocate.Options{Renderer: renderer, RenderPackages: true}
		_, err := relocate.Plan(b.Context(), c.from, relocate.Target{}, opt)
		require.NoError(b, err)
	}
}

func BenchmarkExport(b *testing.B) {
	c := newBenchmarking(b)
	b.SetBytes(c.pushed.Bytes)
	for b.Loop() {
		target := relocate.Target{Path: filepath.Join(b.TempDir(), "a.tar")}
		_, err := relocate.Export(b.Context(), c.from, target, relocate.Options{})
		require.NoError(b, err)
	}
}

// BenchmarkVerify hashes an archive, walks it and scans it.
func BenchmarkVerify(b *testing.B) {
	c := newBenchmarking(b)
	archive := c.export(b)
	b.SetBytes(c.pushed.Bytes)
	for b.Loop() {
		_, err := relocate.Verify(b.Context(), archive, relocate.Destination{}, relocate.VerifyOptions{})
		require.NoError(b, err)
	}
}

func BenchmarkRehearse(b *testing.B) {
	c := newBenchmarking(b)
	archive := c.export(b)
	as := relocate.Destination{Repository: repository("registry.bench.test/private/repository")}
	b.SetBytes(c.pushed.Bytes)
	for b.Loop() {
		_, err := relocate.Rehearse(b.Context(), archive, as, relocate.VerifyOptions{})
		require.NoError(b, err)
	}
}

func BenchmarkImport(b *testing.B) {
	c := newBenchmarking(b)
	archive := c.export(b)
	b.SetBytes(c.pushed.Bytes)
	for b.Loop() {
		b.StopTimer()
		private := startRegistry()
		b.StartTimer()
		to := relocate.Destination{Repository: repository(hostOf(private) + "/private/repository")}
		_, err := relocate.Import(b.Context(), archive, to, relocate.Options{})
		require.NoError(b, err)
		private.Close()
	}
}

// BenchmarkImportAgain imports what the registry has.
func BenchmarkImportAgain(b *testing.B) {
	c := newBenchmarking(b)
	archive := c.export(b)
	private := startRegistry()
	b.Cleanup(private.Close)
	to := relocate.Destination{Repository: repository(hostOf(private) + "/private/repository")}
	_, err := relocate.Import(b.Context(), archive, to, relocate.Options{})
	require.NoError(b, err)
	for b.Loop() {
		_, err := relocate.Import(b.Context(), archive, to, relocate.Options{})
		require.NoError(b, err)
	}
}
