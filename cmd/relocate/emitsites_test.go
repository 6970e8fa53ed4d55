package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sitesFile writes a file of sites.
func sitesFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sites.yml")
	require.NoError(t, os.WriteFile(file, []byte("apiVersion: relocate/v1alpha1\nkind: Sites\n"+text), 0o600))
	return file
}

const twoSites = `sites:
- name: oslo
  repository: reg.oslo.test/tce/main
  secretRef: oslo-login
- name: lima
  repository: reg.lima.test:5000/tce
  ca: lima.pem
`

// TestEmitSites: a site is applied from a folder of its own, and gets what emit gives it alone; what all have in common is in
// base, once.
func TestEmitSites(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	ca, certificate := caFile(t)
	sites := sitesFile(t, twoSites)
	require.NoError(t, os.Rename(ca, filepath.Join(filepath.Dir(sites), "lima.pem")))
	dir := t.TempDir()
	args := []string{"--with", "namespace,secret,ca,hosts-toml,cluster-admin", "--install", contour, "--install-namespace", "apps"}
	emit := append([]string{"emit", file, "--sites", sites, "-d", dir}, args...)
	r := mustRelocate(t, emit...)
	assert.Empty(t, r.stdout)
	assertAll(t, r.stderr, "files for 2 sites in "+dir, "kubectl apply -k "+dir+"/sites/NAME", "note: oslo: the Secret apps/oslo-login has placeholders",
		"note: lima: the Secret kapp-controller-config in kapp-controller replaces caCerts", "\nnote: keep the name")
	assert.Equal(t, 1, strings.Count(r.stderr, "note: keep the name"), "what is about all sites is said once")
	written := files(t, dir)
	assert.Contains(t, written, "base/secret.apps.contour-values.yml")
	assert.Contains(t, written, "sites/oslo/packageinstall.apps.contour.yml", "it names the Secret of the site")
	assert.Contains(t, written["sites/oslo/packageinstall.apps.contour.yml"], "oslo-login")
	assert.Contains(t, written["sites/lima/nodes/containerd/certs.d/reg.lima.test_5000_/ca.crt"], certificate)
	assert.NotContains(t, written, "sites/oslo/secret.kapp-controller.kapp-controller-config.yml")

	if kubectl, err := exec.LookPath("kubectl"); err == nil {
		for site, with := range map[string][]string{
			"oslo": {"--to-repo", "reg.oslo.test/tce/main", "--secret-ref", "oslo-login", "--with", "namespace,secret,hosts-toml,cluster-admin"},
			"lima": {"--to-repo", "reg.lima.test:5000/tce", "--registry-ca-cert-path", filepath.Join(filepath.Dir(sites), "lima.pem"), "--with", "namespace,secret,ca,hosts-toml,cluster-admin"},
		} {
			alone := filepath.Join(t.TempDir(), "alone")
			mustRelocate(t, slices.Concat([]string{"emit", file, "-d", alone}, with, args[2:])...)
			build := func(folder string) []string {
				out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", folder).Output()
				require.NoError(t, err)
				docs := strings.Split(string(out), "\n---\n")
				for i := range docs {
					docs[i] = strings.TrimSpace(docs[i])
				}
				slices.Sort(docs)
				return docs
			}
			assert.Equal(t, build(alone), build(filepath.Join(dir, "sites", site)), site)
		}
	}

	// Secrets that were filled in stay; a site that is no longer in the file goes with --prune.
	secret := filepath.Join(dir, "sites", "oslo", "secret.apps.oslo-login.yml")
	text, err := os.ReadFile(secret)
	require.NoError(t, err)
	filled := strings.NewReplacer("REPLACE-WITH-USERNAME", "robot", "REPLACE-WITH-PASSWORD", "geheim").Replace(string(text))
	require.NoError(t, os.WriteFile(secret, []byte(filled), 0o600))
	require.NoError(t, os.WriteFile(sites, []byte("apiVersion: relocate/v1alpha1\nkind: Sites\n"+twoSites[:strings.Index(twoSites, "- name: lima")]), 0o600))
	assertFailed(t, tryRelocate(t, emit...), statusUsage, "sites/lima/kustomization.yaml was written by another emit", "--prune", "nothing was written")
	r = mustRelocate(t, append(emit, "--prune")...)
	assertAll(t, r.stderr, "note: kept sites/oslo/secret.apps.oslo-login.yml", "note: removed sites/lima/kustomization.yaml", "0 of them written")
	assert.NotContains(t, r.stderr, "Secret apps/oslo-login has placeholders", "it was filled in")
	assert.Contains(t, r.stderr, "note: the Secret kapp-controller-packaging-global/oslo-login has placeholders")
	assert.NoDirExists(t, filepath.Join(dir, "sites", "lima"))
	assert.Equal(t, filled, files(t, dir)["sites/oslo/secret.apps.oslo-login.yml"])

	alone := tryRelocate(t, "emit", file, "--to-repo", "reg.oslo.test/tce/main", "-d", dir, "--prune")
	assertFailed(t, alone, statusUsage, "sites/oslo/kustomization.yaml belongs to an emit that writes to this folder with --sites", "nothing was written")
	mustRelocate(t, "emit", file, "--sites", sites, "-d", filepath.Join(dir, "bare")) // base is empty, and left out
	assert.NotContains(t, files(t, filepath.Join(dir, "bare"))["sites/oslo/kustomization.yaml"], "base")
}

