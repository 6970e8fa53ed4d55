package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"

	. "relocate/testdata/hostileregistry"
	"relocate/testdata/realregistry"
)

// TestOddSources: what registries have that is legal, or that imgpkg copies, is carried; what cannot be is not
// called malformed.
func TestOddSources(t *testing.T) {
	t.Parallel()
	r, dst := Start(t), Start(t)
	s := site{t: t, host: r.Addr}
	under := s.ref("x/_under", s.image("x/_under", "1", "one"))
	trail := s.ref("x/trail-", s.image("x/trail-", "1", "two"))
	repo := s.host + "/repository:1"
	s.bundle("repository", "1", nil, under, trail)
	for _, contentType := range []string{string(types.DockerManifestSchema2), "application/json", "text/plain; charset=utf-8", ""} {
		r.Behave(On("* manifests", Header(func(h http.Header) {
			if contentType != string(types.DockerManifestSchema2) {
				h["Content-Type"] = []string{contentType}
			}
			if contentType == "" {
				h["Content-Type"] = nil
			}
		})))
		file := export(t, repo)
		mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/x/y")
		mustRelocate(t, "verify", "--repo", dst.Addr+"/x/y", file)
	}
	r.Behave(On("* manifests", Header(func(h http.Header) { h.Set("Content-Type", string(types.OCIImageIndex)) })))
	assertFailed(t, tryRelocate(t, "plan", "-b", repo), statusFailed, "is served as", "hint: push it again")

	r.Behave(nil)
	config := s.blob("a", types.OCIConfigJSON, []byte(`{}`))
	raw := `{"schemaVersion":2,"config":{"mediaType":"` + string(config.MediaType) + `","size":2,"digest":"` + config.Digest.String() +
		`"},"layers":[{"mediaType":"x/y","size":1,"digest":"sha512:` + strings.Repeat("0", 128) + `","urls":["https://a.test/"]}]}`
	s.bundle("odd", "1", nil, s.ref("a", s.manifest("a", "1", types.OCIManifestSchema1, []byte(raw))))
	got := tryRelocate(t, "plan", "-b", s.host+"/odd:1")
	assertFailed(t, got, statusFailed, "not supported: names sha512:", "hint: push the image again")
	assert.NotContains(t, got.stderr, "malformed")
	assert.NotContains(t, got.stderr, "imgpkg")
	s.bundle("tag", "1", nil, s.host+"/a:1")
	assertFailed(t, tryRelocate(t, "plan", "-b", s.host+"/tag:1"), statusFailed, "has no digest", "hint: imgpkg also rejects it")
}

// refused is what a registry was seen to answer to requests of some kinds, and what it means.
type refused struct {
	name    string
	kinds   string // of requests, as On has them
	status  int    // of the answer
	code    string // none: the text is the body
	text    string
	exit    int
	says    []string
	silent  string // what is not said
	request int    // how many requests of these kinds are sent at most
}

// pingWantsLogin asks for a login at once.
var pingWantsLogin = On("GET ping", func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
	if r.Header.Get("Authorization") == "" {
		Answer(401, "", `Www-Authenticate: Basic realm="registry"`)(w, r, n, next)
	}
})

func (c refused) manner() Manner {
	answer := Refuse(c.status, c.code, c.text)
	if c.code == "" {
		answer = Answer(c.status, c.text)
	}
	return All(pingWantsLogin, On(c.kinds, answer))
}

// harbor's words for a full project.
const harborQuota = "adding 2.6 MiB of storage resource, which when updated to current usage of 8.3 KiB will exceed the configured upper limit of 1.0 MiB."

