package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// kinds are the kinds, namespaces and names of objects, in their order.
func kinds(list []emittedObject) []string {
	var all []string
	for _, o := range list {
		all = append(all, strings.TrimSuffix(o.Kind+" "+strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/"), " "))
	}
	return all
}

// caFile writes a real certificate to a file.
func caFile(t *testing.T) (path, text string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	text = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	path = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, []byte("a comment\n"+text+"another\n"), 0o600))
	return path, text
}

// TestEmitObjects: what --with and --install write, in the order to apply, valid for the cluster.
func TestEmitObjects(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	ca, _ := caFile(t)
	const (
		global = "kapp-controller-packaging-global"
		pull   = "pull-reg.airgap.test-5000"
	)
	base := []string{"emit", file, "--to-repo", "reg.airgap.test:5000/tce/main"}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"alone":  {nil, []string{"PackageRepository " + global + "/repository"}},
		"secret": {[]string{"--with", "secret"}, []string{"Secret " + global + "/" + pull, "PackageRepository " + global + "/repository"}},
		"export": {[]string{"--with", "secret,secretexport", "--install", contour}, []string{"Secret " + global + "/" + pull, "SecretExport " + global + "/" + pull,
			"PackageRepository " + global + "/repository", "ServiceAccount default/contour-sa", "Secret default/contour-values", "PackageInstall default/contour"}},
		"all": {[]string{"--with", "namespace,secret,ca,idms", "--with", "cluster-admin", "--registry-ca-cert-path", ca, "--secret-ref", "mine", "--namespace", "tenant",
			"--install", contour + "/1.9.0=edge", "--install", "tricky.corp.com", "--install-namespace", "apps", "--kapp-controller-namespace", "tkg-system"},
			[]string{"Namespace tenant", "Namespace apps", "Secret tenant/mine", "Secret apps/mine", "Secret tkg-system/kapp-controller-config",
				"ImageDigestMirrorSet reg.airgap.test-5000-tce-main", "PackageRepository tenant/repository",
				"ServiceAccount apps/edge-sa", "ClusterRoleBinding edge-apps-cluster-admin", "PackageInstall apps/edge",
				"ServiceAccount apps/tricky-sa", "ClusterRoleBinding tricky-apps-cluster-admin", "Secret apps/tricky-values", "PackageInstall apps/tricky"}},
		"old": {[]string{"--api", "install.package.carvel.dev/v1alpha1", "--with", "secret", "--name", "tce"},
			[]string{"Secret kapp-controller/" + pull, "PackageRepository tce"}},
	} {
		r := mustRelocate(t, append(base, c.args...)...)
		list := objects(t, r.stdout)
		assert.Equal(t, c.want, kinds(list), name)
		assert.False(t, obeyed.MatchString(strings.ReplaceAll(r.stdout, "\n", "")), "%s: text that a terminal obeys:\n%q", name, r.stdout)
		for _, o := range list {
			if o.Kind == "PackageInstall" {
				assert.Equal(t, name == "all", o.Metadata.Annotations["ext.packaging.carvel.dev/fetch-0-secret-name"] == "mine", name)
			}
			if o.Kind == "PackageRepository" {
				_, refers := o.Spec["fetch"].(map[string]any)["imgpkgBundle"].(map[string]any)["secretRef"]
				assert.Equal(t, name == "secret" || name == "all" || name == "old", refers, "%s: a SecretExport fills in what names no Secret", name)
			}
		}
		assertAll(t, r.stderr, "note: kapp-controller fetches", "note: keep the name")
	}
}

// TestEmitInstall: the version is pinned, the values are the defaults, commented out, and the rights are said.
func TestEmitInstall(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	r := mustRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "--install", contour+"/1.20.1")
	list := objects(t, r.stdout)
	require.Len(t, list, 4)
	assert.Equal(t, map[string]string{"values.yaml": fixture(t, "contour-1.20.1.defaults.yml")}, list[2].StringData)
	assert.Equal(t, map[string]any{
		"serviceAccountName": "contour-sa", "values": []any{map[string]any{"secretRef": map[string]any{"name": "contour-values"}}},
		"packageRef": map[string]any{"refName": contour, "versionSelection": map[string]any{"constraints": "1.20.1", "prereleases": map[string]any{}}},
	}, list[3].Spec)
	assert.Contains(t, r.stderr, "contour installs with the rights of the ServiceAccount default/contour-sa")
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "--install", "none.corp.com"), statusMissing, "none.corp.com")
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "--install", contour, "--install", contour+"/1.9.0"), statusUsage, "contour", "=NAME")
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "--install", contour+"=Big_Name"), statusUsage, "Big_Name")
}