// TestEmitSitesSecrets: a PackageInstall is in base where no site has a Secret for it, and else in the folder of each.
func TestEmitSitesSecrets(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	const without = "sites:\n- name: oslo\n  repository: reg.oslo.test/tce\n- name: lima\n  repository: reg.lima.test/tce\n"
	for text, where := range map[string][]string{
		without:                          {"base"},
		without + "  secretRef: login\n": {"sites/lima", "sites/oslo"},
		strings.Replace(without, "- name: lima", "  secretRef: login\n- name: lima", 1): {"sites/lima", "sites/oslo"},
	} {
		dir := t.TempDir()
		mustRelocate(t, "emit", file, "--sites", sitesFile(t, text), "-d", dir, "--install", contour)
		var found []string
		for path := range files(t, dir) {
			if folder, ok := strings.CutSuffix(path, "/packageinstall.default.contour.yml"); ok {
				found = append(found, folder)
			}
		}
		slices.Sort(found)
		assert.Equal(t, where, found, text)
	}
}

// TestSitesUsage: what cannot be meant is an error with the line, and nothing is written.
func TestSitesUsage(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	dir := filepath.Join(t.TempDir(), "none")
	good := sitesFile(t, twoSites)
	base := []string{"emit", file, "-d", dir, "--sites"}
	for says, args := range map[string][]string{
		"--sites and --to-repo cannot be used together":     append(base, good, "--to-repo", "reg.test/a"),
		"each site has a login of its own":                  append(base, good, "--with", "secret", "--secret-from-login", "--registry-username", "a", "--registry-password", "b"),
		"name the folder of all with -d DIR":                {"emit", file, "--sites", good},
		"--sites needs an archive":                          {"emit", "--lock", good, "--sites", good, "-d", dir},
		"lima.pem: no such file":                            append(base, good, "--with", "ca"),
		"site lima: ca is used only by --with ca":           append(base, good),
		"site oslo: --with import-job: name the image":      append(base, good, "--with", "import-job"),
		"site a: jobImage, jobSource, shards and receipts":  append(base, sitesFile(t, "sites:\n- name: a\n  repository: a.test/b\n  jobImage: c.test/relocate:1\n")),
		"receiptKey needs receipts":                         append(base, sitesFile(t, "sites:\n- name: a\n  repository: a.test/b\n  receiptKey: c\n")),
		"receipts: \"x\" is not url-secret:NAME":            append(base, sitesFile(t, "sites:\n- name: a\n  repository: a.test/b\n  receipts: x\n"), "--with", "import-job", "--job-image", "a.test/b", "--job-source", "pvc:a/b"),
		":6: sites[1]: name is missing":                     append(base, sitesFile(t, "sites:\n- name: a\n  repository: a.test/b\n- repository: a.test/c\n")),
		":6: sites[1]: a is already sites[0]":               append(base, sitesFile(t, "sites:\n- name: a\n  repository: a.test/b\n- name: a\n  repository: a.test/c\n")),
		"sites[1]: a.test/b is already that of":             append(base, sitesFile(t, "sites:\n- name: a\n  repository: a.test/b\n- name: b\n  repository: a.test/b\n")),
		`sites[0].name: "../a": must have lower-case`:       append(base, sitesFile(t, "sites:\n- name: ../a\n  repository: a.test/b\n")),
		"must not contain logins":                           append(base, sitesFile(t, "sites:\n- name: a\n  password: b\n")),
		"has no site":                                       append(base, sitesFile(t, "seal: "+digestOf("x")+"\n")),
		"is for the archive with the seal " + digestOf("x"): append(base, sitesFile(t, "seal: "+digestOf("x")+"\n"+twoSites)),
	} {
		assertFailed(t, tryRelocate(t, args...), statusUsage, says)
		assert.NoDirExists(t, dir)
	}
}