// destinationRefusals are the answers of zot, distribution, Gitea, olareg, crane, ECR and Harbor 2.15.2 to an import.
var destinationRefusals = []refused{
	{"a reserved name, of olareg", "POST uploads", 400, "NAME_INVALID", "repository name invalid", 2, []string{"hint: check the path"}, "log in", 1},
	{"no owner, of Gitea", "POST uploads", 404, "NAME_UNKNOWN", "repository name not known to registry", 2, []string{"hint: check the path"}, "log in", 1},
	{"no upload, a page", "POST uploads", 404, "", "404 page not found", 2, []string{"hint: check the path"}, "log in", 1},
	{"a quota of Gitea", "PUT uploads", 403, "", "", 4, []string{"a quota may be used up"}, "docker login", 8},
	{"a manifest too large, of zot", "PUT tags", 413, "", "", 1, []string{"limits the size of requests"}, "log in", 4},
	{"a manifest too large, of distribution", "PUT tags", 400, "MANIFEST_INVALID", "manifest payload size limit exceeded", 1, []string{"MANIFEST_INVALID"}, "make room", 4},
	{"a full disk, of crane", "PUT uploads", 507, "", "write /data/x: no space left on device", 8, []string{"hint: make room"}, "log in", 8},
	{"a tag that stays, of ECR", "PUT tags", 400, "TAG_INVALID", "The image tag 'a' already exists in the 'b' repository and cannot be overwritten because the repository is immutable.", 1, []string{"hint: the registry has immutable tags"}, "log in", 8},
	{"a tag that cannot be", "PUT tags", 400, "TAG_INVALID", "manifest tag did not match URI", 1, []string{"TAG_INVALID"}, "immutable tags", 8},
	{"a digest with the words of a tag", "PUT digests", 412, "PRECONDITION", "condition failed", 1, []string{"412 Precondition Failed"}, "immutable tags", 8},
	{"uploads that stay, of crane", "DELETE uploads", 405, "UNSUPPORTED", "The operation is unsupported.", 0, nil, "hint:", 1},
	{"uploads that stay, of others", "DELETE uploads", 403, "", "", 0, nil, "hint:", 1},
	{"uploads that are gone", "DELETE uploads", 404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", 0, nil, "hint:", 1},
	{"manifests that stay, of distribution", "DELETE manifests", 405, "UNSUPPORTED", "The operation is unsupported.", 0, []string{"does not allow deletes in all (405)"}, "hint:", 1},
	{"manifests that stay, of a proxy", "DELETE manifests", 405, "", "<html>405 Not Allowed</html>", 0, []string{"does not allow deletes in all (405)"}, "hint:", 1},
	{"manifests that stay, without the right", "DELETE manifests", 403, "DENIED", "requested access to the resource is denied", 0, []string{"does not allow deletes in all (403)"}, "hint:", 1},
	{"Docker types, of zot", "PUT manifests", 415, "MANIFEST_INVALID", "manifest invalid", 1, []string{"refuses Docker's media types", "docker2s2"}, "PUT uploads", 1},

	{"Harbor: no project", "* manifests, * blobs, * uploads", 401, "UNAUTHORIZED", "project nosuch not found: project nosuch not found", 2, []string{"project nosuch not found", "hint: check the path"}, "hint: check the user name", 4},
	{"Harbor: one part", "* manifests, * blobs, * uploads", 400, "BAD_REQUEST", "bad request: invalid repository name: corp", 2, []string{"invalid repository name: corp", "hint: check the path"}, "log in", 8},
	{"Harbor: no right", "POST uploads", 401, "UNAUTHORIZED", "unauthorized to access repository: corp/new1, action: push: unauthorized to access repository: corp/new1, action: push", 4, []string{"action: push"}, "check the path", 1},
	{"Harbor: quota, blob", "PUT uploads", 403, "DENIED", harborQuota, 8, []string{"upper limit", "hint: make room"}, "log in", 8},
	{"Harbor: quota, manifest", "PUT tags", 403, "DENIED", harborQuota, 8, []string{"hint: make room"}, "log in", 8},
	{"Harbor: immutable", "PUT tags", 412, "PRECONDITION", "Failed to process request due to 'repository:1.0.0' configured as immutable.", 1, []string{"configured as immutable", "immutable tags"}, "log in", 8},
	{"Harbor: content trust", "HEAD manifests, GET manifests", 412, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign.", 4, []string{"put tag 1.0.0: read it back", "hint: make the image meet the policy"}, "immutable tags", 100},
	{"Harbor: read-only", "POST uploads, PUT manifests", 403, "DENIED", "The system is in read only mode. Any modification is prohibited.", 1, []string{"read only mode", "hint: push to the registry that this one mirrors"}, "log in", 1},
	{"Harbor: a proxy project", "POST uploads", 403, "DENIED", "can not push artifact to a proxy project: proxy", 1, []string{"proxy project", "hint: push to the registry"}, "log in", 1},
	{"Harbor: an unknown type", "PUT digests", 400, "MANIFEST_INVALID", "manifest invalid: missing signature key", 1, []string{"missing signature key"}, "docker2s2", 12},
}

// TestDestinationRefusals: each answer of a destination gets the status and the hint of what it means, and is not asked
// for again.
func TestDestinationRefusals(t *testing.T) {
	t.Parallel()
	source := Start(t)
	ref, _ := pushHostile(t, source.Addr)
	archive := export(t, ref)
	for _, c := range destinationRefusals {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dst := Start(t)
			dst.Behave(c.manner())
			args := []string{"--from-tar", archive, "--to-repo", dst.Addr + "/all", "--registry-username", "u", "--registry-password", "p", "--concurrency", "1"}
			judgeRefusal(t, c, dst, tryRelocate(t, args...))
		})
	}
}