// TestEmitLogin: a login is in what is emitted when it is asked for by name, and never otherwise; without it the
// Secret has what nobody can take for one.
func TestEmitLogin(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	base := []string{"emit", file, "--to-repo", "reg.airgap.test:5000/tce/main"}
	login := []string{"--registry-username", "robot", "--registry-password", `hunter"2`}
	auth := func(r result) map[string]any {
		var config map[string]map[string]map[string]any
		for _, o := range objects(t, r.stdout) {
			if o.Kind == "Secret" {
				assert.Equal(t, "kubernetes.io/dockerconfigjson", o.Type)
				require.NoError(t, json.Unmarshal([]byte(o.StringData[".dockerconfigjson"]), &config))
			}
		}
		return config["auths"]["reg.airgap.test:5000"]
	}
	placeholders := mustRelocate(t, append(base, "--with", "secret")...)
	assert.Equal(t, map[string]any{"username": "REPLACE-WITH-USERNAME", "password": "REPLACE-WITH-PASSWORD"}, auth(placeholders))
	assertAll(t, placeholders.stderr, "pull-reg.airgap.test-5000 has placeholders")

	asked := mustRelocate(t, append(append(base, login...), "--with", "secret", "--secret-from-login")...)
	assert.Equal(t, map[string]any{"username": "robot", "password": `hunter"2`}, auth(asked))
	assert.NotContains(t, asked.stderr, "hunter")
	for name, args := range map[string][]string{
		"not asked":      append(login, "--with", "secret"),
		"no secret":      append(login, "--secret-from-login"),
		"no login":       {"--with", "secret", "--secret-from-login"},
		"half a login":   {"--with", "secret", "--secret-from-login", "--registry-username", "robot"},
		"not asked, all": append(login, "--with", "secret,secretexport,namespace"),
	} {
		r := tryRelocate(t, append(base, args...)...)
		assertFailed(t, r, statusUsage, "--secret-from-login")
		assert.NotContains(t, r.stdout+r.stderr, "hunter", name)
	}
}

