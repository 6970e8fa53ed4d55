package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/tarball"
)

// circles are package repositories whose Packages lead back to them by tags that no lock covers, and the
// references of the roots. The tags of the bundles in a circle are pushed after what names them.
var circles = map[string]func(s site) (roots []string){
	"itself": func(s site) []string {
		s.bundle("c/self", "1", map[string]string{"packages/p.yml": packageText("p.x.org", "1.0.0", s.host+"/c/self:1")})
		return []string{s.host + "/c/self:1"}
	},
	"each other, below a repository that locks one": func(s site) []string {
		for i, other := range []string{"b", "a"} {
			s.bundle("c/"+string("ab"[i]), "1", map[string]string{
				"packages/p.yml": packageText(fmt.Sprintf("p%d.x.org", i), "1.0.0", s.host+"/c/"+other+":1"),
			})
		}
		image := s.ref("c/app", s.image("c/app", "1", "app"))
		locked := s.ref("c/b", s.bundle("c/b", "1", map[string]string{
			"packages/p.yml": packageText("p1.x.org", "1.0.0", s.host+"/c/a:1"),
		}, image))
		s.bundle("c/top", "1", map[string]string{"packages/p.yml": packageText("top.x.org", "1.0.0", locked)}, locked)
		return []string{s.host + "/c/top:1"}
	},
	"five in a circle, three roots": func(s site) []string {
		const n = 5
		for i := range n {
			s.bundle(fmt.Sprint("c/", i), fmt.Sprint("t", i), map[string]string{
				"packages/p.yml": packageText(fmt.Sprintf("p%d.x.org", i), "1.0.0", fmt.Sprintf("%s/c/%d:t%d", s.host, (i+1)%n, (i+1)%n)),
			})
		}
		return []string{s.host + "/c/0:t0", s.host + "/c/2:t2", s.host + "/c/4:t4"}
	},
	"through a lock": func(s site) []string {
		inner := s.ref("c/inner", s.bundle("c/inner", "1", map[string]string{
			"packages/p.yml": packageText("inner.x.org", "1.0.0", s.host+"/c/outer:1"),
		}))
		s.bundle("c/outer", "1", map[string]string{"packages/p.yml": packageText("outer.x.org", "1.0.0", inner)}, inner)
		return []string{s.host + "/c/outer:1", inner}
	},
}

// TestCircularFetches: Packages may fetch the bundle that they are in, or each other's. All of it is
// carried, in every way, and everything that reads the result copes.
func TestCircularFetches(t *testing.T) {
	t.Parallel()
	for name, build := range circles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := startReal(t), startReal(t)
			s := site{t: t, host: src.Addr}
			var roots []string
			for _, ref := range build(s) {
				roots = append(roots, "-b", ref)
			}
			file := filepath.Join(t.TempDir(), "circle.tar")
			mustRelocate(t, append(roots, "--to-tar", file)...)
			source := dumpReal(t, src, "")
			whole := func(repo string) {
				t.Helper()
				there := dumpReal(t, dst, repo)
				for _, n := range planOf(t, file).Graph.Nodes {
					digest := n.Descriptor.Digest.String()
					assert.Equal(t, source.manifests[digest], there.manifests[digest], "%s in %s", digest, repo)
				}
				r := tryRelocate(t, "verify", "--repo", dst.Addr+"/"+repo, file, "--level", "deep")
				assert.Equal(t, statusMissing, r.status, "%s: not closed, as the fetches are by tag", r.stderr)
				assert.Contains(t, r.stdout, "is complete, but not closed")
			}
			mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/archive")
			whole("archive")
			again := mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/archive")
			assert.Contains(t, again.stderr, "(0 B), 0 manifests")
			mustRelocate(t, append(roots, "--to-repo", dst.Addr+"/copy")...)
			whole("copy")
			streamed := newProcess(t, "--from-tar", "-", "--to-repo", dst.Addr+"/stream")
			content, err := os.Open(file)
			require.NoError(t, err)
			defer content.Close()
			streamed.cmd.Stdin = content
			r := streamed.run(t)
			require.Zero(t, r.status, r.stderr)
			whole("stream")

			mustRelocate(t, "verify", file)
			mustRelocate(t, append([]string{"plan"}, roots...)...)
			mustRelocate(t, "inspect", file, "--tree")
			assert.Equal(t, statusMissing, tryRelocate(t, "rehearse", file, "--report", filepath.Join(t.TempDir(), "r.html")).status)
		})
	}
}

// planOf reads the plan of an archive.
func planOf(t *testing.T, file string) *bundle.Plan {
	t.Helper()
	a, err := tarball.Open(file)
	require.NoError(t, err)
	defer a.Close()
	plan, err := a.Plan(t.Context(), 4, nil)
	require.NoError(t, err)
	return plan
}
