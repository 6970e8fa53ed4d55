package rewrite_test

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
	"relocate/rewrite"
)

// TestObjectFile: no two objects have one file, whatever their names.
func TestObjectFile(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, namespace := range []string{"", "a", "a-b"} {
		for _, name := range []string{"a", "b-a", "a.b", "b", "a-b.a"} {
			file := rewrite.Object{Kind: "Secret", Metadata: rewrite.Metadata{Name: name, Namespace: namespace}}.File()
			if namespace == "" { // a kind has namespaces or not
				file = rewrite.Object{Kind: "Namespace", Metadata: rewrite.Metadata{Name: name}}.File()
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
		_, err := rewrite.Namespace(bad)
		require.ErrorContains(t, err, "is no DNS-1123 label", bad)
		_, err = rewrite.RegistrySecret(bad, "a", registry, rewrite.Login{})
		require.ErrorContains(t, err, "is no DNS-1123 subdomain", bad)
		_, err = rewrite.RegistrySecret("a", bad, registry, rewrite.Login{})
		require.ErrorContains(t, err, "is no DNS-1123 label", bad)
		_, err = rewrite.SecretExport(bad, "a")
		require.Error(t, err, bad)
		_, err = rewrite.CAConfig(bad, nil)
		require.ErrorContains(t, err, "is no DNS-1123 label", bad)
		good := rewrite.Install{Name: "a", Namespace: "b", Package: "a.corp.com", Version: "1.0.0+b.1-c"}
		_, err = good.Objects()
		require.NoError(t, err)
		for _, spoil := range []func(*rewrite.Install){
			func(i *rewrite.Install) { i.Name = bad }, func(i *rewrite.Install) { i.Namespace = bad }, func(i *rewrite.Install) { i.Package = bad },
			func(i *rewrite.Install) { i.Version = bad + " " }, func(i *rewrite.Install) { i.SecretRef = bad + "_" },
		} {
			i := good
			spoil(&i)
			_, err := i.Objects()
			require.Error(t, err, "%q: %+v", bad, i)
		}
	}
	_, err := rewrite.Namespace("a.b")
	require.ErrorContains(t, err, `"a.b" is no DNS-1123 label`)
}

// TestRegistrySecret: the login arrives as it is, whatever is in it.
func TestRegistrySecret(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"private.test:5000/a": "private.test:5000", "docker.io/a/b": "https://index.docker.io/v1/"} {
		for _, login := range []rewrite.Login{{Username: "a", Password: "b"}, {Username: "{}", Password: "\"'\\\n---\nkind: Evil\u2028<"}} {
			o, err := rewrite.RegistrySecret("pull", "a", repository(t, host).Registry, login)
			require.NoError(t, err)
			assert.False(t, o.Skeleton)
			text, err := rewrite.EncodeObjects(o)
			require.NoError(t, err)
			var got struct{ StringData map[string]string }
			require.NoError(t, yaml.Unmarshal(text, &got))
			var config struct{ Auths map[string]rewrite.Login }
			require.NoError(t, json.Unmarshal([]byte(got.StringData[".dockerconfigjson"]), &config), "%s", text)
			assert.Equal(t, map[string]rewrite.Login{want: login}, config.Auths)
		}
	}
	o, err := rewrite.RegistrySecret("pull", "a", repository(t, "private.test/a").Registry, rewrite.Login{})
	require.NoError(t, err)
	assert.True(t, o.Skeleton)
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
	o, err := rewrite.CAConfig("tkg-system", []byte("subject=a\n"+block("CERTIFICATE", a)+"password: x\n"+block("CERTIFICATE", b)))
	require.NoError(t, err)
	assert.Equal(t, rewrite.Metadata{Name: "kapp-controller-config", Namespace: "tkg-system"}, o.Metadata)
	assert.Equal(t, map[string]string{"caCerts": block("CERTIFICATE", a) + block("CERTIFICATE", b)}, o.StringData)
	for text, part := range map[string]string{
		"":                           "no certificate",
		"-----BEGIN CERTIFICATE----": "no certificate",
		block("CERTIFICATE", a) + block("EC PRIVATE KEY", b): `"EC PRIVATE KEY"`,
		block("CERTIFICATE", []byte("x")):                    "x509",
	} {
		_, err := rewrite.CAConfig("a", []byte(text))
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
	sources := rewrite.Sources(g, repo)
	assert.Equal(t, []string{"docker.io/library/nginx", "reg.test/a", "reg.test/b"}, sources)
	conf := string(rewrite.RegistriesConf(sources, repo, rewrite.Access{}))
	assert.Equal(t, 3, strings.Count(conf, "mirror-by-digest-only = true\n"))
	assert.Equal(t, 3, strings.Count(conf, "\n[[registry.mirror]]\nlocation = \"private.test:5000/all\"\n"))
	text, err := rewrite.EncodeObjects(rewrite.MirrorSet(sources, repo))
	require.NoError(t, err)
	assert.Equal(t, 3, bytes.Count(text, []byte("- private.test:5000/all\n")))

	for host, folder := range map[string]string{"private.test": "private.test", "private.test:5000": "private.test_5000_", "[::1]:5000": "[::1]_5000_"} {
		registry, err := name.NewRegistry(host)
		require.NoError(t, err)
		assert.Equal(t, folder, rewrite.HostFolder(registry))
	}
}

// TestNodeAccess: the CA is beside the file that names it, wherever the folder is copied to, for each attempt that containerd
// makes; plain HTTP is in each place where a client chooses its scheme.
func TestNodeAccess(t *testing.T) {
	t.Parallel()
	repo := repository(t, "private.test:5000/all")
	toml := func(access rewrite.Access) string { return string(rewrite.HostsTOML(repo, access)) }
	ca, plain := rewrite.Access{CA: true}, rewrite.Access{PlainHTTP: true}
	assert.NotContains(t, toml(rewrite.Access{}), "\nca = ")
	before, table, found := strings.Cut(toml(ca), "\n[host.\"https://private.test:5000\"]\n")
	require.True(t, found, toml(ca))
	for _, part := range []string{before, table} {
		assert.Contains(t, part, "ca = \"ca.crt\"\n")
		assert.Contains(t, part, "capabilities = [\"pull\", \"resolve\"]\n")
	}
	assert.Contains(t, toml(plain), "\nserver = \"http://private.test:5000\"\n")
	assert.Contains(t, toml(plain), "\n[host.\"http://private.test:5000\"]\n")
	assert.NotContains(t, toml(plain), "https://")

	conf := func(access rewrite.Access) string {
		return string(rewrite.RegistriesConf([]string{"reg.test/a"}, repo, access))
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
	p, err := rewrite.NewPackageRepository(repository(t, "reg.test/main").Digest(digestA.String()), repository(t, "private.test/all"), "", "", "", "")
	require.NoError(t, err)
	assert.Equal(t, rewrite.GlobalNamespace, p.Object().Metadata.Namespace)
	p.API = rewrite.OldPackagingAPI
	o := p.Object()
	assert.Equal(t, rewrite.Metadata{Name: "main"}, o.Metadata)
	assert.Equal(t, "install.package.carvel.dev/v1alpha1", o.APIVersion)
}