// TestEmitFolder: a file an object, a kustomization of just these, files for nodes beside it; written again it
// is the same, a newer relocation updates it in place, and what others wrote is not touched.
func TestEmitFolder(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	file := export(t, pushPackages(t, host))
	ca, certificate := caFile(t)
	dir := filepath.Join(t.TempDir(), "clusters", "tce")
	args := []string{"emit", file, "--to-repo", "reg.airgap.test:5000/tce/main", "-d", dir, "--with", "namespace,secret,ca,idms,registries-conf,hosts-toml",
		"--registry-ca-cert-path", ca, "--install", contour + "/1.20.1"}
	r := mustRelocate(t, args...)
	assert.Empty(t, r.stdout)
	written := files(t, dir)
	var kustomization struct{ Resources []string }
	require.NoError(t, yaml.Unmarshal([]byte(written["kustomization.yaml"]), &kustomization))
	for path, text := range written {
		assert.True(t, strings.HasPrefix(text, "# Written by relocate emit, with the digest sha256:"), path)
		switch {
		case strings.HasPrefix(path, "nodes/"):
		case path == "kustomization.yaml":
			objects(t, strings.SplitN(text, "\n", 2)[1])
		default:
			assert.Contains(t, kustomization.Resources, path)
			assert.Len(t, objects(t, strings.SplitN(text, "\n", 2)[1]), 1)
		}
	}
	assert.Len(t, kustomization.Resources, len(written)-5, "and no others: %v", slices.Sorted(maps.Keys(written)))
	assert.Equal(t, []string{"namespace.kapp-controller-packaging-global.yml", "secret.kapp-controller-packaging-global.pull-reg.airgap.test-5000.yml"}, kustomization.Resources[:2])
	golden(t, "emit-registries.conf", masked(host, strings.SplitN(written["nodes/registries.conf.d/relocate-reg.airgap.test-5000-tce-main.conf"], "\n", 2)[1]))
	golden(t, "emit-hosts.toml", strings.SplitN(written["nodes/containerd/certs.d/reg.airgap.test_5000_/hosts.toml"], "\n", 2)[1])
	block, _ := pem.Decode([]byte(written["nodes/containerd/certs.d/reg.airgap.test_5000_/ca.crt"]))
	_, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	assert.Contains(t, written["nodes/containerd/certs.d/reg.airgap.test_5000_/ca.crt"], certificate)

	assert.Equal(t, written["nodes/containerd/certs.d/reg.airgap.test_5000_/ca.crt"], written["nodes/containers/certs.d/reg.airgap.test_5000_/ca.crt"])
	assertAll(t, r.stderr, "copy nodes/containers/certs.d/reg.airgap.test_5000_/ca.crt", "/etc/containers/certs.d/reg.airgap.test:5000/ca.crt",
		"under the key reg.airgap.test..5000")

	r = mustRelocate(t, args...)
	assert.Contains(t, r.stderr, ", 0 of them written")
	assert.Equal(t, written, files(t, dir))

	// The Secret is filled in, and the next version comes.
	secret := "secret.kapp-controller-packaging-global.pull-reg.airgap.test-5000.yml"
	filled := strings.ReplaceAll(written[secret], "REPLACE-WITH-PASSWORD", "geheim")
	require.NoError(t, os.WriteFile(filepath.Join(dir, secret), []byte(filled), 0o600))
	r = mustRelocate(t, args...)
	assertAll(t, r.stderr, "Secret kapp-controller-packaging-global/pull-reg.airgap.test-5000 has placeholders", "Secret default/pull-reg.airgap.test-5000 has placeholders")
	filled = strings.ReplaceAll(filled, "REPLACE-WITH-USERNAME", "robot")
	require.NoError(t, os.WriteFile(filepath.Join(dir, secret), []byte(filled), 0o600))
	r = mustRelocate(t, args...)
	assert.NotContains(t, r.stderr, "Secret kapp-controller-packaging-global/pull-reg.airgap.test-5000 has placeholders", "it was filled in")
	assert.Contains(t, r.stderr, "Secret default/pull-reg.airgap.test-5000 has placeholders")
	s := site{t: t, host: host}
	s.bundle("corp/repository", "2.0.0", map[string]string{"packages/contour.yml": fixture(t, "contour-1.20.1.yml")})
	pkg := s.ref("p", s.bundle("p", "1", nil))
	s.bundle("corp/repository", "2.0.0", map[string]string{"packages/contour.yml": strings.ReplaceAll(fixture(t, "contour-1.20.1.yml"), "projects.registry.vmware.com/tce/contour@sha256:0128c3458d57cd637c198b3a6377bb1eca6e23301f27710ac29d9d0ee1c5bd09", pkg)}, pkg)
	newer := slices.Clone(args)
	newer[1] = export(t, host+"/corp/repository:2.0.0")
	refused := tryRelocate(t, newer...)
	assertFailed(t, refused, statusUsage, "relocate-reg.airgap.test-5000-tce-main.conf was written by another emit")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "nodes", "registries.conf.d")))
	require.NoError(t, os.Remove(filepath.Join(dir, "imagedigestmirrorset.reg.airgap.test-5000-tce-main.yml")))
	r = mustRelocate(t, newer...)
	assertAll(t, r.stderr, "kept "+secret, "nothing to mirror")
	now := files(t, dir)
	assert.Equal(t, filled, now[secret])
	repository := "packagerepository.kapp-controller-packaging-global.repository.yml"
	assert.NotEqual(t, written[repository], now[repository])
	assert.Contains(t, now[repository], "repository-version: 2.0.0")
	assert.Contains(t, now["kustomization.yaml"], secret)
}

