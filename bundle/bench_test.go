package bundle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/testdata/interop"
)

// BenchmarkWalk walks repositories of a size and of twice that size, and reports how much longer the
// second takes: "2n/n" is 2 where every step is linear.
func BenchmarkWalk(b *testing.B) {
	if testing.Short() {
		b.Skip("takes a minute")
	}
	for _, c := range []struct {
		name string
		n    int
		make func(repo *interop.Repo, n int) []name.Reference // returns the roots
	}{
		{"locks", 9_000, func(repo *interop.Repo, n int) []name.Reference {
			return refs(bundleOf(repo, plain(repo, n)...))
		}},
		{"packages", 7_500, func(repo *interop.Repo, n int) []name.Reference {
			images := plain(repo, n)
			files := map[string]string{".imgpkg/images.yml": lock(images...)}
			for i, ref := range images {
				files[fmt.Sprintf("packages/%d.yml", i)] = packageYAML(fmt.Sprintf("p%d.test", i/3), fmt.Sprint(i%3), "{imgpkgBundle: {image: "+ref.Name()+"}}")
			}
			return refs(repo.PutBundle(files))
		}},
		{"locks without ids", 3_000, func(repo *interop.Repo, n int) []name.Reference {
			var text strings.Builder
			text.WriteString(lockHead + "images:\n")
			for _, ref := range plain(repo, n) {
				text.WriteString("- image: " + ref.Name() + "\n")
			}
			return refs(repo.PutBundle(map[string]string{".imgpkg/images.yml": text.String(), "packages/a.yml": "a: 1\n"}))
		}},
		{"locks of one digest", 2_000, func(repo *interop.Repo, n int) []name.Reference {
			one := repo.PutPlain(`{}`)
			locked := []name.Digest{one}
			for i := range n {
				other, err := name.NewDigest(fmt.Sprintf("reg%d.test/a@%s", i, one.DigestStr()))
				require.NoError(b, err)
				locked = append(locked, other)
			}
			return refs(bundleOf(repo, locked...))
		}},
		{"roots", 2_000, func(repo *interop.Repo, n int) []name.Reference {
			var roots []name.Reference
			one := bundleOf(repo, repo.PutPlain(`{}`))
			for i := range n {
				tag := fmt.Sprint("t", i)
				repo.Tags[tag] = interop.Hash(one)
				ref, err := name.NewTag(repo.Name + ":" + tag)
				require.NoError(b, err)
				roots = append(roots, ref)
			}
			return roots
		}},
	} {
		b.Run(fmt.Sprintf("%s/%d", c.name, c.n), func(b *testing.B) {
			for b.Loop() {
				var took [2]time.Duration
				for i, n := range []int{c.n, 2 * c.n} {
					var src interop.Registry
					roots := c.make(src.Repo("reg.test/repo"), n)
					start := time.Now()
					g, err := bundle.Walk(b.Context(), &src, roots, bundle.WalkOptions{Jobs: 2})
					require.NoError(b, err)
					_, err = bundle.NewPlan(g, bundle.PlanOptions{})
					require.NoError(b, err)
					took[i] = time.Since(start)
				}
				b.ReportMetric(took[0].Seconds(), "n-s")
				b.ReportMetric(took[1].Seconds(), "2n-s")
				b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "2n/n")
			}
		})
	}
}

// plain puts n images.
func plain(repo *interop.Repo, n int) []name.Digest {
	var list []name.Digest
	for i := range n {
		list = append(list, repo.PutPlain(fmt.Sprintf(`{"n":%d}`, i)))
	}
	return list
}
