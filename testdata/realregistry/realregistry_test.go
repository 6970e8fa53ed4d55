package realregistry

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"math/rand"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestStart(t *testing.T) {
	t.Parallel()
	exercise(t, Start(t, Options{}))
}

func TestStartDebian(t *testing.T) {
	t.Parallel()
	exercise(t, StartDebian(t))
}

// exercise does what the tests of relocate rely on, and stops r.
func exercise(t *testing.T, r *Registry) {
	image := randomImage(t)
	tag := reference(t, r, "a/app:1.0")
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	if want := "201 PUT /v2/a/app/manifests/1.0"; !slices.Contains(r.Requests(), want) {
		t.Errorf("requests: got %q, want %q among them", r.Requests(), want)
	}

	r.ResetRequests()
	pulled, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, pulled, image)
	config, _ := image.ConfigName()
	for _, want := range []string{
		"200 GET /v2/a/app/manifests/1.0",
		"200 GET /v2/a/app/blobs/" + config.String(),
	} {
		if !slices.Contains(r.Requests(), want) {
			t.Errorf("requests: got %q, want %q among them", r.Requests(), want)
		}
	}

	checkMissingBlob(t, r, image)
	checkForeignLayer(t, r, image)
	checkIndexAndDelete(t, r, image)

	if _, err := os.Stat(filepath.Join(r.Dir, "docker/registry/v2/repositories/a/app")); err != nil {
		t.Error(err)
	}
	r.Stop()
	r.Stop()
	if _, err := net.Dial("tcp", r.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Stop: got %v, want connection refused", err)
	}
}

// checkMissingBlob puts a manifest into a repository without its blobs.
func checkMissingBlob(t *testing.T, r *Registry, image v1.Image) {
	t.Helper()
	err := remote.Put(reference(t, r, "a/empty:1.0"), image)
	terr, ok := errors.AsType[*transport.Error](err)
	if !ok || terr.StatusCode/100 != 4 || !slices.ContainsFunc(terr.Errors, func(d transport.Diagnostic) bool {
		return d.Code == transport.ManifestBlobUnknownErrorCode
	}) {
		t.Errorf("put a manifest without its blobs: got %v, want MANIFEST_BLOB_UNKNOWN", err)
	}
}

// checkForeignLayer writes an image with a layer which is elsewhere: its blob
// is not uploaded, and its urls are accepted.
func checkForeignLayer(t *testing.T, r *Registry, image v1.Image) {
	t.Helper()
	layer := static.NewLayer([]byte("foreign"), types.OCIRestrictedLayer)
	image = mutate.MediaType(image, types.OCIManifestSchema1)
	image, err := mutate.Append(image, mutate.Addendum{
		Layer:     layer,
		MediaType: types.OCIRestrictedLayer,
		URLs:      []string{"https://example.com/layer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, r, "a/foreign:1.0"), image); err != nil {
		t.Errorf("write an image with a foreign layer: %v", err)
	}
	digest, _ := layer.Digest()
	if _, err := os.Stat(filepath.Join(r.Dir, "docker/registry/v2/blobs/sha256", digest.Hex[:2], digest.Hex)); err == nil {
		t.Errorf("the foreign layer %s is in the registry", digest)
	}
}

// checkIndexAndDelete writes an OCI index with a child, lists its tag and
// deletes it.
func checkIndexAndDelete(t *testing.T, r *Registry, image v1.Image) {
	t.Helper()
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})
	tag := reference(t, r, "a/index:1.0")
	if err := remote.WriteIndex(tag, index); err != nil {
		t.Fatal(err)
	}
	if tags, err := remote.List(tag.Context()); err != nil || !slices.Equal(tags, []string{"1.0"}) {
		t.Errorf("tags: got %q, %v, want 1.0", tags, err)
	}
	desc, err := remote.Get(tag)
	if err != nil {
		t.Fatal(err)
	}
	if desc.MediaType != types.OCIImageIndex {
		t.Errorf("media type: got %s, want %s", desc.MediaType, types.OCIImageIndex)
	}
	if err := remote.Delete(tag.Context().Digest(desc.Digest.String())); err != nil {
		t.Errorf("delete the index: %v", err)
	}
}

// htpasswd lets user in with password.
const htpasswd = "user:$2a$04$YL.Rzc3nVYKoNZkISMeL4.JFocFxde/U4GA26pHiBoSigC5lHuqw.\n"

// TestHtpasswdTLS starts a registry twice over one folder, the second time
// with authentication and TLS: it has what the first one got, and its Location
// headers say https.
func TestHtpasswdTLS(t *testing.T) {
	t.Parallel()
	first := Start(t, Options{})
	image := randomImage(t)
	if err := remote.Write(reference(t, first, "a/app:1.0"), image); err != nil {
		t.Fatal(err)
	}
	first.Stop()

	opts := Options{Dir: first.Dir, Htpasswd: filepath.Join(t.TempDir(), "htpasswd")}
	if err := os.WriteFile(opts.Htpasswd, []byte(htpasswd), 0o600); err != nil {
		t.Fatal(err)
	}
	opts.CertFile, opts.KeyFile = certificate(t)
	r := Start(t, opts)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	do := func(method, path, password string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+r.Addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("user", password)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}

	want, _ := image.RawManifest()
	resp := do("GET", "/v2/a/app/manifests/1.0", "password")
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, want) {
		t.Errorf("manifest: got %q, %v, want %q", got, err, want)
	}
	resp = do("POST", "/v2/a/app/blobs/uploads/", "password")
	if got, want := resp.Header.Get("Location"), "https://"+r.Addr+"/v2/a/app/blobs/uploads/"; !strings.HasPrefix(got, want) {
		t.Errorf("Location: got %q, want %s…", got, want)
	}
	do("GET", "/v2/?a=b", "wrong")
	if got, want := r.Requests(), []string{
		"200 GET /v2/a/app/manifests/1.0",
		"202 POST /v2/a/app/blobs/uploads/",
		"401 GET /v2/?a=b",
	}; !slices.Equal(got, want) {
		t.Errorf("requests: got %q, want %q", got, want)
	}
}

// reference returns name in r.
func reference(t *testing.T, r *Registry, s string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(r.Addr + "/" + s)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

// randomImage returns the same image on each call.
func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 2, random.WithSource(rand.NewSource(1)))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// checkSame compares the manifests, and reads all of got's blobs, which
// checks their digests.
func checkSame(t *testing.T, got, want v1.Image) {
	t.Helper()
	gotDigest, err := got.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if wantDigest, _ := want.Digest(); gotDigest != wantDigest {
		t.Errorf("pulled: got %s, want %s", gotDigest, wantDigest)
	}
	if _, err := got.RawConfigFile(); err != nil {
		t.Errorf("pulled: read the config: %v", err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		body, err := layer.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Errorf("pulled: read a layer: %v", err)
		}
		_ = body.Close()
	}
}

// certificate writes a certificate for a registry on this machine, and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certDER, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", certDER), write("key.pem", "PRIVATE KEY", keyDER)
}
