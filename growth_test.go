package relocate_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
	"relocate/tarball"
	"relocate/testdata/generated"
)

// work is what a verb needs: allocations of this process, which also answers as the registries, and
// requests. Both hardly depend on the machine.
type work struct{ allocations, requests uint64 }

// TestGrowth compares what each verb does for n, 2n and 4n things of a kind. Work that grows as they do
// adds twice as much from 2n to 4n as from n to 2n; work that grows with their square, four times as
// much.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	scale := 1
	if os.Getenv("RELOCATE_TEST_SOAK") == "1" {
		scale = 10
	}
	for kind, shape := range map[string]func(n int) generated.Shape{
		"packages": func(n int) generated.Shape {
			return generated.Shape{Packages: 12 * n, Versions: 1, Images: []int{1}, Layers: 2, Shared: 1, Bases: 1, Min: 64, Max: 64}
		},
		"versions": func(n int) generated.Shape {
			return generated.Shape{Packages: 1, Versions: 12 * n, Images: []int{1}, Layers: 2, Shared: 1, Bases: 1, Min: 64, Max: 64}
		},
		"images": func(n int) generated.Shape {
			return generated.Shape{Packages: 1, Versions: 1, Images: []int{25 * n}, Indexes: 5, Layers: 2, Shared: 1, Bases: 1, Min: 64, Max: 64}
		},
		"layers": func(n int) generated.Shape {
			return generated.Shape{Packages: 1, Versions: 1, Images: []int{1}, Layers: 50 * n, Min: 64, Max: 64}
		},
		"nested bundles": func(n int) generated.Shape { // at most 28: there is a limit on their depth
			return generated.Shape{Packages: 4 * scale, Versions: 1, Nested: 7 * n / scale, Images: []int{1}, Layers: 1, Min: 64, Max: 64}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			var grown [3]map[string]work
			for i := range grown {
				grown[i] = verbs(t, shape(scale<<i))
			}
			for verb, w := range grown[2] {
				few, some := grown[0][verb], grown[1][verb]
				check := func(what string, a, b, c uint64) {
					t.Logf("%s: %d, %d, %d %s", verb, a, b, c, what)
					assert.LessOrEqual(t, float64(c)-float64(b), 2.8*(float64(b)-float64(a))+2000, "%s: %s", verb, what)
				}
				check("allocations", few.allocations, some.allocations, w.allocations)
				check("requests", few.requests, some.requests, w.requests)
			}
		})
	}
}

// verbs returns the work of each verb for a repository of a shape.
func verbs(t *testing.T, shape generated.Shape) map[string]work {
	requests := &atomic.Uint64{}
	start := func() *httptest.Server {
		answer := inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0)))
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			answer.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s
	}
	source, private := start(), start()
	pushed, err := generated.Push(t.Context(), hostOf(source), shape)
	require.NoError(t, err)
	from := relocate.Source{Bundles: []name.Reference{pushed.Root}}
	to := relocate.Destination{Repository: repository(hostOf(private) + "/private/repository")}
	file := filepath.Join(t.TempDir(), "a.tar")
	done := map[string]work{}
	measure := func(verb string, f func() error) {
		var before, after runtime.MemStats
		asked, began := requests.Load(), time.Now()
		runtime.ReadMemStats(&before)
		require.NoError(t, f(), verb)
		runtime.ReadMemStats(&after)
		done[verb] = work{after.Mallocs - before.Mallocs, requests.Load() - asked}
		t.Log(fmt.Sprintf("%+v", shape), verb, time.Since(began).Round(time.Millisecond))
	}
	measure("plan", func() error {
		_, err := relocate.Plan(t.Context(), from, relocate.Target{}, relocate.Options{})
		return err
	})
	measure("export", func() error {
		_, err := relocate.Export(t.Context(), from, relocate.Target{Path: file}, relocate.Options{})
		return err
	})
	archive, err := tarball.Open(file)
	require.NoError(t, err)
	defer archive.Close()
	measure("verify", func() error {
		_, err := relocate.Verify(t.Context(), archive, relocate.Destination{}, relocate.VerifyOptions{})
		return err
	})
	measure("rehearse", func() error {
		_, err := relocate.Rehearse(t.Context(), archive, to, relocate.VerifyOptions{})
		return err
	})
	for _, verb := range []string{"import", "second import"} {
		measure(verb, func() error {
			_, err := relocate.Import(t.Context(), archive, to, relocate.Options{})
			return err
		})
	}
	measure("verify the repository", func() error {
		_, err := relocate.Verify(t.Context(), archive, to, relocate.VerifyOptions{})
		return err
	})
	return done
}
