package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "relocate/testdata/hostileregistry"
)

// TestAttachmentsRefusedThere: whatever a registry has against attachments, everything else is imported; each
// attachment that is left out is named, and a verification accepts just these.
func TestAttachmentsRefusedThere(t *testing.T) {
	t.Parallel()
	s := newSignedSite(t, startReferrers(t))
	file := export(t, s.root)
	list := "/manifests/sha256-" + s.subjects[0].Digest.Hex + "$"
	for name, c := range map[string]struct {
		host   func(*testing.T) string
		method string
		part   string // of the path, which ends with $
		status int
		exit   int // of an import
	}{
		"the types of a signature":        {startReferrers, http.MethodPut, ".sig", http.StatusUnsupportedMediaType, 0},
		"tags that cannot move":           {startReferrers, http.MethodPut, ".att", http.StatusPreconditionFailed, 0},
		"a referrers API that fails":      {startReferrers, http.MethodGet, "/referrers/", http.StatusInternalServerError, 0},
		"lists of referrers":              {attachmentRegistries["distribution"], http.MethodPut, list, http.StatusForbidden, 0},
		"a login (which is all refused)":  {startReferrers, http.MethodPut, ".sig", http.StatusUnauthorized, statusPermission},
		"a registry that is out of order": {startReferrers, http.MethodPut, ".sig", http.StatusBadGateway, statusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			door := newMeter(t, c.host(t))
			var behaves atomic.Bool
			door.behave(func(w http.ResponseWriter, r *http.Request) bool {
				refuse := !behaves.Load() && r.Method == c.method && strings.Contains(r.URL.Path+"$", c.part)
				if refuse {
					w.WriteHeader(c.status)
				}
				return refuse
			}, nil)
			repo, reportFile := door.host+"/airgap/signed", filepath.Join(t.TempDir(), "report.json")
			args := []string{"--from-tar", file, "--to-repo", repo, "--registry-retry-count", "1"}
			r := tryRelocate(t, append(args, "--report", reportFile)...)
			require.Equal(t, c.exit, r.status, r.stderr)
			if c.exit != 0 {
				return
			}
			result := readReport(t, reportFile).Result
			require.NotZero(t, result.AttachmentsLeftOut)
			require.Len(t, result.LeftOut, result.AttachmentsLeftOut)
			assert.Equal(t, s.attached, result.Attached+result.AttachedPresent+result.AttachmentsLeftOut)
			assertAll(t, r.stderr, "left out: ", "warning: ")

			verify := []string{"verify", "--repo", repo, file, "--registry-retry-count", "1"}
			assert.NotZero(t, tryRelocate(t, verify...).status)
			accepted := mustRelocate(t, append(verify, "--accept", reportFile)...)
			assertAll(t, accepted.stdout, "OK: ", "left out at the import")
			if kept := "sha256-" + s.bundles[0].Digest.Hex + ".sig"; c.part != ".sig" { // which was not left out
				site{t: t, host: door.host}.send(http.MethodDelete, "http://"+door.host+"/v2/airgap/signed/manifests/"+kept, "", nil, http.StatusAccepted)
				assert.Equal(t, statusMissing, tryRelocate(t, append(verify, "--accept", reportFile)...).status)
			}

			required := tryRelocate(t, append(args, "--attachments", "require")...)
			assert.NotZero(t, required.status, required.stderr)
			behaves.Store(true)
			mustRelocate(t, args...)
			mustRelocate(t, verify...)
		})
	}
}

// TestAttachmentsNotImported: an import without attachments writes none, and a verification accepts that.
func TestAttachmentsNotImported(t *testing.T) {
	t.Parallel()
	s := newSignedSite(t, startReferrers(t))
	file := export(t, s.root)
	for _, from := range []string{file, stream} {
		host, reportFile := startReferrers(t), filepath.Join(t.TempDir(), "report.json")
		args := []string{"--to-repo", host + "/x", "--attachments", "none", "--report", reportFile}
		run := func(more ...string) (r result) {
			if args := append(args, more...); from == stream {
				archive, err := os.ReadFile(file)
				require.NoError(t, err)
				r, _ = importBytes(t, bytes.NewReader(archive), args...)
			} else {
				r = tryRelocate(t, append(args, "--from-tar", from)...)
			}
			require.Zero(t, r.status, r.stderr)
			return r
		}
		assertEvents(t, run("--progress", "json").stderr, "import") // the progress reaches its end
		assertEvents(t, run("--progress", "json").stderr, "import")
		r := run()
		assert.Contains(t, r.stderr, fmt.Sprintf("left out: %d attachments (--attachments none)", s.attached))
		_, tags, _ := ask(t, http.MethodGet, host, "/v2/x/tags/list")
		assert.NotContains(t, string(tags), ".sig")
		assert.Equal(t, statusMissing, tryRelocate(t, "verify", "--repo", host+"/x", file).status)
		mustRelocate(t, "verify", "--repo", host+"/x", file, "--accept", reportFile, "--level", "deep")
	}
}

// TestAttachmentsContended: somebody else puts a signature under the same tag right after each of ours. An import merges
// the two again; when that does not help it leaves ours out, as a conflict, or fails where attachments are required.
func TestAttachmentsContended(t *testing.T) {
	t.Parallel()
	src := Start(t)
	s := newSigner(site{t: t, host: src.Addr})
	image := s.image("k/app", "1", "contended")
	s.signature("k/app", image)
	file := filepath.Join(t.TempDir(), "a.tar")
	mustRelocate(t, "-i", src.Addr+"/k/app:1", "--to-tar", file)
	tag := "sha256-" + image.Digest.Hex + ".sig"
	for _, c := range []struct {
		times int
		args  []string
		exit  int
		says  []string
	}{
		{2, nil, 0, []string{"1 of the uploaded ones merged"}},
		{1000, nil, 0, []string{"warning: 1 attachment left out, 1 of them", "conflict: " + tag, "somebody else changes it at the same time"}},
		{1000, []string{"--attachments", "require"}, statusFailed, []string{tag, "somebody else changes it at the same time", "hint: wait until nobody else is signing"}},
	} {
		dst := Start(t)
		newSigner(site{t: t, host: dst.Addr}).signature("x", image)
		_, theirs, _ := ask(t, "GET", dst.Addr, "/v2/x/manifests/"+tag)
		dst.Behave(only("/"+tag, On("PUT tags", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
			next(w, r)
			if n <= c.times {
				other := httptest.NewRequest(http.MethodPut, r.URL.Path, bytes.NewReader(theirs))
				other.Header.Set("Content-Type", string(types.OCIManifestSchema1))
				next(httptest.NewRecorder(), other)
			}
		})))
		got := tryRelocate(t, append([]string{"--from-tar", file, "--to-repo", dst.Addr + "/x"}, c.args...)...)
		assert.Equal(t, c.exit, got.status, got.stderr)
		assertAll(t, got.stderr, c.says...)
		_, there, _ := ask(t, "GET", dst.Addr, "/v2/x/manifests/"+tag)
		assert.Equal(t, c.times == 1000, string(there) == string(theirs), "what others put there is never lost")
		status, _, _ := ask(t, "GET", dst.Addr, "/v2/x/manifests/1")
		assert.Equal(t, c.exit == 0, status == 200)
	}
}
