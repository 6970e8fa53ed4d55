package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSignaturesFrom: what cosign keeps in a repository of its own crosses, and is beside the image then.
func TestSignaturesFrom(t *testing.T) {
	t.Parallel()
	host, dst := startReferrers(t), startReferrers(t)
	s := newSigner(site{t: t, host: host})
	image := s.image("k/app", "1", "kept")
	tag := "sha256-" + image.Digest.Hex + ".sig"
	s.signature("k/app", image)
	status, list, _ := ask(t, "GET", host, "/v2/k/app/manifests/"+tag)
	require.Equal(t, 200, status)
	mustRelocate(t, "-i", host+"/k/app:1", "--to-repo", host+"/k/signatures", "--no-tag")

	// The same list in both places is one attachment.
	both := filepath.Join(t.TempDir(), "both.tar")
	mustRelocate(t, "-i", host+"/k/app:1", "--to-tar", both, "--signatures-from", host+"/k/signatures", "--report", both+".json")
	assert.Len(t, readReport(t, both+".json").Attachments.Found, 1)
	mustRelocate(t, "--from-tar", both, "--to-repo", dst+"/both")

	// Of two lists under one tag, the one beside the image is carried, and the other is named.
	s.signature("k/app", image)
	mustRelocate(t, "-i", host+"/k/app:1", "--to-tar", both, "--signatures-from", host+"/k/signatures", "--report", both+".json")
	_, other, _ := ask(t, "GET", host, "/v2/k/app/manifests/"+tag)
	require.NotEqual(t, string(list), string(other), "signatures of ECDSA differ")
	assert.Len(t, readReport(t, both+".json").Attachments.Unseen, 1)
	site{t: t, host: host}.send("DELETE", "http://"+host+"/v2/k/app/manifests/"+tag, "", nil, 202)

	file, reportFile := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "r.json")
	const nothing = "found nothing in "
	exported := mustRelocate(t, "-i", host+"/k/app:1", "--to-tar", file, "--signatures-from", host+"/k/signatures", "--report", reportFile)
	assert.NotContains(t, exported.stderr, nothing)
	assert.Len(t, readReport(t, reportFile).Attachments.Found, 1)
	mustRelocate(t, "verify", file)
	mustRelocate(t, "--from-tar", file, "--to-repo", dst+"/x")
	status, there, _ := ask(t, "GET", dst, "/v2/x/manifests/"+tag)
	assert.Equal(t, 200, status)
	assert.Equal(t, string(list), string(there))

	mistyped := mustRelocate(t, "plan", "-i", host+"/k/app:1", "--signatures-from", host+"/k/signature")
	assertAll(t, mistyped.stderr, nothing+host+"/k/signature (--signatures-from)")

	r := relocate(t, "-i", host+"/k/signatures:"+tag, "--to-tar", filepath.Join(t.TempDir(), "b.tar"))
	require.Equal(t, statusUsage, r.status, r.stderr)
	assert.Contains(t, r.stderr, "name the image "+host+"/k/signatures@"+image.Digest.String())
}
