package main

import (
	"fmt"
	"io"
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
)

// TestEmitJobRuns runs what the Jobs run: each container of each Pod, with files where its volumes would be. The
// archive comes from a server, and the receipts go to one (TestSiteJob: to a volume). The second Pod of a shard
// uploads nothing, and nothing is visible before the import.
func TestEmitJobRuns(t *testing.T) {
	skipShort(t)
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	registry := startReal(t)
	repo, uploaded := registry.Addr+"/private", ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			text, _ := io.ReadAll(r.Body)
			uploaded = string(text)
			return
		}
		http.ServeFile(w, r, file)
	}))
	t.Cleanup(server.Close)
	volumes, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(volumes, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(volumes, path), []byte(text), 0o644))
	}
	write("etc/relocate/source/url", server.URL+"/repository.tar?signature=secret\n")
	write("etc/relocate/receipts/url", server.URL+"/oslo.receipts.jsonl")
	write("etc/relocate/key/password", "open")
	write("receipts/unused", "")
	key := filepath.Join(volumes, "etc/relocate/key/receipt")
	mustRelocate(t, "key", "new", key, "--password-file", filepath.Join(volumes, "etc/relocate/key/password"))

	sites := sitesFile(t, "sites:\n- {name: oslo, repository: "+repo+", shards: 2, receipts: 'url-secret:receipts', receiptKey: oslo-key}\n")
	mustRelocate(t, "emit", file, "--sites", sites, "-d", dir, "--with", "import-job", "--job-image", "reg.airgap.test/relocate:1", "--job-source", "url-secret:archive")
	own, err := program()
	require.NoError(t, err)
	run := func(container any, index int) string {
		var args []string
		for _, arg := range container.(map[string]any)["args"].([]any) {
			switch arg := fmt.Sprint(arg); {
			case strings.HasPrefix(arg, "/"):
				args = append(args, filepath.Join(volumes, arg))
			case arg == "10m": // of --await-blobs
				args = append(args, "1ms")
			default:
				args = append(args, arg)
			}
		}
		cmd := exec.Command(own, args...)
		cmd.Env = append(os.Environ(), fmt.Sprint("JOB_COMPLETION_INDEX=", index))
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v\n%s", args, text)
		assert.NotContains(t, string(text), "secret")
		return string(text)
	}
	var shards, finish map[string]any
	for name, text := range files(t, filepath.Join(dir, "sites", "oslo")) {
		if !strings.HasPrefix(name, "job.") {
			continue
		}
		_, text, _ = strings.Cut(text, "\n")
		pod := objects(t, text)[0].Spec["template"].(map[string]any)["spec"].(map[string]any)
		if strings.HasSuffix(name, "-shards.yml") {
			shards = pod
		} else {
			finish = pod
		}
	}
	for index := range 2 {
		assert.Contains(t, run(shards["containers"].([]any)[0], index), fmt.Sprintf("shard %d/2", index))
	}
	assert.Contains(t, run(shards["containers"].([]any)[0], 1), "uploaded 0 layers and configs")
	manifests := func() bool {
		return slices.ContainsFunc(registry.Requests(), func(r string) bool { return strings.HasPrefix(r, "201 PUT /v2/private/manifests/") })
	}
	assert.False(t, manifests(), "nothing is visible before the import")
	assert.Contains(t, run(finish["initContainers"].([]any)[0], 0), "uploaded         0 layers and configs")
	assert.True(t, manifests())
	run(finish["containers"].([]any)[0], 0)
	receipts := filepath.Join(volumes, "oslo.receipts.jsonl")
	require.NoError(t, os.WriteFile(receipts, []byte(uploaded), 0o644))
	r := mustRelocate(t, "receipts", receipts, "--trust", filepath.Join(volumes, "etc/relocate/key/receipt.pub"))
	assertAll(t, r.stdout, "imported", "verified", repo)
}