// TestRefusedWithoutAsking: a registry that asks for no login, and refuses, is not answered with advice about logins,
// whether there is one or not.
func TestRefusedWithoutAsking(t *testing.T) {
	t.Parallel()
	source := Start(t)
	ref, _ := pushHostile(t, source.Addr)
	archive := export(t, ref)
	for _, login := range [][]string{nil, {"--registry-username", "u", "--registry-password", "p"}} {
		dst := Start(t)
		dst.Behave(On("POST uploads", Answer(403, "")))
		got := tryRelocate(t, append([]string{"--from-tar", archive, "--to-repo", dst.Addr + "/all"}, login...)...)
		assertFailed(t, got, statusPermission, dst.Addr+" refused without asking for a login: ", "403 Forbidden", "hint: a login does not help")
		assert.Empty(t, dst.Header("Authorization"))
	}
}

func judgeRefusal(t *testing.T, c refused, r *Registry, got result) {
	t.Helper()
	assert.Equal(t, c.exit, got.status, got.stderr)
	assertAll(t, got.stderr, c.says...)
	if c.silent != "" {
		assert.NotContains(t, got.stderr, c.silent)
		assert.NotContains(t, strings.Join(r.Requests(), "\n"), c.silent)
	}
	requests := 0
	for _, s := range r.Requests() {
		method, path, _ := strings.Cut(s, " ")
		req, err := http.NewRequest(method, "http://registry"+path, nil)
		if assert.NoError(t, err) && path != "/v2/" && Is(req, c.kinds) {
			requests++
		}
	}
	assert.LessOrEqual(t, requests, c.request, r.Requests())
}

// TestSourceRefusals: the same of a source, to an export.
func TestSourceRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []refused{
		{"Harbor: content trust", "GET manifests, HEAD manifests", 412, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign.", 4, []string{"not signed by cosign", "hint: make the image meet the policy"}, "immutable tags", 1},
		{"Harbor: vulnerabilities", "GET manifests", 412, "PROJECTPOLICYVIOLATION", "current image with 3 vulnerabilities cannot be pulled due to configured policy", 4, []string{"3 vulnerabilities", "hint: make the image meet the policy"}, "immutable tags", 1},
		{"Harbor: no project", "GET manifests, HEAD manifests", 401, "UNAUTHORIZED", "project nosuch not found: project nosuch not found", 2, []string{"hint: check the path"}, "check the user name", 1},
		{"Harbor: one part", "GET manifests", 400, "BAD_REQUEST", "bad request: invalid repository name: corp", 2, []string{"hint: check the path"}, "immutable tags", 1},
		{"Harbor: no artifact", "GET manifests", 404, "NOT_FOUND", "artifact corp/repository:9.9.9 not found", 6, []string{"hint: check the spelling"}, "", 2},
		{"Harbor: another accept", "GET manifests", 404, "MANIFEST_UNKNOWN", "OCI manifest found, but accept header does not support OCI manifests", 6, []string{"does not support OCI"}, "", 2},
		{"a conflict", "GET manifests", 409, "CONFLICT", "", 1, []string{"409 Conflict"}, "immutable tags", 1},
		{"a bad tag", "GET manifests", 400, "TAG_INVALID", "tag invalid", 1, []string{"TAG_INVALID"}, "immutable tags", 1},
		{"downloads used up", "GET manifests", 403, "DENIED", "storage quota for downloads used up", 4, []string{"DENIED"}, "make room", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := Start(t)
			ref, _ := pushHostile(t, r.Addr)
			r.Behave(c.manner())
			judgeRefusal(t, c, r, tryRelocate(t, "-b", ref, "--to-tar", t.TempDir()+"/a.tar", "--registry-username", "u", "--registry-password", "p", "--attachments", "none"))
		})
	}
}

