package rewrite

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/bundle"
	"relocate/carvel"
)

var (
	digestA = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	digestB = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}
)

func repository(t *testing.T, s string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(s)
	require.NoError(t, err)
	return repo
}

// TestObjectFile: no two objects have one file, whatever their names.
func TestObjectFile(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, namespace := range []string{"", "a", "a-b"} {
		for _, name := range []string{"a", "b-a", "a.b", "b", "a-b.a"} {
			file := object{Kind: "Secret", Metadata: metadata{Name: name, Namespace: namespace}}.file()
			if namespace == "" { // a kind has namespaces or not
				file = object{Kind: "Namespace", Metadata: metadata{Name: name}}.file()
			}
			assert.False(t, seen[file], file)
			seen[file] = true
		}
	}
	assert.True(t, seen["secret.a-b.a.b.yml"])
}

// TestNames: what Kubernetes would refuse is refused here.
func TestNames(t *testing.T) {
	t.Parallel()
	registry := repository(t, "private.test/all").Registry
	for _, bad := range []string{"", "A", "a_b", "-a", "a-", "a..b", "../a", "a\n", "a: b", strings.Repeat("a", 254)} {
		_, err := namespaceObject(bad)
		require.ErrorContains(t, err, "is not a DNS-1123 label", bad)
		_, err = registrySecret(bad, "a", registry, Login{})
		require.ErrorContains(t, err, "is not a DNS-1123 subdomain", bad)
		_, err = registrySecret("a", bad, registry, Login{})
		require.ErrorContains(t, err, "is not a DNS-1123 label", bad)
		_, err = secretExport(bad, "a")
		require.Error(t, err, bad)
		_, err = caConfig(bad, nil)
		require.ErrorContains(t, err, "is not a DNS-1123 label", bad)
		for _, spoil := range []func(i *Install, namespace, secretRef *string){
			func(i *Install, _, _ *string) { i.Name = bad }, func(_ *Install, namespace, _ *string) { *namespace = bad },
			func(i *Install, _, _ *string) { i.Package.Name = bad }, func(i *Install, _, _ *string) { i.Package.Version = bad + " " },
			func(_ *Install, _, secretRef *string) { *secretRef = bad + "_" },
		} {
			i, namespace, secretRef := Install{Name: "a", Package: &carvel.Package{Name: "a.corp.com", Version: "1.0.0+b.1-c"}}, "b", ""
			_, err = i.objects("", namespace, secretRef, false)
			require.NoError(t, err)
			spoil(&i, &namespace, &secretRef)
			_, err := i.objects("", namespace, secretRef, false)
			require.Error(t, err, "%q: %+v", bad, i)
		}
	}
	_, err := namespaceObject("a.b")
	require.ErrorContains(t, err, `"a.b" is not a DNS-1123 label`)
}

// TestRegistrySecret: the login arrives as it is, whatever is in it.
func TestRegistrySecret(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"private.test:5000/a": "private.test:5000", "docker.io/a/b": "https://index.docker.io/v1/"} {
		for _, login := range []Login{{Username: "a", Password: "b"}, {Username: "{}", Password: "\"'\\\n---\nkind: Evil\u2028<"}} {
			o, err := registrySecret("pull", "a", repository(t, host).Registry, login)
			require.NoError(t, err)
			assert.False(t, o.skeleton)
			text, err := encodeObjects(o)
			require.NoError(t, err)
			var got struct{ StringData map[string]string }
			require.NoError(t, yaml.Unmarshal(text, &got))
			var config struct{ Auths map[string]Login }
			require.NoError(t, json.Unmarshal([]byte(got.StringData[".dockerconfigjson"]), &config), "%s", text)
			assert.Equal(t, map[string]Login{want: login}, config.Auths)
		}
	}
	o, err := registrySecret("pull", "a", repository(t, "private.test/a").Registry, Login{})
	require.NoError(t, err)
	assert.True(t, o.skeleton)
}

// certificate returns a new certificate.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	require.NoError(t, err)
	return raw
}

// TestCAConfig: certificates, all of them, and nothing but certificates.
func TestCAConfig(t *testing.T) {
	t.Parallel()
	block := func(kind string, raw []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
	}
	a, b := certificate(t), certificate(t)
	o, err := caConfig("tkg-system", []byte("subject=a\n"+block("CERTIFICATE", a)+"password: x\n"+block("CERTIFICATE", b)))
	require.NoError(t, err)
	assert.Equal(t, metadata{Name: "kapp-controller-config", Namespace: "tkg-system"}, o.Metadata)
	assert.Equal(t, map[string]string{"caCerts": block("CERTIFICATE", a) + block("CERTIFICATE", b)}, o.StringData)
	for text, part := range map[string]string{
		"":                           "no certificate",
		"-----BEGIN CERTIFICATE----": "no certificate",
		block("CERTIFICATE", a) + block("EC PRIVATE KEY", b): `"EC PRIVATE KEY"`,
		block("CERTIFICATE", []byte("x")):                    "x509",
	} {
		_, err := caConfig("a", []byte(text))
		require.ErrorContains(t, err, part)
	}
}

