package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestVerifyNamedRoot: --repo takes a tag or a digest, and of a repository with one root not even that. The verdict
// names the digest that was verified.
func TestVerifyNamedRoot(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	reg := startReal(t)
	file := export(t, pushSample(t, reg.Addr))
	repo := reg.Addr + "/airgap/main"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--tag", "v1")
	digest := rootDigest(t, reg.Addr, "airgap/main", "v1")
	for _, ref := range []string{repo, repo + ":v1", repo + "@" + digest, repo + ":v1@" + digest} {
		verdict, rest, _ := strings.Cut(mustRelocate(t, "verify", "--repo", ref).stdout, "\n")
		assert.Contains(t, verdict, "OK: "+repo, ref)
		assert.Contains(t, verdict, digest, ref)
		assert.Equal(t, !strings.Contains(ref, "@"), strings.Contains(rest, "came from this registry"), ref)
	}

	mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--tag", "v2")
	assertFailed(t, tryRelocate(t, "verify", "--repo", repo), statusUsage, "name one of its tags, as in --repo "+repo+":v1", "  v2\n")
	mustRelocate(t, "--from-tar", file, "--to-repo", reg.Addr+"/airgap/untagged", "--no-tag")
	assertFailed(t, tryRelocate(t, "verify", "--repo", reg.Addr+"/airgap/untagged"), statusMissing, "no tag of a root found")
	for _, missing := range []string{repo + ":v3", reg.Addr + "/none:v1", reg.Addr + "/none"} {
		assertFailed(t, tryRelocate(t, "verify", "--repo", missing), statusMissing, "verify "+missing, "hint: check the spelling")
	}
	r := tryRelocate(t, "verify", "--repo", repo+"@"+digestOf("none"))
	assert.Equal(t, statusMissing, r.status, r.stderr)
	assert.Contains(t, r.stdout, "NOT OK: "+repo)
}

// TestVerifyBrokenTag: what a tag leads to is looked at, not only the tag.
func TestVerifyBrokenTag(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	s.bundle("repository", "1", nil, s.ref("repository", s.image("other", "1", "app")))
	r := tryRelocate(t, "verify", "--repo", host+"/repository:1")
	assert.Equal(t, statusMissing, r.status, r.stderr)
	assertAll(t, r.stdout, "NOT OK: "+host+"/repository:1@sha256:", "missing")
}