// TestMountRefusals: whatever a registry answers where it is to take blobs over from another repository, the blobs are
// sent, none of them elsewhere, and a repository from which it declined one is not tried again.
func TestMountRefusals(t *testing.T) {
	t.Parallel()
	other := startStranger(t, func(w http.ResponseWriter, r *http.Request) { t.Error("asked: " + r.URL.Path) })
	for name, m := range map[string]Manner{
		"an upload begins":                 On("* *", func(w http.ResponseWriter, r *http.Request, _ int, next http.HandlerFunc) { next(w, r) }),
		"an upload without a Location":     Header(remove("Location")),
		"an upload at another host":        Header(set("Location", "http://"+other.addr+"/v2/mirror/blobs/uploads/1")),
		"an upload that is not known":      Answer(202, "", "Location: /v2/mirror/blobs/uploads/none"),
		"taken over, and not there":        Answer(201, "", "Location: /v2/mirror/blobs/x"),
		"403, as Gitea":                    Answer(403, ""),
		"403 DENIED":                       Refuse(403, "DENIED", "requested access to the resource is denied"),
		"401, as Harbor":                   Answer(401, `{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized to access repository"}]}`, `Www-Authenticate: Basic realm="harbor"`),
		"404, the repository is not known": Refuse(404, "NAME_UNKNOWN", "repository name not known to registry"),
		"405":                              Refuse(405, "UNSUPPORTED", "The operation is unsupported."),
		"400":                              Answer(400, "mount: bad parameter"),
		"500":                              Answer(500, ""),
		"a reset":                          Reset,
		"a redirect":                       Answer(307, "", "Location: http://"+other.addr+"/v2/mirror/blobs/uploads/"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Start(t)
			ref, root := pushHostile(t, r.Addr)
			r.Behave(All(pingWantsLogin, On("POST uploads", func(w http.ResponseWriter, req *http.Request, n int, next http.HandlerFunc) {
				if req.URL.Query().Has("mount") {
					m(w, req, n, next)
					return
				}
				next(w, req)
			})))
			repo := r.Addr + "/mirror"
			mustRelocate(t, "-b", ref, "--to-repo", repo, "--concurrency", "1", "--registry-username", "u", "--registry-password", "p")
			mounts := map[string]int{}
			for _, s := range r.Requests() {
				if _, from, isMount := strings.Cut(s, "from="); isMount {
					from, _, _ = strings.Cut(from, "&")
					mounts[from]++
				}
			}
			assert.Len(t, mounts, 4)
			for from, times := range mounts {
				assert.Equal(t, 1, times, from)
			}
			r.Behave(nil)
			mustRelocate(t, "verify", "--repo", repo, "--root", root, "--level", "deep")
		})
	}
}