// TestEmitKustomize: kubectl has the objects in the order that emit gives them, and not in kustomize's own.
func TestEmitKustomize(t *testing.T) {
	t.Parallel()
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("no kubectl")
	}
	file := export(t, pushPackages(t, startMemory(t, nil)))
	ca, _ := caFile(t)
	dir := t.TempDir()
	args := []string{"emit", file, "--to-repo", "reg.airgap.test/tce", "--with", "namespace,secret,secretexport,ca,idms,cluster-admin", "--registry-ca-cert-path", ca,
		"--install", contour, "--install", "tricky.corp.com"}
	want := kinds(objects(t, mustRelocate(t, args...).stdout))
	mustRelocate(t, append(args, "-d", dir)...)
	cmd := exec.CommandContext(t.Context(), kubectl, "kustomize", dir)
	cmd.Env = append(os.Environ(), "KUBECONFIG=/dev/null")
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, want, kinds(objects(t, string(out))))
}

// TestEmitPlainHTTP: without TLS nodes are told so, for the destination and no source; what no file can set is a note.
func TestEmitPlainHTTP(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	file := export(t, pushPackages(t, src.Addr))
	repo := dst.Addr + "/airgap"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo)
	dir := t.TempDir()
	emit := func(repo string, args ...string) result {
		return mustRelocate(t, append([]string{"emit", file, "--to-repo", repo, "--registry-insecure", "-d", filepath.Join(dir, "at", repo)}, args...)...)
	}
	r := emit(repo, "--with", "registries-conf,hosts-toml")
	assert.NotContains(t, r.stderr, "cannot fetch", "loopback")
	written := files(t, filepath.Join(dir, "at", repo))
	conf := written["nodes/registries.conf.d/relocate-"+strings.ReplaceAll(dst.Addr, ":", "-")+"-airgap.conf"]
	assert.NotEmpty(t, conf)
	d := dumpReal(t, src, "")
	src.Stop()
	image := d.tags["corp/images/app:1"]
	require.NotEmpty(t, image, "%v", d.tags)
	if skopeo, err := exec.LookPath("skopeo"); err == nil && !testing.Short() { // which reads the file as CRI-O does
		path := filepath.Join(dir, "registries.conf")
		require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
		for _, ref := range []string{src.Addr + "/corp/images/app@" + image, repo + "@" + image} {
			out, err := exec.CommandContext(t.Context(), skopeo, "--registries-conf", path, "inspect", "--raw", "docker://"+ref).CombinedOutput()
			require.NoError(t, err, "%s: %s", ref, out)
			assert.Equal(t, image, digestOf(string(out)), ref)
		}
	}

	r = emit("reg.airgap.test:5000/tce", "--with", "idms")
	assertAll(t, r.stderr, "kapp-controller cannot fetch from reg.airgap.test:5000", "spec.registrySources.insecureRegistries")
	ca, _ := caFile(t)
	assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", repo, "--registry-insecure", "--with", "ca", "--registry-ca-cert-path", ca), statusUsage, "plain HTTP has no certificates")
}

// TestEmitCRLF: files with the line ends of a checkout on Windows are emit's own, and a change is a change; other files that
// people keep in git are read the same.
func TestEmitCRLF(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	ca, _ := caFile(t)
	dir := t.TempDir()
	args := []string{"emit", file, "--to-repo", "reg.airgap.test/tce", "-d", dir, "--with", "secret,ca,idms,registries-conf,hosts-toml", "--registry-ca-cert-path", ca}
	mustRelocate(t, args...)
	crlf := func(text string) string { return strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "\r\n") }
	for path, text := range files(t, dir) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(crlf(text)), 0o600))
	}
	checkout := files(t, dir)
	r := mustRelocate(t, args...)
	assertAll(t, r.stderr, ", 0 of them written")
	assert.NotContains(t, r.stderr, "changed by hand")
	assert.Equal(t, checkout, files(t, dir))

	lock := filepath.Join(t.TempDir(), "lock.yml")
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nbundle:\n  image: private.test/x@" + digestOf("x") + "\n  tag: v1\nkind: BundleLock\n"
	dir = t.TempDir()
	emitted := filepath.Join(dir, "packagerepository.kapp-controller-packaging-global.a.yml")
	for i, text := range []string{text, crlf(text), crlf(strings.ReplaceAll(text, "v1\n", "v2\n"))} {
		require.NoError(t, os.WriteFile(lock, []byte(text), 0o600))
		r := mustRelocate(t, "emit", "--lock", lock, "--name", "a", "-d", dir)
		assert.Contains(t, r.stderr, []string{", 2 of them written", ", 0 of them written", ", 1 of them written"}[i])
		got, err := os.ReadFile(emitted)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(emitted, []byte(crlf(string(got))), 0o600))
	}
	got, err := os.ReadFile(emitted)
	require.NoError(t, err)
	assert.Contains(t, string(got), "repository-version: v2\r\n")
	require.NoError(t, os.WriteFile(emitted, append(got, "# mine\r\n"...), 0o600))
	assertFailed(t, tryRelocate(t, "emit", "--lock", lock, "--name", "a", "-d", dir), statusUsage, "was changed since emit wrote it")
}

