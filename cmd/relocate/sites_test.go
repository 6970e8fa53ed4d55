package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

// TestSitesStatus: a site is what its last receipt says of its repository, if it is signed by somebody who is trusted.
func TestSitesStatus(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	dir := t.TempDir()
	key, public := pemKey(t, dir, "site", newP256(t)), filepath.Join(dir, "site.pub")
	archive, older := export(t, pushSample(t, host)), export(t, pushPackages(t, host))
	receipts := func(site string) string { return filepath.Join(dir, site+".receipts.jsonl") }
	signed := func(site string, args ...string) {
		t.Helper()
		mustRelocate(t, append(args, "--receipt-key", key+".key", "--receipts", receipts(site))...)
	}
	imported := func(site, archive string) {
		t.Helper()
		signed(site, "--from-tar", archive, "--to-repo", host+"/"+site)
	}
	verified := func(site, archive string, args ...string) {
		t.Helper()
		signed(site, append([]string{"verify", "--repo", host + "/" + site, archive, "--no-render"}, args...)...)
	}
	seal := strings.TrimSpace(readText(t, archive+".seal"))
	text := "seal: " + seal + "\nsites:\n"
	for _, site := range []string{"closed", "importing", "unseen", "other", "failed"} {
		text += "- name: " + site + "\n  repository: " + host + "/" + site + "\n"
	}
	file := sitesFile(t, text)
	base := []string{"sites", "status", file, "--receipts", dir}
	imported("other", older)
	imported("closed", older)
	tryRelocate(t, "verify", "--repo", host+"/closed", older, "--no-render", "--receipt-key", key+".key", "--receipts", receipts("closed")) // has findings
	tryRelocate(t, "verify", "--repo", host+"/failed", archive, "--no-render", "--receipt-key", key+".key", "--receipts", receipts("failed"))
	imported("closed", archive)
	verified("closed", archive)
	imported("importing", archive)
	states := func(r result) map[string]custody.SiteState {
		t.Helper()
		var report sitesReport
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &report))
		all := map[string]custody.SiteState{}
		for _, s := range report.Sites {
			all[s.Name] = s.State
		}
		return all
	}
	want := map[string]custody.SiteState{"closed": custody.SiteClosed, "importing": custody.SiteImporting, "unseen": custody.SiteUnseen, "other": custody.SiteOther, "failed": custody.SiteFailed}
	r := tryRelocate(t, append(base, "--trust", public)...)
	assert.Equal(t, statusMissing, r.status)
	assertAll(t, r.stdout, "NOT OK: "+seal+" is complete at 1 of 5 sites in "+file, "other: note: it has the archive with the seal "+sealIn(t, older), "that layers are present at closed", "\nimporting  importing ", "\nunseen     never seen  -", "\nother      other root ", "not proved")
	assert.NotContains(t, r.stdout, "--trust was not given")
	r = tryRelocate(t, append(base, "-o", "json")...)
	assert.Equal(t, want, states(r))
	assert.Contains(t, r.stdout, "who wrote the receipts: --trust was not given")

	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	assert.Equal(t, want, states(tryRelocate(t, "sites", "status", file, "-o", "json", "--receipts", server.URL+"/?sig=hunter2")))

	for _, nowhere := range []string{server.URL + "/none/", t.TempDir()} {
		assert.Contains(t, tryRelocate(t, "sites", "status", file, "--receipts", nowhere).stdout, "note: "+nowhere+" has receipts of none of the sites, such as closed.receipts.jsonl: check --receipts")
	}

	// What another site's receipts say, and what a stranger signs, does not count.
	require.NoError(t, os.WriteFile(receipts("unseen"), []byte(readText(t, receipts("closed"))), 0o600))
	assertAll(t, tryRelocate(t, base...).stdout, "unseen: note: it has 4 receipts, but none is about "+host+"/unseen")
	assert.Equal(t, want, states(tryRelocate(t, append(base, "-o", "json")...)))
	stranger := pemKey(t, dir, "stranger", newP256(t))
	mustRelocate(t, "verify", "--repo", host+"/importing", archive, "--no-render", "--receipt-key", stranger+".key", "--receipts", receipts("importing"))
	r = tryRelocate(t, append(base, "-o", "json", "--trust", public)...)
	assert.Equal(t, statusUntrusted, r.status)
	assert.Equal(t, want, states(r))

	verified("importing", archive, "--level", "blobs")
	r = tryRelocate(t, append(base, "--trust", public)...)
	assert.Equal(t, statusMissing, r.status, "somebody who is trusted has verified it since")
	assertAll(t, r.stdout, "\nimporting  closed      asked for ", "2 of 5 sites")

	// A line that was removed shows, and all sites that are done are no error.
	lines := strings.SplitAfter(readText(t, receipts("closed")), "\n")
	require.NoError(t, os.WriteFile(receipts("closed"), []byte(strings.Join(append(lines[:2:2], lines[3:]...), "")), 0o600))
	r = tryRelocate(t, base...)
	assert.Equal(t, statusDamage, r.status)
	assertAll(t, r.stdout, "closed: wrong: line 3: it names a receipt before it that is not here")
	require.NoError(t, os.WriteFile(receipts("closed"), []byte(strings.Join(lines, "")), 0o600))
	only := sitesFile(t, "seal: "+seal+"\nsites:\n- name: closed\n  repository: "+host+"/closed\n")
	assertAll(t, mustRelocate(t, "sites", "status", only, "--receipts", dir, "--trust", public).stdout, " is complete at 1 of 1 site in ")

	assertFailed(t, tryRelocate(t, "sites", "status", sitesFile(t, twoSites)), statusUsage, "has no seal")
	assertFailed(t, tryRelocate(t, "sites", "status", file, "--receipts", filepath.Join(dir, "none")), statusUsage, "--receipts: ", "no such file")
	assertFailed(t, tryRelocate(t, "sites", "status"), statusUsage, "name one sites file")
	assertFailed(t, tryRelocate(t, "sites"), statusUsage, "write sites status FILE")
}