// TestTagListRefusals: the second page of a list of tags is refused, or does not come. A signature that the first page
// does not show is found under its tag all the same, and what was refused is told.
func TestTagListRefusals(t *testing.T) {
	t.Parallel()
	const notShown = "/all refused to list its tags: it may have signatures"
	for name, c := range map[string]struct {
		manner Manner
		exit   int
		says   []string
		silent string
	}{
		"403":               {Refuse(403, "DENIED", "requested access to the resource is denied"), 0, []string{notShown}, "hint:"},
		"401":               {Answer(401, "", `Www-Authenticate: Basic realm="r"`), 0, []string{notShown}, "hint:"},
		"404":               {Answer(404, "404 page not found"), 0, nil, notShown},
		"405":               {Refuse(405, "UNSUPPORTED", "The operation is unsupported."), 0, nil, notShown},
		"no JSON":           {Answer(200, "<html>"), 0, nil, notShown},
		"503, once":         {First(1, Answer(503, "")), 0, nil, notShown},
		"429, once":         {First(1, Answer(429, "", "Retry-After: 0")), 0, nil, notShown},
		"a reset, once":     {First(1, Reset), 0, nil, notShown},
		"500, always":       {Answer(500, ""), 1, []string{"list the tags of", "500 Internal Server Error (5 tries)", "hint: check the registry's log"}, notShown},
		"pages without end": {Answer(200, `{"tags":["x"]}`, `Link: </v2/all/tags/list?last=x>; rel="next"`), 0, nil, notShown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Start(t)
			s := newSigner(site{t: t, host: r.Addr})
			var refs []string
			var image v1.Descriptor
			for _, layer := range []string{"a", "b", "c", "d"} {
				image = s.image("all", layer, layer)
				refs = append(refs, s.ref("all", image))
			}
			s.signature("all", image)
			s.bundle("all", "1.0.0", nil, refs...)
			r.Behave(only("/tags/list", func(w http.ResponseWriter, req *http.Request, n int, next http.HandlerFunc) {
				if req.URL.Query().Get("last") == "" {
					Answer(200, `{"name":"all","tags":["1.0.0"]}`, `Link: </v2/all/tags/list?n=1000&last=1.0.0>; rel="next"`)(w, req, n, next)
					return
				}
				c.manner(w, req, n-1, next) // the first page has the same path
			}))
			file, reportFile := t.TempDir()+"/a.tar", t.TempDir()+"/r.json"
			got := tryRelocate(t, "-b", r.Addr+"/all:1.0.0", "--to-tar", file, "--report", reportFile, "--registry-retry-wait", "1ms")
			assert.Equal(t, c.exit, got.status, got.stderr)
			assertAll(t, got.stderr, c.says...)
			assert.NotContains(t, got.stderr, c.silent)
			assert.Contains(t, strings.Join(r.Requests(), "\n"), "last=1.0.0")
			if c.exit == 0 {
				assert.Len(t, readReport(t, reportFile).Attachments.Found, 1)
			}
		})
	}
}

// TestRestarts: a registry that restarts at any kind of request, and forgets the uploads that were begun, is waited for.
func TestRestarts(t *testing.T) {
	t.Parallel()
	source := Start(t)
	ref, _ := pushHostile(t, source.Addr)
	archive := export(t, ref)
	restart := func(r *Registry, kinds string, at int32) {
		var count atomic.Int32
		r.Behave(On(kinds, func(w http.ResponseWriter, req *http.Request, _ int, next http.HandlerFunc) {
			if count.Add(1) == at {
				r.ForgetUploads()
				r.Restart(10 * time.Millisecond)
				panic(http.ErrAbortHandler)
			}
			next(w, req)
		}))
	}
	for _, kinds := range []string{"GET ping", "HEAD manifests", "HEAD blobs", "POST uploads", "PUT uploads", "PUT digests", "PUT tags"} {
		for _, at := range []int32{1, 2} {
			t.Run(fmt.Sprint(kinds, " ", at), func(t *testing.T) {
				t.Parallel()
				dst := StartAt(t, freeAddress(t), "")
				restart(dst, kinds, at)
				mustRelocate(t, "--from-tar", archive, "--to-repo", dst.Addr+"/all", "--registry-retry-wait", "1ms")
				mustRelocate(t, "verify", "--repo", dst.Addr+"/all", archive, "--level", "deep")
			})
		}
	}
	for _, kinds := range []string{"GET ping", "GET tags", "GET digests", "GET blobs"} {
		t.Run("source, "+kinds, func(t *testing.T) {
			t.Parallel()
			src := StartAt(t, freeAddress(t), "")
			ref, root := pushHostile(t, src.Addr)
			restart(src, kinds, 1)
			file := t.TempDir() + "/a.tar"
			mustRelocate(t, "-b", ref, "--to-tar", file, "--registry-retry-wait", "1ms")
			mustRelocate(t, "verify", file, "--root", root)
		})
	}
}

