package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// attachmentRegistries are the registries that attachments cross between: one has the referrers API.
var attachmentRegistries = map[string]func(*testing.T) string{
	"api":          startReferrers,
	"distribution": func(t *testing.T) string { return startReal(t).Addr },
	"debian":       func(t *testing.T) string { return realRegistries["debian"](t).Addr },
}

// startReferrers starts a registry in this process that has the referrers API.
func startReferrers(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// signedSite is a package repository with a bundle of a two-platform image, everything signed.
type signedSite struct {
	*signer
	root     string          // reference
	subjects []v1.Descriptor // of the image: the index, then its children
	bundles  []v1.Descriptor
	app      string // repository of the image
	attached int
}

func newSignedSite(t *testing.T, host string) *signedSite {
	t.Helper()
	s := &signedSite{signer: newSigner(site{t: t, host: host}), app: "signed/app"}
	amd64, arm64 := s.image(s.app, "", "app", "amd64"), s.image(s.app, "", "app", "arm64")
	index := s.index(s.app, "1.0", amd64, arm64)
	s.subjects = []v1.Descriptor{index, amd64, arm64}
	for _, subject := range s.subjects {
		s.attached += s.everything(s.app, subject)
	}
	app := s.bundle("signed/bundle", "1.0", nil, s.ref(s.app, index))
	s.signature("signed/bundle", app)
	s.bundled("signed/bundle", app, "https://sigstore.dev/cosign/sign/v1")
	ref := s.ref("signed/bundle", app)
	root := s.bundle("signed/repository", "1.0", map[string]string{"packages/app.yml": packageText("app.example.com", "1.0.0", ref)}, ref)
	s.signature("signed/repository", root)
	s.attached += 3
	s.bundles = []v1.Descriptor{root, app}
	s.root = host + "/signed/repository:1.0"
	return s
}

// assertSigned verifies all signatures at another registry.
func (s *signedSite) assertSigned(t *testing.T, host, repo string) {
	t.Helper()
	for _, subject := range append(s.bundles[1:], s.subjects...) {
		assert.NoError(t, s.verifySigned(host, repo, subject.Digest))
	}
	for _, subject := range s.subjects {
		sourceList, _ := referrersOf(t, s.host, s.app, subject.Digest)
		list, hasAPI := referrersOf(t, host, repo, subject.Digest)
		assert.Equal(t, digestsOf(sourceList), digestsOf(list))
		for _, d := range list {
			if !hasAPI { // then the list is relocate's
				assert.Contains(t, []types.MediaType{sigstoreBundle, spdxText}, types.MediaType(d.ArtifactType))
				assert.Equal(t, "2026-01-01T00:00:00Z", d.Annotations["org.opencontainers.image.created"])
			}
		}
	}
}

// TestAttachmentsCross: everything that is attached arrives where it was attached, in both layouts and over
// both kinds of registries, with the source gone. A second import writes nothing.
func TestAttachmentsCross(t *testing.T) {
	t.Parallel()
	for _, route := range [][2]string{{"api", "api"}, {"api", "distribution"}, {"distribution", "debian"}, {"debian", "api"}} {
		t.Run(route[0]+" to "+route[1], func(t *testing.T) {
			t.Parallel()
			testAttachmentsCross(t, attachmentRegistries[route[0]](t), newMeter(t, attachmentRegistries[route[1]](t)))
		})
	}
}

func testAttachmentsCross(t *testing.T, src string, dst *meter) {
	s := newSignedSite(t, src)
	reportFile := filepath.Join(t.TempDir(), "report.json")
	file := export(t, s.root, "--attachments", "require", "--report", reportFile)
	exported := readReport(t, reportFile)
	assert.Len(t, exported.Attachments.Found, s.attached)
	assert.Empty(t, exported.Attachments.Absent)
	assert.Empty(t, exported.Attachments.Unseen)
	assertAll(t, mustRelocate(t, "verify", file).stdout, "OK: ")

	repo := dst.host + "/airgap/signed"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", reportFile)
	imported := readReport(t, reportFile)
	assert.Equal(t, exported.Attachments.Found, imported.Attachments.Found)
	assert.Equal(t, s.attached, imported.Result.Attached)
	assert.Zero(t, imported.Result.AttachedPresent)
	s.assertSigned(t, dst.host, "airgap/signed")
	for _, level := range []string{"manifests", "blobs", "deep"} {
		mustRelocate(t, "verify", "--repo", repo, file, "--level", level)
	}

	dst.asked("")
	again := mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--report", reportFile)
	for _, r := range dst.asked("") {
		assert.True(t, strings.HasPrefix(r, "GET ") || strings.HasPrefix(r, "HEAD "), "a second import writes: %s\n%s", r, again.stderr)
	}
	assert.Equal(t, s.attached, readReport(t, reportFile).Result.AttachedPresent)

	direct := dst.host + "/direct"
	mustRelocate(t, "-b", s.root, "--to-repo", direct, "--cosign-signatures") // as imgpkg needs it
	s.assertSigned(t, dst.host, "direct")
	mustRelocate(t, "verify", "--repo", direct, file, "--level", "deep")

	second := export(t, direct+":1.0", "--report", reportFile) // what was relocated crosses again
	assert.Len(t, readReport(t, reportFile).Attachments.Found, s.attached)
	mustRelocate(t, "--from-tar", second, "--to-repo", dst.host+"/hop")
	s.assertSigned(t, dst.host, "hop")
}

// TestAttachmentsDropped: what is missing at the destination is named.
func TestAttachmentsDropped(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"api", "distribution"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSignedSite(t, startReferrers(t))
			host := attachmentRegistries[kind](t)
			file, repo := export(t, s.root), ""
			child := s.subjects[2].Digest
			d := site{t: t, host: host}
			sbom := s.byNames(t, file, ".sbom", child)
			referrers, _ := referrersOf(t, s.host, s.app, child)
			drop := func(id string) {
				d.send(http.MethodDelete, "http://"+host+"/v2/"+repo+"/manifests/"+id, "", nil, http.StatusAccepted)
			}
			for name, c := range map[string]struct {
				drop func()
				says []string
			}{
				"nothing": {func() {}, nil},
				"the tag of a signature": {func() { drop("sha256-" + child.Hex + ".sig") },
					[]string{"missing: attachment sha256-" + child.Hex + ".sig", "does not have its tag"}},
				"a signature moved": {func() { d.image(repo, "sha256-"+child.Hex+".att", "other") },
					[]string{"different: attachment sha256-" + child.Hex + ".att", "its tag points to"}},
				"an SBOM and what hangs on it": {func() { drop(sbom) },
					[]string{"missing: attachment sha256-" + child.Hex + ".sbom (" + sbom, "does not have its manifest"}},
				"a referrer": {func() { drop(referrers[0].Digest.String()) },
					[]string{"missing: attachment " + referrers[0].Digest.String(), "does not have its manifest"}},
				"the list of referrers": {func() {
					if kind != "api" {
						d.index(repo, "sha256-"+child.Hex, referrers[1:]...)
					}
				}, map[bool][]string{false: {"missing: attachment " + referrers[0].Digest.String(), "does not list it"}}[kind == "api"]},
			} {
				repo = "signed/" + strings.ToLower(strings.ReplaceAll(name, " ", "-"))
				mustRelocate(t, "--from-tar", file, "--to-repo", host+"/"+repo)
				c.drop()
				r := tryRelocate(t, "verify", "--repo", host+"/"+repo, file)
				if c.says == nil {
					assert.Zero(t, r.status, "%s: %s%s", name, r.stdout, r.stderr)
					continue
				}
				assert.Equal(t, statusMissing, r.status, "%s: %s%s", name, r.stdout, r.stderr)
				assertAll(t, r.stdout, c.says...)
				if kind == "api" && strings.Contains(c.says[1], "its manifest") { // its tags outlive a manifest
					continue
				}
				again := mustRelocate(t, "--from-tar", file, "--to-repo", host+"/"+repo)
				if strings.HasPrefix(c.says[0], "different") { // what somebody put there stays
					assertAll(t, again.stderr, "conflict: sha256-"+child.Hex+".att")
					continue
				}
				mustRelocate(t, "verify", "--repo", host+"/"+repo, file)
			}
		})
	}
}

