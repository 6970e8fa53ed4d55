package registry

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"relocate/testdata/hostileregistry"
)

// TestSlotsInOrder copies blobs within one registry and between two, with a limit of 1, while both
// report overload, also after all of a blob was read. No request may wait for a slot whose holder
// waits, too.
func TestSlotsInOrder(t *testing.T) {
	t.Parallel()
	for name, largest := range map[string]int64{"in one request": 1 << 30, "in pieces": 256 << 10} {
		for _, sameHost := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, same host %v", name, sameHost), func(t *testing.T) {
				t.Parallel()
				src := hostileregistry.Start(t)
				dst := src
				if !sameHost {
					dst = hostileregistry.Start(t)
				}
				c, _ := client(t, Options{Jobs: 1})
				from, to := c.Writer(parseRepo(t, src.Addr+"/from")), c.Writer(parseRepo(t, dst.Addr+"/to"))
				var blobs [][]byte
				for i := range 6 {
					raw := append([]byte{byte(i)}, blobRaw...)
					blobs = append(blobs, raw)
					require.NoError(t, from.PutBlob(t.Context(), descOf(raw), bytesOf(raw)))
				}
				var mu sync.Mutex
				random := rand.New(rand.NewPCG(1, 2)) // a pattern might hit the same upload again and again
				refuse := func() int {
					mu.Lock()
					defer mu.Unlock()
					return random.IntN(20)
				}
				busy := func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
					if r.ContentLength > largest {
						_, _ = io.Copy(io.Discard, r.Body)
						w.WriteHeader(http.StatusRequestEntityTooLarge)
						return
					}
					if n := refuse(); n < 2 {
						_, _ = io.Copy(io.Discard, r.Body)
						w.WriteHeader([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[n])
						return
					}
					next(w, r)
				}
				src.Behave(busy)
				dst.Behave(busy)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it ends in less than a second, or never
				defer cancel()
				g, ctx := errgroup.WithContext(ctx)
				for _, raw := range blobs {
					g.Go(func() error {
						return to.PutBlob(ctx, descOf(raw), func(ctx context.Context) (io.ReadCloser, error) {
							return from.Blob(ctx, from.name, descOf(raw))
						})
					})
				}
				require.NoError(t, g.Wait())
				for _, raw := range blobs {
					assert.True(t, dst.HasBlob("to", descOf(raw).Digest.String()))
				}
			})
		}
	}
}

// TestRestart: a registry that answered before is away for a minute. All requests wait for it
// together.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]hostileregistry.Manner{
		"no connection": hostileregistry.Reset,
		"502":           hostileregistry.Answer(502, ""),
		"503":           hostileregistry.Answer(503, ""),
	} {
		for _, long := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, for ever %v", name, long), func(t *testing.T) {
				t.Parallel()
				s := hostileregistry.Start(t)
				c, waited := client(t, Options{Jobs: 4})
				repo := c.Writer(parseRepo(t, s.Addr+"/repo"))
				require.NoError(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
				start := waited.now()
				var asked atomic.Int32
				s.Behave(func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
					asked.Add(1)
					if long || waited.now().Sub(start) < time.Minute {
						away(w, r, n, next)
						return
					}
					next(w, r)
				})
				var mu sync.Mutex
				var failed []error
				var g errgroup.Group
				for i := range 4 {
					g.Go(func() error {
						raw := append([]byte{byte(i)}, blobRaw...)
						if err := repo.PutBlob(t.Context(), descOf(raw), bytesOf(raw)); err != nil {
							mu.Lock()
							defer mu.Unlock()
							failed = append(failed, err)
						}
						return nil
					})
				}
				require.NoError(t, g.Wait())
				if !long {
					assert.Empty(t, failed)
					return
				}
				require.Len(t, failed, 4)
				assert.ErrorContains(t, failed[0], "no successful answer for 2m")
				assert.Less(t, asked.Load(), int32(150))

				before := asked.Load() // who comes later does not wait again
				assert.Error(t, repo.PutBlob(t.Context(), blobDesc, bytesOf(blobRaw)))
				assert.LessOrEqual(t, asked.Load()-before, int32(2))
			})
		}
	}
}

// TestHostNeverAnswered: a host that never answered is given up after the usual tries.
func TestHostNeverAnswered(t *testing.T) {
	t.Parallel()
	s := hostileregistry.Start(t)
	s.Behave(hostileregistry.Reset)
	c, waited := client(t, Options{})
	_, err := c.Reader(parseRepo(t, s.Addr+"/repo")).Resolve(t.Context(), "a")
	assert.Error(t, err)
	var sum time.Duration
	for _, wait := range waited.all() {
		sum += wait
	}
	assert.Less(t, sum, 20*time.Second)
}

// TestOneWave: refusals of requests under way together count as one try, and a Retry-After is for
// all requests.
func TestOneWave(t *testing.T) {
	t.Parallel()
	const workers = 16
	s := hostileregistry.Start(t)
	c, waited := client(t, Options{Jobs: workers})
	repo := c.Reader(parseRepo(t, s.Addr+"/repo"))
	_, err := repo.Resolve(t.Context(), "a")
	require.Error(t, err)
	var together sync.WaitGroup
	together.Add(workers)
	s.Behave(func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if n == 1 {
			together.Done()
			together.Wait()
			hostileregistry.Answer(429, "", "Retry-After: 30")(w, r, n, next)
			return
		}
		next(w, r)
	})
	var g errgroup.Group
	for i := range workers {
		g.Go(func() error {
			_, err := repo.HasBlob(t.Context(), v1.Descriptor{Digest: descOf([]byte{byte(i)}).Digest, Size: 1})
			return err
		})
	}
	require.NoError(t, g.Wait())
	for _, wait := range waited.all() {
		assert.LessOrEqual(t, wait, 31*time.Second)
	}
	assert.Len(t, s.Requests(), 2*workers)
}
