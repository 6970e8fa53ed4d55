package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestEmitJob: the Jobs are named after the archive's seal, come before what needs the import, and take it from
// where they are told. The same flags give the same text.
func TestEmitJob(t *testing.T) {
	t.Parallel()
	file := export(t, pushPackages(t, startMemory(t, nil)))
	seal := strings.TrimPrefix(sealIn(t, file), "sha256:")[:12]
	ca, _ := caFile(t)
	base := []string{"emit", file, "--to-repo", "reg.airgap.test:5000/tce/main", "--job-image", "reg.airgap.test:5000/relocate@sha256:" + strings.Repeat("a", 64)}
	args := append(base, "--with", "namespace,secret,import-job=4", "--job-source", "url-secret:archive", "--registry-ca-cert-path", ca, "--kubernetes-version", "v1.25.3", "--name", "tce")
	r := mustRelocate(t, args...)
	assert.Equal(t, []string{
		"Namespace kapp-controller-packaging-global", "Namespace relocate", "Secret kapp-controller-packaging-global/pull-reg.airgap.test-5000",
		"Secret relocate/push-reg.airgap.test-5000", "Secret relocate/archive", "ConfigMap relocate/relocate-ca", "ServiceAccount relocate/relocate-import",
		"Job relocate/import-" + seal + "-shards", "Job relocate/import-" + seal, "PackageRepository kapp-controller-packaging-global/tce",
	}, kinds(objects(t, r.stdout)))
	assertAll(t, r.stdout, "--shard", "auto/4", "--await-blobs", "- --name\n        - tce\n")
	assert.NotContains(t, r.stdout, "podFailurePolicy")
	assertAll(t, r.stderr, "Secret relocate/archive has placeholders: replace REPLACE-WITH-URL", "Secret relocate/push-reg.airgap.test-5000 has placeholders",
		"log in with the Secret relocate/push-reg.airgap.test-5000")
	assert.Equal(t, r.stdout, mustRelocate(t, args...).stdout)

	r = mustRelocate(t, append(base, "--with", "import-job", "--job-source", "pvc:disk/tce.tar", "--job-namespace", "transfer")...)
	assert.Equal(t, []string{"ServiceAccount transfer/relocate-import", "Job transfer/import-" + seal, "PackageRepository kapp-controller-packaging-global/repository"},
		kinds(objects(t, r.stdout)))
	assertAll(t, r.stdout, "/archive/tce.tar", "podFailurePolicy")
	assert.NotContains(t, r.stdout, "await-blobs")

	r = mustRelocate(t, "emit", file, "--to-repo", "reg.airgap.test:5000/tce/main", "--job-image", "tools.airgap.test/relocate:1", "--with", "import-job",
		"--job-source", "url-secret:archive", "--registry-insecure", "--registry-ca-cert-path", ca)
	assertAll(t, r.stdout, "--registry-insecure", "BEGIN CERTIFICATE") // of the archive's server
	assertAll(t, r.stderr, "by a tag, which may change", "image is at tools.airgap.test")

	for says, wrong := range map[string][]string{
		"need --with import-job":             nil,
		"say where the archive is":           {"--with", "import-job"},
		"give import-job once":               {"--with", "import-job=2", "--with", "import-job=3", "--job-source", "url-secret:a"},
		"is at Docker Hub":                   {"--with", "import-job", "--job-image", "relocate:1", "--job-source", "url-secret:a"},
		"relative to the volume's root":      {"--with", "import-job", "--job-source", "pvc:a//b"},
		"number of shards":                   {"--with", "import-job=0", "--job-source", "pvc:a/b"},
		"at most 1000 shards":                {"--with", "import-job=1001", "--job-source", "url-secret:a"},
		"must be one of":                     {"--with", "import-jobs=2", "--job-source", "pvc:a/b"},
		"is not url-secret:NAME":             {"--with", "import-job", "--job-source", "https://store.test/tce.tar"},
		"that is RWO is on one":              {"--with", "import-job=2", "--job-source", "pvc:a/b"},
		"must be a version":                  {"--with", "import-job=2", "--job-source", "url-secret:a", "--kubernetes-version", "new"},
		"no Indexed Jobs in Kubernetes 1.19": {"--with", "import-job=2", "--job-source", "url-secret:a", "--kubernetes-version", "1.19"},
		"name the image with relocate":       {"--with", "import-job", "--job-image", "", "--job-source", "url-secret:a"},
		"image of the Job":                   {"--with", "import-job", "--job-image", "A B", "--job-source", "url-secret:a"},
		"import-job needs an archive":        {"--with", "import-job", "--job-source", "url-secret:a", "--lock", "lock.yml"},
		"--registry-ca-cert-path needs":      {"--registry-ca-cert-path", ca, "--job-image", ""},
		"is not a DNS-1123 label":            {"--with", "import-job", "--job-source", "url-secret:a", "--job-namespace", "a.b"},
	} {
		args := append([]string{}, base...)
		if strings.HasPrefix(says, "import-job needs") {
			args = append([]string{"emit"}, base[4:]...)
		}
		assertFailed(t, tryRelocate(t, append(args, wrong...)...), statusUsage, says)
	}
}