// byNames returns the digest that the archive has for a tag.
func (s *signedSite) byNames(t *testing.T, file, suffix string, subject v1.Hash) string {
	t.Helper()
	_, body, _ := ask(t, http.MethodGet, s.host, "/v2/"+s.app+"/manifests/sha256-"+subject.Hex+suffix)
	return digestOf(body)
}

// TestForeignReferrersStay: the list at the destination keeps what others have put there.
func TestForeignReferrersStay(t *testing.T) {
	t.Parallel()
	s := newSignedSite(t, startReferrers(t))
	host := startReal(t).Addr
	file := export(t, s.root)
	mustRelocate(t, "--from-tar", export(t, s.root, "--attachments", "none"), "--to-repo", host+"/signed")
	subject := s.subjects[0]
	other := newSigner(site{t: t, host: host}).referrer("signed", subject, "application/x-scan", []byte("no findings"))
	mustRelocate(t, "--from-tar", file, "--to-repo", host+"/signed")
	list, _ := referrersOf(t, host, "signed", subject.Digest)
	theirs, _ := referrersOf(t, s.host, s.app, subject.Digest)
	assert.Equal(t, digestsOf(append(theirs, other)), digestsOf(list))
	assert.Equal(t, "application/x-scan", list[0].ArtifactType)
	for _, subject := range s.subjects {
		assert.NoError(t, s.verifySigned(host, "signed", subject.Digest))
	}
}