// TestNestedSecrets: objects inside packages that fetch images get a login from secretgen-controller only; whoever names a Secret
// for the repository is told, unless there is a SecretExport, or each object names a Secret.
func TestNestedSecrets(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	const (
		install = "---\napiVersion: packaging.carvel.dev/v1alpha1\nkind: PackageInstall\nmetadata:\n  name: a\n%sspec:\n  packageRef: {refName: nested.corp.com}\n"
		fetches = "---\napiVersion: packaging.carvel.dev/v1alpha1\nkind: PackageRepository\nspec: {fetch: {imgpkgBundle: {image: %s%s}}}\n"
		app     = "---\napiVersion: kappctrl.k14s.io/v1alpha1\nkind: App\nspec: {fetch: [{inline: {}}, {imgpkgBundle: {image: %s%s}}]}\n"
		named   = ", secretRef: {name: pull}"
	)
	image := s.ref("img/a", s.image("img/a", "1", "a"))
	repository := func(tag, objects string) string {
		pkg := s.ref("pkg/nested", s.bundle("pkg/nested", tag, map[string]string{"config/objects.yml": objects}, image))
		s.bundle("corp/repository", tag, map[string]string{"packages/nested.yml": packageText("nested.corp.com", "1.0.0", pkg)}, pkg)
		return host + "/corp/repository:" + tag
	}
	needy := repository("1", fmt.Sprintf(install, "")+fmt.Sprintf(fetches, image, "")+fmt.Sprintf(app, image, ""))
	served := repository("2", fmt.Sprintf(install, "  annotations: {ext.packaging.carvel.dev/fetch-0-secret-name: pull}\n")+
		fmt.Sprintf(fetches, image, named)+fmt.Sprintf(app, image, named))
	const says = "fetch images and name no Secret (3): if reg.airgap.test needs a login"
	for root, note := range map[string]bool{needy: true, served: false} {
		file := export(t, root)
		emit := []string{"emit", file, "--to-repo", "reg.airgap.test/tce"}
		for _, args := range [][]string{{"--with", "secret"}, {"--secret-ref", "pull"}} {
			r := mustRelocate(t, append(emit, args...)...)
			assert.Equal(t, note, strings.Contains(r.stderr, says), "%s %s: %s", root, args, r.stderr)
		}
		for _, args := range [][]string{nil, {"--with", "secret,secretexport"}, {"--secret-ref", "pull", "--with", "secretexport"}} {
			assert.NotContains(t, mustRelocate(t, append(emit, args...)...).stderr, "name no Secret", "%s %s", root, args)
		}
		for _, source := range [][]string{{"--from-tar", file}, {"-b", root}} {
			r := mustRelocate(t, append(source, "--to-repo", host+"/private", "--secret-ref", "pull")...)
			assert.Equal(t, note, strings.Contains(r.stderr, "name no Secret (3)"), "%s: %s", source, r.stderr)
		}
	}
}