// TestMirrors: repositories of images, each once and as runtimes call them, and neither bundles nor the
// destination.
func TestMirrors(t *testing.T) {
	t.Parallel()
	repo := repository(t, "private.test:5000/all")
	at := func(repo string) string { return repo + "@" + digestA.String() }
	g := &bundle.Graph{Nodes: []*bundle.Node{
		{Kind: bundle.Bundle, References: []string{at("reg.test/bundle")}},
		{Kind: bundle.Plain, References: []string{at("nginx"), at("reg.test/b"), "reg.test/a:1"}},
		{Kind: bundle.Index, References: []string{at("reg.test/b"), at("private.test:5000/all"), "no reference"}},
		{Kind: bundle.Plain, Descriptor: v1.Descriptor{Digest: digestB}, IsChild: true},
	}}
	list := sources(g, repo)
	assert.Equal(t, []string{"docker.io/library/nginx", "reg.test/a", "reg.test/b"}, list)
	conf := string(registriesConf(list, repo, access{}))
	assert.Equal(t, 3, strings.Count(conf, "mirror-by-digest-only = true\n"))
	assert.Equal(t, 3, strings.Count(conf, "\n[[registry.mirror]]\nlocation = \"private.test:5000/all\"\n"))
	text, err := encodeObjects(mirrorSet(list, repo))
	require.NoError(t, err)
	assert.Equal(t, 3, bytes.Count(text, []byte("- private.test:5000/all\n")))

	for host, folder := range map[string]string{"private.test": "private.test", "private.test:5000": "private.test_5000_", "[::1]:5000": "[::1]_5000_"} {
		registry, err := name.NewRegistry(host)
		require.NoError(t, err)
		assert.Equal(t, folder, hostFolder(registry))
	}
}

// TestNodeAccess: the CA is beside the file that names it, wherever the folder is copied to, for each attempt that containerd
// makes; plain HTTP is in each place where a client chooses its scheme.
func TestNodeAccess(t *testing.T) {
	t.Parallel()
	repo := repository(t, "private.test:5000/all")
	toml := func(a access) string { return string(hostsTOML(repo, a)) }
	ca, plain := access{CA: true}, access{PlainHTTP: true}
	assert.NotContains(t, toml(access{}), "\nca = ")
	before, table, found := strings.Cut(toml(ca), "\n[host.\"https://private.test:5000\"]\n")
	require.True(t, found, toml(ca))
	for _, part := range []string{before, table} {
		assert.Contains(t, part, "ca = \"ca.crt\"\n")
		assert.Contains(t, part, "capabilities = [\"pull\", \"resolve\"]\n")
	}
	assert.Contains(t, toml(plain), "\nserver = \"http://private.test:5000\"\n")
	assert.Contains(t, toml(plain), "\n[host.\"http://private.test:5000\"]\n")
	assert.NotContains(t, toml(plain), "https://")

	conf := func(a access) string {
		return string(registriesConf([]string{"reg.test/a"}, repo, a))
	}
	assert.NotContains(t, conf(ca), "insecure")
	assert.Contains(t, conf(ca), "\n# The registry's CA goes to /etc/containers/certs.d/private.test:5000/ca.crt on the same nodes.\n")
	assert.Contains(t, conf(plain), "\n[[registry]]\nprefix = \"private.test:5000/all\"\nlocation = \"private.test:5000/all\"\ninsecure = true\n")
	assert.Contains(t, conf(plain), "\n[[registry.mirror]]\nlocation = \"private.test:5000/all\"\ninsecure = true\n")
	assert.Equal(t, 2, strings.Count(conf(plain), "insecure = true"), "the source is not weakened:\n%s", conf(plain))
}

// TestOldPackageRepository: the kind of the first alphas has no namespace.
func TestOldPackageRepository(t *testing.T) {
	t.Parallel()
	p, err := NewPackageRepository(repository(t, "reg.test/main").Digest(digestA.String()), repository(t, "private.test/all"), "", "", "", "")
	require.NoError(t, err)
	assert.Equal(t, carvel.GlobalNamespace, p.object().Metadata.Namespace)
	p.API = OldPackagingAPI
	o := p.object()
	assert.Equal(t, metadata{Name: "main"}, o.Metadata)
	assert.Equal(t, "install.package.carvel.dev/v1alpha1", o.APIVersion)
}