// TestUnsignedReceipts: without a key receipts are not signed, which is enough where nobody must be trusted, and nothing where
// --trust is given. They are uploaded whole, and the URL stays secret.
func TestUnsignedReceipts(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	dir := t.TempDir()
	archive := export(t, pushSample(t, host))
	var uploads []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || r.URL.RawQuery != "sig=hunter2" || r.URL.Path != "/oslo.receipts.jsonl" {
			http.Error(w, "<Code>AccessDenied</Code> sig=hunter2", http.StatusForbidden)
			return
		}
		uploads = append(uploads, string(body))
	}))
	defer server.Close()
	url, file := filepath.Join(dir, "url"), filepath.Join(dir, "oslo.receipts.jsonl")
	require.NoError(t, os.WriteFile(url, []byte(server.URL+"/oslo.receipts.jsonl?sig=hunter2\n"), 0o600))
	receipts := []string{"--receipts", file, "--receipts-url-file", url, "--receipt-no-host"}
	mustRelocate(t, append([]string{"--from-tar", archive, "--to-repo", host + "/oslo"}, receipts...)...)
	mustRelocate(t, append([]string{"verify", "--repo", host + "/oslo", archive, "--no-render"}, receipts...)...)
	require.Len(t, uploads, 2)
	assert.True(t, strings.HasPrefix(uploads[1], uploads[0]), "all of them, each time")
	assert.Equal(t, readText(t, file), uploads[1])
	r := mustRelocate(t, "receipts", archive, "--receipts", file)
	assertAll(t, r.stdout, "OK: 2 receipts of ", ", each names the one before", "     not signed\n", "who wrote them: --trust was not given")

	sites := sitesFile(t, "seal: "+sealIn(t, archive)+"\nsites:\n- name: oslo\n  repository: "+host+"/oslo\n")
	mustRelocate(t, "sites", "status", sites, "--receipts", dir)
	pemKey(t, dir, "ops", newP256(t))
	r = tryRelocate(t, "sites", "status", sites, "--receipts", dir, "--trust", filepath.Join(dir, "ops.pub"))
	assert.Equal(t, statusUntrusted, r.status)
	assertAll(t, r.stdout, "never seen", "oslo: wrong: line 1 of "+file+" is not signed")
	assert.Equal(t, statusUntrusted, tryRelocate(t, "receipts", archive, "--receipts", file, "--trust", filepath.Join(dir, "ops.pub")).status)

	require.NoError(t, os.WriteFile(url, []byte(server.URL+"/other?sig=hunter2\n"), 0o600))
	r = tryRelocate(t, append([]string{"--from-tar", archive, "--to-repo", host + "/oslo"}, receipts...)...)
	assert.Equal(t, statusPermission, r.status)
	assertAll(t, r.stderr, "everything is imported, but its receipts were not uploaded: PUT "+server.URL+"/other", "AccessDenied")
	assert.NotContains(t, r.stdout+r.stderr, "hunter2")
}

// readText returns the text of a file.
func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