// TestEmitForeignFiles: when a file is in the way, nothing at all is written.
func TestEmitForeignFiles(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	repository := "packagerepository.kapp-controller-packaging-global.repository.yml"
	for name, spoil := range map[string]func(dir string) error{
		"foreign":       func(dir string) error { return os.WriteFile(filepath.Join(dir, repository), []byte("mine\n"), 0o600) },
		"kustomization": func(dir string) error { return os.WriteFile(filepath.Join(dir, "kustomization.yaml"), nil, 0o600) },
		"link":          func(dir string) error { return os.Symlink("/etc/hostname", filepath.Join(dir, repository)) },
		"folder":        func(dir string) error { return os.Mkdir(filepath.Join(dir, repository), 0o700) },
		"edited": func(dir string) error {
			mustRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "-d", dir)
			text, err := os.ReadFile(filepath.Join(dir, repository))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, repository), append(text, "# mine\n"...), 0o600)
		},
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("mine, too"), 0o600))
		require.NoError(t, spoil(dir))
		before := listing(t, dir)
		r := tryRelocate(t, "emit", file, "--to-repo", "reg.airgap.test/tce", "-d", dir, "--with", "namespace")
		assertFailed(t, r, statusUsage, "nothing was written")
		assert.Equal(t, before, listing(t, dir), name)
	}
}

// listing is what is below dir: modes, sizes and times.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		all[path] = fs.FormatFileInfo(info) + info.ModTime().String()
		return err
	}))
	return all
}

// TestEmitUsage: what cannot be meant.
func TestEmitUsage(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	key := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), 0o600))
	lock := filepath.Join(t.TempDir(), "lock.yml")
	require.NoError(t, os.WriteFile(lock, []byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nbundle:\n  image: private.test/x@"+digestOf("x")+"\nkind: BundleLock\n"), 0o600))
	for name, c := range map[string]struct {
		args  []string
		parts []string
	}{
		"with":            {[]string{"--with", "everything"}, []string{"--with everything", "secretexport"}},
		"itms":            {[]string{"--with", "itms"}, []string{"--with itms", "without their tags"}},
		"api":             {[]string{"--api", "v1"}, []string{"--api v1"}},
		"old-namespace":   {[]string{"--api", "install.package.carvel.dev/v1alpha1", "--namespace", "a"}, []string{"no namespace"}},
		"export-of-what":  {[]string{"--with", "secretexport"}, []string{"needs a Secret"}},
		"ca-none":         {[]string{"--with", "ca"}, []string{"--registry-ca-cert-path"}},
		"ca-for-what":     {[]string{"--registry-ca-cert-path", key}, []string{"--with ca"}},
		"ca-key":          {[]string{"--with", "ca", "--registry-ca-cert-path", key}, []string{"PRIVATE KEY"}},
		"ca-text":         {[]string{"--with", "ca", "--registry-ca-cert-path", lock}, []string{"no certificate"}},
		"ca-absent":       {[]string{"--with", "ca", "--registry-ca-cert-path", "none.pem"}, []string{"none.pem"}},
		"admin-of-what":   {[]string{"--with", "cluster-admin"}, []string{"--install"}},
		"home-of-what":    {[]string{"--install-namespace", "a"}, []string{"--install"}},
		"nodes-to-stdout": {[]string{"--with", "registries-conf"}, []string{"-d"}},
		"bad-namespace":   {[]string{"--with", "namespace", "--install", contour, "--install-namespace", "a.b"}, []string{"a.b"}},
		"bad-controller":  {[]string{"--with", "ca", "--registry-ca-cert-path", key, "--kapp-controller-namespace", "A"}, []string{`"A"`}},
	} {
		t.Run(name, func(t *testing.T) {
			assertFailed(t, tryRelocate(t, append([]string{"emit", file, "--to-repo", "reg.airgap.test/tce"}, c.args...)...), statusUsage, c.parts...)
		})
	}
	for _, args := range [][]string{{"--with", "idms"}, {"--install", contour}} {
		assertFailed(t, tryRelocate(t, append([]string{"emit", "--lock", lock, "--name", "a"}, args...)...), statusUsage, "need an archive")
	}
	r := mustRelocate(t, "emit", "--lock", lock, "--name", "a", "--with", "secret,secretexport")
	assert.Equal(t, []string{"Secret kapp-controller-packaging-global/pull-private.test", "SecretExport kapp-controller-packaging-global/pull-private.test",
		"PackageRepository kapp-controller-packaging-global/a"}, kinds(objects(t, r.stdout)))
}