// TestAttachmentsRequire: require fails for listed images, not for children of an index, and names them.
func TestAttachmentsRequire(t *testing.T) {
	t.Parallel()
	host := startReferrers(t)
	s := newSigner(site{t: t, host: host})
	signed, unsigned := s.image("r/app", "", "signed"), s.image("r/app", "", "unsigned")
	index := s.index("r/app", "", s.image("r/app", "", "child"))
	s.signature("r/app", signed)
	s.signature("r/app", index)
	for _, c := range []struct {
		locked []v1.Descriptor
		status int
	}{{[]v1.Descriptor{signed, index}, 0}, {[]v1.Descriptor{signed, unsigned, index}, statusMissing}} {
		var refs []string
		for _, d := range c.locked {
			refs = append(refs, s.ref("r/app", d))
		}
		s.signature("r/bundle", s.bundle("r/bundle", "1.0", nil, refs...))
		file := filepath.Join(t.TempDir(), "r.tar")
		for _, args := range [][]string{{"--to-tar", file}, {"--to-repo", host + "/copy"}} {
			r := tryRelocate(t, append([]string{"-b", host + "/r/bundle:1.0", "--attachments", "require"}, args...)...)
			assert.Equal(t, c.status, r.status, r.stderr)
			if c.status != 0 {
				assertAll(t, r.stderr, "nothing is attached to "+s.ref("r/app", unsigned), "--attachments auto")
				assert.NotContains(t, r.stderr, signed.Digest.String())
				assert.NotContains(t, r.stderr, index.Digest.String())
			}
		}
		planned := tryRelocate(t, "plan", "-b", host+"/r/bundle:1.0", "--attachments", "require")
		assert.Equal(t, c.status, planned.status)
	}
	planned := mustRelocate(t, "plan", "-b", host+"/r/bundle:1.0", "-o", "json")
	assertAll(t, planned.stdout, `"absent": [`, s.ref("r/app", unsigned))
	none := mustRelocate(t, "plan", "-b", host+"/r/bundle:1.0", "-o", "json", "--attachments", "none")
	assert.NotContains(t, none.stdout, `"absent"`)
	assert.Contains(t, none.stdout, `"attachments": 0`)
	assert.Equal(t, statusUsage, tryRelocate(t, "plan", "-b", host+"/r/bundle:1.0", "--attachments", "some").status)
}

// TestAttachmentsRefused: what a registry does not show is told, in the report of the export and in the
// archive; anything else that goes wrong ends the export.
func TestAttachmentsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		part   string
		status int
		what   string
		exit   int
	}{
		"tags refused":         {"/tags/list", http.StatusForbidden, "tags", 0},
		"tags want a login":    {"/tags/list", http.StatusUnauthorized, "tags", 0},
		"no list of tags":      {"/tags/list", http.StatusNotFound, "", 0},
		"referrers refused":    {"/referrers/", http.StatusForbidden, "referrers", 0},
		"referrers not there":  {"/referrers/", http.StatusBadRequest, "", 0},
		"signatures refused":   {".sig", http.StatusForbidden, "manifest", 0},
		"tags fail":            {"/tags/list", http.StatusInternalServerError, "", statusFailed},
		"referrers fail":       {"/referrers/", http.StatusInternalServerError, "", statusFailed},
		"signatures too large": {".sig", http.StatusRequestEntityTooLarge, "", statusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSignedSite(t, startReferrers(t))
			door := newMeter(t, s.host)
			door.behave(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, c.part) {
					w.WriteHeader(c.status)
				}
				return strings.Contains(r.URL.Path, c.part)
			}, nil)
			image := door.host + "/" + s.app + "@" + s.subjects[0].Digest.String()
			file, reportFile := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "report.json")
			r := tryRelocate(t, "-i", image, "--to-tar", file, "--report", reportFile, "--registry-retry-count", "1")
			require.Equal(t, c.exit, r.status, r.stderr)
			if c.exit != 0 {
				return
			}
			unseen := readReport(t, reportFile).Attachments.Unseen
			if c.what == "" {
				assert.Empty(t, unseen)
				return
			}
			require.NotEmpty(t, unseen)
			for _, u := range unseen {
				assert.Equal(t, c.what, u.What)
				assert.Equal(t, "refused", u.Reason)
				assert.True(t, strings.HasPrefix(u.Reference, door.host+"/"+s.app), u.Reference)
			}
			assert.Contains(t, r.stderr, "refused")
			assert.Contains(t, mustRelocate(t, "verify", file, "-o", "json").stdout, `"reason": "refused"`)
			mustRelocate(t, "--from-tar", file, "--to-repo", startReferrers(t)+"/x", "--report", reportFile)
			assert.Equal(t, unseen, readReport(t, reportFile).Attachments.Unseen)
		})
	}
}

// TestAttachmentsInImgpkgTar: imgpkg's format carries attachments, too.
func TestAttachmentsInImgpkgTar(t *testing.T) {
	t.Parallel()
	s := newSignedSite(t, startReferrers(t))
	reportFile := filepath.Join(t.TempDir(), "report.json")
	file := export(t, s.root, "--tar-format", "imgpkg")
	for _, kind := range []string{"api", "distribution"} {
		host := attachmentRegistries[kind](t)
		mustRelocate(t, "--from-tar", file, "--to-repo", host+"/signed", "--report", reportFile)
		assert.Len(t, readReport(t, reportFile).Attachments.Found, s.attached)
		s.assertSigned(t, host, "signed")
		mustRelocate(t, "verify", "--repo", host+"/signed", file, "--level", "deep")
	}
}