// TestURLsRefused: what distribution's registry answers by default to a manifest of a Windows image is named, and not
// asked for again, and neither is its layer sent again; plan and rehearse warn.
func TestURLsRefused(t *testing.T) {
	t.Parallel()
	src, dst := Start(t), Start(t)
	s := site{t: t, host: src.Addr}
	foreign := s.blob("win/app", types.DockerForeignLayer, []byte("windows"))
	foreign.URLs = []string{"https://layers.test/l"}
	image := s.imageOf("win/app", "1", s.blob("win/app", types.DockerConfigJSON, []byte(`{"os":"windows"}`)), foreign)
	s.bundle("win/root", "1", nil, s.ref("win/app", image))
	ref := src.Addr + "/win/root:1"
	const warning = "note: 1 image with foreign layers, as Windows images have: docker-registry refuses them unless"
	assertAll(t, mustRelocate(t, "plan", "-b", ref).stderr, warning)
	for _, args := range [][]string{nil, {"--include-non-distributable-layers"}} {
		file := export(t, append([]string{ref}, args...)...)
		assertAll(t, tryRelocate(t, "rehearse", file).stderr, warning)
		put := "/manifests/sha256-" + image.Digest.Hex + ".imgpkg"
		dst.Behave(only(put, On("PUT tags", Answer(500, `{"errors":[{"code":"UNKNOWN","message":"unknown error"},{"code":"UNKNOWN","message":"unknown error","detail":{}},`+
			`{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"`+foreign.Digest.String()+`"}]}`))))
		got := tryRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/win")
		assertFailed(t, got, statusFailed, "refuses layers with URLs", s.ref("win/app", image), "hint: allow the URLs in the registry", "manifests: urls: allow")
		assert.NotContains(t, got.stderr, "disk")
		requests := strings.Join(dst.Requests(), "\n") + "\n"
		assert.Equal(t, 1, strings.Count(requests, "PUT /v2/win"+put+"\n"), requests)
		assert.LessOrEqual(t, strings.Count(requests, "digest="+strings.Replace(foreign.Digest.String(), ":", "%3A", 1)), 1, requests)
	}
}

// TestURLsRefusedByDistribution is TestURLsRefused with a real registry as it is configured by default.
func TestURLsRefusedByDistribution(t *testing.T) {
	t.Parallel()
	src := Start(t)
	dst := realregistry.Start(t, realregistry.Options{Kind: realregistry.Debian, NoURLs: true})
	s := site{t: t, host: src.Addr}
	for name, kinds := range map[string][3]types.MediaType{
		"docker": {types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerForeignLayer},
		"oci":    {types.OCIManifestSchema1, types.OCIConfigJSON, types.OCIRestrictedLayer},
	} {
		foreign := s.blob(name, kinds[2], []byte("windows"))
		foreign.URLs = []string{"https://layers.test/l"}
		config := s.blob(name, kinds[1], []byte(`{"os":"windows"}`))
		image := s.manifest(name, "1", kinds[0], encode(t, v1.Manifest{SchemaVersion: 2, MediaType: kinds[0], Config: config, Layers: []v1.Descriptor{foreign}}))
		s.bundle(name, "root", nil, s.ref(name, image))
		for _, args := range [][]string{nil, {"--include-non-distributable-layers"}} {
			file := export(t, append([]string{src.Addr + "/" + name + ":root"}, args...)...)
			dst.ResetRequests()
			got := tryRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/"+name)
			assertFailed(t, got, statusFailed, "refuses layers with URLs", "hint: allow the URLs in the registry")
			assert.Equal(t, 1, strings.Count(strings.Join(dst.Requests(), "\n"), "500 PUT "), dst.Requests())
		}
	}
}
