package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "relocate/testdata/hostileregistry"
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
	const nothing = "found no attachments of these images in "
	exported := mustRelocate(t, "-i", host+"/k/app:1", "--to-tar", file, "--signatures-from", host+"/k/signatures", "--report", reportFile)
	assert.NotContains(t, exported.stderr, nothing)
	assert.Len(t, readReport(t, reportFile).Attachments.Found, 1)
	mustRelocate(t, "verify", file)
	mustRelocate(t, "--from-tar", file, "--to-repo", dst+"/x")
	status, there, _ := ask(t, "GET", dst, "/v2/x/manifests/"+tag)
	assert.Equal(t, 200, status)
	assert.Equal(t, string(list), string(there))

	mistyped := mustRelocate(t, "plan", "-i", host+"/k/app:1", "--signatures-from", host+"/k/signature")
	assertAll(t, mistyped.stderr, nothing+host+"/k/signature: check the repository's name")

	r := tryRelocate(t, "-i", host+"/k/signatures:"+tag, "--to-tar", filepath.Join(t.TempDir(), "b.tar"))
	require.Equal(t, statusUsage, r.status, r.stderr)
	assert.Contains(t, r.stderr, "name the image "+host+"/k/signatures@"+image.Digest.String())
}

// TestSignaturesFromElsewhere: a login of the flags goes to no other registry than those of the images, which is said;
// one of docker's configuration or the environment for the registry of --signatures-from does.
func TestSignaturesFromElsewhere(t *testing.T) {
	t.Parallel()
	src, signatures := Start(t), Start(t)
	s := newSigner(site{t: t, host: signatures.Addr})
	image := s.image("k/app", "1", "kept")
	s.signature("k/signatures", image)
	require.Equal(t, image, site{t: t, host: src.Addr}.image("k/app", "1", "kept"))
	wantsLogin := func(w http.ResponseWriter, r *http.Request, n int, next http.HandlerFunc) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "password" {
			Answer(401, "", `Www-Authenticate: Basic realm="registry"`)(w, r, n, next)
			return
		}
		next(w, r)
	}
	src.Behave(wantsLogin)
	signatures.Behave(wantsLogin)
	args := []string{"plan", "-i", src.Addr + "/k/app:1", "--signatures-from", signatures.Addr + "/k/signatures", "--registry-username", "user", "--registry-password", "password"}
	assertAll(t, mustRelocate(t, args...).stderr, "note: reading "+signatures.Addr+"/k/signatures was refused: the login of the source is not sent to "+signatures.Addr+": login flags are for the registries of -b, -i and --lock only",
		"use docker login, or RELOCATE_REGISTRY_HOSTNAME")
	assert.Empty(t, signatures.Header("Authorization"))
	same := mustRelocate(t, "plan", "-i", src.Addr+"/k/app:1", "--signatures-from", src.Addr+"/k/signatures", "--registry-username", "user", "--registry-password", "password")
	assertAll(t, same.stderr, "found no attachments of these images in "+src.Addr+"/k/signatures")

	skipShort(t)
	for _, env := range [][]string{
		{"DOCKER_CONFIG=" + dirWith(t, "config.json", dockerConfig(signatures.Addr, "user", "password"))},
		{"RELOCATE_REGISTRY_HOSTNAME=" + signatures.Addr, "RELOCATE_REGISTRY_USERNAME=user", "RELOCATE_REGISTRY_PASSWORD=password"},
	} {
		p := newProcess(t, args...)
		p.cmd.Env = append(p.cmd.Env, env...)
		r := p.run(t)
		require.Zero(t, r.status, r.stderr)
		assert.NotContains(t, r.stderr, "--signatures-from")
	}
}
