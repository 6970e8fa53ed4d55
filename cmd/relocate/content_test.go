package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/internal/imgpkg"
)

// visitor sends the requests of tests, each on a connection of its own. Those that http.DefaultTransport keeps are
// closed by every httptest.Server at its end, also while another test is about to use one; and the registry at
// a fixed port may be another test's by then.
var visitor = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// site pushes content of a test's own to a registry, byte for byte.
type site struct {
	t              *testing.T
	host           string
	user, password string
}

// blob pushes a blob.
func (s site) blob(repo string, mediaType types.MediaType, content []byte) v1.Descriptor {
	s.t.Helper()
	digest := digestOf(content)
	res := s.send(http.MethodPost, "http://"+s.host+"/v2/"+repo+"/blobs/uploads/", "", nil, http.StatusAccepted)
	at, err := res.Request.URL.Parse(res.Header.Get("Location"))
	require.NoError(s.t, err)
	query := at.Query()
	query.Set("digest", digest)
	at.RawQuery = query.Encode()
	s.send(http.MethodPut, at.String(), "application/octet-stream", content, http.StatusCreated)
	return descriptor(s.t, mediaType, content)
}

// manifest pushes a manifest under a tag, or by its digest.
func (s site) manifest(repo, tag string, mediaType types.MediaType, raw []byte) v1.Descriptor {
	s.t.Helper()
	if tag == "" {
		tag = digestOf(raw)
	}
	s.send(http.MethodPut, "http://"+s.host+"/v2/"+repo+"/manifests/"+tag, string(mediaType), raw, http.StatusCreated)
	return descriptor(s.t, mediaType, raw)
}

func (s site) send(method, url, contentType string, body []byte, want int) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, bytes.NewReader(body))
	require.NoError(s.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if s.user != "" {
		req.SetBasicAuth(s.user, s.password)
	}
	res, err := visitor.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, want, res.StatusCode, "%s %s: %s", method, url, text)
	return res
}

func descriptor(t *testing.T, mediaType types.MediaType, content []byte) v1.Descriptor {
	t.Helper()
	digest, err := v1.NewHash(digestOf(content))
	require.NoError(t, err)
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(content)), Digest: digest}
}

// image pushes an OCI image with a layer for each content and returns its descriptor. A tag "" pushes
// by digest.
func (s site) image(repo, tag string, layers ...string) v1.Descriptor {
	s.t.Helper()
	var list []v1.Descriptor
	for _, content := range layers {
		list = append(list, s.blob(repo, types.OCILayer, []byte(content)))
	}
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","comment":%q}`, digestOf(strings.Join(layers, " ")))
	return s.imageOf(repo, tag, s.blob(repo, types.OCIConfigJSON, []byte(config)), list...)
}

// imageOf pushes an OCI image manifest.
func (s site) imageOf(repo, tag string, config v1.Descriptor, layers ...v1.Descriptor) v1.Descriptor {
	s.t.Helper()
	return s.manifest(repo, tag, types.OCIManifestSchema1, encode(s.t, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers,
	}))
}

// index pushes an OCI index.
func (s site) index(repo, tag string, children ...v1.Descriptor) v1.Descriptor {
	s.t.Helper()
	return s.manifest(repo, tag, types.OCIImageIndex, encode(s.t, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: children,
	}))
}

// bundle pushes a bundle whose ImagesLock has the references locked, each with its kbld id.
func (s site) bundle(repo, tag string, files map[string]string, locked ...string) v1.Descriptor {
	s.t.Helper()
	all := map[string][]byte{".imgpkg/images.yml": []byte(lockText(locked...))}
	for path, text := range files {
		all[path] = []byte(text)
	}
	built, err := imgpkg.Build(all, map[string]string{imgpkg.Label: "true"})
	require.NoError(s.t, err)
	s.blob(repo, types.DockerLayer, built.Layer)
	s.blob(repo, types.DockerConfigJSON, built.Config)
	return s.manifest(repo, tag, built.Descriptor.MediaType, built.Manifest)
}

// ref is the reference of something that was pushed.
func (s site) ref(repo string, d v1.Descriptor) string {
	return s.host + "/" + repo + "@" + d.Digest.String()
}

// lockText is an ImagesLock.
func lockText(locked ...string) string {
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"
	if len(locked) > 0 {
		text += "images:\n"
	}
	for _, ref := range locked {
		text += fmt.Sprintf("- image: %s\n  annotations:\n    kbld.carvel.dev/id: %s\n", ref, ref)
	}
	return text
}

// kbldText is packageText of a package whose template steps are the usual ones: ytt, then kbld with the lock.
func kbldText(name, version, fetch string) string {
	return strings.Replace(packageText(name, version, fetch), "- ytt: {}", "- ytt: {paths: [config/]}\n      - kbld: {paths: ['-', .imgpkg/images.yml]}", 1)
}

// packageText is a Package that fetches a bundle.
func packageText(name, version, fetch string) string {
	return fmt.Sprintf(`apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata:
  name: %[1]s.%[2]s
spec:
  refName: %[1]s
  version: %[2]s
  template:
    spec:
      fetch:
      - imgpkgBundle:
          image: %[3]s
      template:
      - ytt: {}
      deploy:
      - kapp: {}
`, name, version, fetch)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

// noise is n bytes that do not compress, the same for the same seed.
func noise(seed string, n int) string {
	b := make([]byte, n)
	key := [32]byte{}
	copy(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return string(b)
}