// TestSiteJob: what the Job of a site runs, with the archive on one volume and the receipts on another, leaves receipts by
// which sites status says that the site is done.
func TestSiteJob(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	archive := export(t, pushSample(t, host))
	dir, volume := t.TempDir(), t.TempDir()
	sites := sitesFile(t, "seal: "+sealIn(t, archive)+`
sites:
- name: oslo
  repository: `+host+`/oslo
  jobImage: reg.oslo.test/relocate:1
  jobSource: pvc:media/`+filepath.Base(archive)+`
  receipts: pvc:disk/receipts
- name: lima
  repository: reg.lima.test/tce
  shards: 3
  receipts: url-secret:lima-receipts
  receiptKey: lima-key
`)
	r := mustRelocate(t, "emit", archive, "--sites", sites, "-d", dir, "--with", "secret,import-job", "--job-image", "reg.hub.test/relocate:1", "--job-source", "url-secret:archive")
	assertAll(t, r.stderr, "note: lima: the Secret relocate/lima-key has placeholders: replace REPLACE-WITH-RECEIPT-KEY", "note: lima: the Secret relocate/lima-receipts has placeholders: replace REPLACE-WITH-URL")
	written := files(t, dir)
	job := "job.relocate.import-" + strings.TrimPrefix(sealIn(t, archive), "sha256:")[:12]
	assertAll(t, written["sites/lima/"+job+"-shards.yml"], "reg.hub.test/relocate:1", "auto/3")
	oslo := "sites/oslo/" + job + ".yml"
	assertAll(t, written[oslo], "image: reg.oslo.test/relocate:1")
	assert.NotContains(t, written, "sites/oslo/"+job+"-shards.yml")

	spec := objects(t, strings.SplitN(written[oslo], "\n", 2)[1])[0].Spec["template"].(map[string]any)["spec"].(map[string]any)
	require.NoError(t, os.Mkdir(filepath.Join(volume, "receipts"), 0o700))
	for _, containers := range []string{"initContainers", "containers"} {
		var args []string
		for _, arg := range spec[containers].([]any)[0].(map[string]any)["args"].([]any) {
			args = append(args, strings.NewReplacer("/archive", filepath.Dir(archive), "/receipts/", volume+"/").Replace(arg.(string)))
		}
		mustRelocate(t, args...)
	}
	r = tryRelocate(t, "sites", "status", sites, "--receipts", filepath.Join(volume, "receipts"))
	assert.Equal(t, statusMissing, r.status)
	assertAll(t, r.stdout, "1 of 2 sites", "\noslo  closed      asked for ", "\nlima  never seen")
}
