package main

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/oci"
	"relocate/registry"
	"relocate/testdata/realregistry"
)

// upgraded is a private repository after three upgrades, and what else is there.
type upgraded struct {
	site
	reg      *realregistry.Registry
	repo     string            // host/path
	archives map[string]string // by version
	digests  map[string]string // by name
}

// upgrade imports three versions of a package repository one after the other, and lets somebody else
// add tags and signatures.
func upgrade(t *testing.T, reg *realregistry.Registry) *upgraded {
	t.Helper()
	src := site{t: t, host: startMemory(t, nil)}
	u := &upgraded{site: site{t: t, host: reg.Addr}, reg: reg, repo: reg.Addr + "/airgap/main", archives: map[string]string{}, digests: map[string]string{}}
	always := src.ref("img/always", src.image("img/always", "1", "always", "base"))
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		app := src.image("img/app", version, "base", "app "+version)
		signature := src.image("img/app", oci.AttachmentTags(app.Digest)[0], "signature of "+version)
		index := src.index("img/index", version, src.image("img/index", "", "base", "amd64 "+version), src.image("img/index", "", "base", "arm64 "+version))
		own := src.ref("pkg/own", src.bundle("pkg/own", version, map[string]string{"config/own.yml": "version: " + version + "\n"}, src.ref("img/app", app), src.ref("img/index", index), always))
		empty := src.ref("pkg/empty", src.bundle("pkg/empty", version, map[string]string{"config/empty.yml": "version: " + version + "\n"}))
		root := src.bundle("roots/main", version, map[string]string{
			"packages/own.yml": packageText("own.corp.com", version, own), "packages/empty.yml": packageText("empty.corp.com", version, empty),
		}, own, empty)
		u.archives[version] = export(t, src.host+"/roots/main:"+version)
		mustRelocate(t, "--from-tar", u.archives[version], "--to-repo", u.repo)
		for name, d := range map[string]string{"app": app.Digest.String(), "signature": signature.Digest.String(), "index": index.Digest.String(), "root": root.Digest.String()} {
			u.digests[name+" "+version] = d
		}
	}
	return u
}

// tag gives a manifest of the repository another tag, as somebody else would.
func (u *upgraded) tag(digest, tag string) {
	u.t.Helper()
	raw, mediaType := get(u.t, u.host, "/v2/airgap/main/manifests/"+digest)
	u.manifest("airgap/main", tag, types.MediaType(mediaType), raw)
}

// stored is what the registry has on disk: manifests and tags of the repository, and all blobs.
func (u *upgraded) stored() (manifests, tags []string, blobs map[string]int64) {
	u.t.Helper()
	root := filepath.Join(u.reg.Dir, "docker/registry/v2")
	links, err := filepath.Glob(filepath.Join(root, "repositories/airgap/main/_manifests/revisions/sha256/*/link"))
	require.NoError(u.t, err)
	for _, link := range links {
		manifests = append(manifests, "sha256:"+filepath.Base(filepath.Dir(link)))
	}
	folders, err := filepath.Glob(filepath.Join(root, "repositories/airgap/main/_manifests/tags/*/current/link"))
	require.NoError(u.t, err)
	for _, link := range folders {
		tags = append(tags, filepath.Base(filepath.Dir(filepath.Dir(link))))
	}
	blobs = map[string]int64{}
	require.NoError(u.t, filepath.WalkDir(filepath.Join(root, "blobs/sha256"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "data" {
			info, err := entry.Info()
			require.NoError(u.t, err)
			blobs["sha256:"+filepath.Base(filepath.Dir(path))] = info.Size()
		}
		return err
	}))
	return manifests, tags, blobs
}

// pruned reads the result of prune -o json.
func pruned(t *testing.T, r result) pruneReport {
	t.Helper()
	var report pruneReport
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), r.stdout+r.stderr)
	return report
}

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	var rest []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			rest = append(rest, s)
		}
	}
	slices.Sort(rest)
	return rest
}

// TestPrune: after three upgrades, what was said is what goes, and all else is there.
func TestPrune(t *testing.T) {
	t.Parallel()
	for name, start := range realRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := upgrade(t, start(t))
			u.tag(u.digests["app 1.0.0"], "team-fork")        // a foreign tag of something that is dropped
			u.image("airgap/main", "", "untagged")            // nothing leads to it
			other := u.image("airgap/main", "other", "other") // and of something else
			signed := u.image("airgap/main", strings.Replace(u.digests["index 1.2.0"], ":", "-", 1)+".sig", "foreign signature")
			manifests, tags, blobs := u.stored()
			before := u.reg.Requests()

			drop := []string{"prune", "--repo", u.repo, "--drop", "1.0.0", "--drop", "1.1.0", "-o", "json"}
			plan := pruned(t, mustRelocate(t, drop...))
			noWrites(t, u.reg.Requests()[len(before):])
			require.Nil(t, plan.Deleted)
			said := pruned(t, mustRelocate(t, append(drop, "--yes")...))
			assert.Equal(t, plan.Manifests, said.Manifests)

			var want, wantTags []string
			for _, m := range plan.Manifests {
				want, wantTags = append(want, m.Digest.String()), append(wantTags, m.Tags...)
			}
			for _, tag := range plan.Untag {
				if name == "distribution" { // Debian's deletes by digest only
					wantTags = append(wantTags, tag.Tag)
				}
			}
			slices.Sort(want)
			slices.Sort(wantTags)
			manifestsNow, tagsNow, _ := u.stored()
			assert.Equal(t, want, without(manifests, manifestsNow))
			assert.Equal(t, wantTags, without(tags, tagsNow))
			assert.Equal(t, len(want), said.Deleted.Manifests)
			assert.Equal(t, len(wantTags), said.Deleted.Tags)
			assert.NotContains(t, want, u.digests["app 1.0.0"], "a foreign tag has it")
			assert.Contains(t, want, u.digests["app 1.1.0"])
			assert.Contains(t, want, u.digests["signature 1.1.0"])
			assert.Equal(t, []string{"empty.corp.com 1.0.0", "empty.corp.com 1.1.0", "own.corp.com 1.0.0", "own.corp.com 1.1.0"}, plan.Packages)
			assert.Equal(t, []string{"1.2.0", "other", "team-fork"}, plan.Keep.Roots)

			u.reg.CollectGarbage(t)
			_, _, blobsNow := u.stored()
			freed, bytes := without(slices.Collect(maps.Keys(blobs)), slices.Collect(maps.Keys(blobsNow))), int64(0)
			for _, d := range freed {
				bytes += blobs[d]
			}
			assert.Len(t, freed, plan.Blobs)
			assert.Equal(t, plan.Bytes, bytes)

			mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.2.0"], "--level", "deep")
			now := dumpReal(t, u.reg, "airgap/main") // everything that a tag leads to is there
			assert.Equal(t, other.Digest.String(), now.tags["airgap/main:other"])
			assert.Equal(t, u.digests["app 1.0.0"], now.tags["airgap/main:team-fork"])
			assert.Contains(t, slices.Collect(maps.Values(now.tags)), signed.Digest.String())
			assert.Contains(t, slices.Collect(maps.Values(now.tags)), u.digests["signature 1.0.0"], "it is signed as before")
			assert.NotContains(t, now.tags, "airgap/main:1.0.0")

			again := tryRelocate(t, append(drop, "--yes")...)
			assert.Equal(t, statusMissing, again.status)
			assertAll(t, again.stderr, "has none of the dropped roots: 1.0.0, 1.1.0")
			mustRelocate(t, "--from-tar", u.archives["1.0.0"], "--to-repo", u.repo)
			mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.0.0"], "--level", "deep")
		})
	}
}

// TestPruneRegistries: each registry deletes what was said, and what stays is whole.
func TestPruneRegistries(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{realregistry.Olareg, realregistry.Crane, realregistry.Ocimem} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u := upgrade(t, realregistry.Start(t, realregistry.Options{Kind: kind}))
			r := pruned(t, mustRelocate(t, "prune", "--repo", u.repo, "--drop", "1.0.0", "--drop", "1.1.0", "--yes", "-o", "json"))
			assert.Empty(t, r.Deleted.Stay)
			assert.Equal(t, len(r.Manifests), r.Deleted.Manifests)
			tags := len(r.Untag)
			for _, m := range r.Manifests {
				assert.False(t, has(t, u.host, "/v2/airgap/main/manifests/"+m.Digest.String()))
				for _, tag := range m.Tags {
					assert.False(t, has(t, u.host, "/v2/airgap/main/manifests/"+tag), tag)
				}
				tags += len(m.Tags)
			}
			assert.Equal(t, tags, r.Deleted.Tags)
			mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.2.0"], "--level", "deep")
			dumpRepositories(t, u.host, "airgap/main")
		})
	}
}

// TestPruneArchive: an archive stands for its roots, however they are tagged; another tag keeps them.
func TestPruneArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	u := upgrade(t, startReal(t))
	u.tag(u.digests["root 1.1.0"], "stable")
	r := mustRelocate(t, "prune", "--repo", u.repo, "--drop", u.archives["1.0.0"], "--drop", u.archives["1.1.0"])
	assertAll(t, r.stdout, u.archives["1.1.0"]+": 1.1.0 is "+u.digests["root 1.1.0"]+", which stays: needed by stable", "roots kept  1.2.0, stable\n", "nothing was deleted; --yes deletes this")
	report := pruned(t, mustRelocate(t, "prune", "--repo", u.repo, "--drop", u.archives["1.0.0"], "--drop", u.archives["1.1.0"], "--yes", "-o", "json"))
	require.Len(t, report.Drop, 2)
	assert.Equal(t, []string{"stable"}, report.Drop[1].KeptBy)
	assert.Equal(t, "1.1.0", report.Untag[0].Tag)
	mustRelocate(t, "verify", "--repo", u.repo+":stable")
	mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.2.0"])
	assert.Equal(t, []string{"1.2.0", "stable"}, dumpReal(t, u.reg, "airgap/main").rootTags("airgap/main"))

	// A root without a tag is dropped by its digest. Until then it stays, as everything with a tag of imgpkg's.
	mustRelocate(t, "--from-tar", u.archives["1.0.0"], "--to-repo", u.repo, "--no-tag")
	mustRelocate(t, "prune", "--repo", u.repo, "--drop", "stable", "--yes")
	mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.0.0"], "--no-tag", "--level", "deep")
	byDigest := pruned(t, mustRelocate(t, "prune", "--repo", u.repo, "--drop", u.repo+"@"+u.digests["root 1.0.0"], "--yes", "-o", "json"))
	assert.NotEmpty(t, byDigest.Manifests)
	assert.False(t, has(t, u.host, "/v2/airgap/main/manifests/"+u.digests["app 1.0.0"]))

	// The digest of a root with a tag stays, because the tag was not named.
	kept := pruned(t, mustRelocate(t, "prune", "--repo", u.repo, "--drop", u.digests["root 1.2.0"], "--yes", "-o", "json"))
	assert.Empty(t, kept.Manifests)
	assert.Equal(t, []string{"1.2.0"}, kept.Drop[0].KeptBy)
	all := pruned(t, mustRelocate(t, "prune", "--repo", u.repo, "--drop", "1.2.0", "--yes", "-o", "json"))
	assert.Empty(t, all.Deleted.Stay)
	manifests, tags, _ := u.stored()
	assert.Empty(t, manifests)
	assert.Empty(t, tags)
}

// TestPruneInterrupted: after an interruption at any delete the same command continues, and the end is
// the same.
func TestPruneInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	u := upgrade(t, startReal(t))
	m := newMeter(t, u.host)
	repo := m.host + "/airgap/main"
	drop := []string{"prune", "--repo", repo, "--drop", "1.0.0", "--drop", "1.1.0", "--yes", "-o", "json", "--concurrency", "1"}
	before, _, _ := u.stored()
	var want []string
	for _, d := range pruned(t, mustRelocate(t, slices.DeleteFunc(slices.Clone(drop), func(s string) bool { return s == "--yes" })...)).Manifests {
		want = append(want, d.Digest.String())
	}
	slices.Sort(want)
	for at := 1; at <= len(want)+2; at += rounds(6, 1) { // the first asks whether the registry deletes at all
		ctx, cancel := context.WithCancel(t.Context())
		deletes := 0
		m.behave(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodDelete {
				if deletes++; deletes == at {
					cancel()
				}
			}
			return false
		}, nil)
		r := relocateContext(ctx, drop...)
		cancel()
		m.behave(nil, nil)
		require.Equal(t, statusInterrupted, r.status, r.stderr)
		assertAll(t, r.stderr, "hint: run the same command again to continue")
		again := tryRelocate(t, drop...)
		if at < len(want) {
			require.Zero(t, again.status, "at %d: %s", at, again.stderr)
		}
		after, _, _ := u.stored()
		require.Equal(t, want, without(before, after), "interrupted at %d", at)
		mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.2.0"], "--level", "deep")
		mustRelocate(t, "--from-tar", u.archives["1.0.0"], "--to-repo", u.repo)
		mustRelocate(t, "--from-tar", u.archives["1.1.0"], "--to-repo", u.repo)
	}
}

// TestPruneRefused: nothing is deleted where that is not allowed, where something that stays cannot be
// read, or where somebody else changes tags meanwhile.
func TestPruneRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	disabled := upgrade(t, realregistry.Start(t, realregistry.Options{Kind: realregistry.Debian, NoDelete: true}))
	before, tags, _ := disabled.stored()
	drop := []string{"--drop", "1.0.0", "--drop", "1.1.0"}
	mustRelocate(t, append([]string{"prune", "--repo", disabled.repo}, drop...)...)
	assertFailed(t, tryRelocate(t, append([]string{"prune", "--repo", disabled.repo, "--yes"}, drop...)...), statusFailed, "the registry does not allow deletes", "hint: enable deletes in the registry")
	after, tagsAfter, _ := disabled.stored()
	assert.Equal(t, before, after)
	assert.Equal(t, tags, tagsAfter)

	u := upgrade(t, startReal(t))
	m := newMeter(t, u.host)
	raw, mediaType := get(t, u.host, "/v2/airgap/main/manifests/"+u.digests["app 1.0.0"])
	m.behave(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			u.manifest("airgap/main", "new", types.MediaType(mediaType), raw)
		}
		return false
	}, nil)
	before, _, _ = u.stored()
	pruneMeter := append([]string{"prune", "--repo", m.host + "/airgap/main", "--yes"}, drop...)
	assertFailed(t, tryRelocate(t, pruneMeter...), statusFailed, "nothing was deleted: tags changed while the plan was made: new is new", "hint: wait until nothing else writes")
	after, _, _ = u.stored()
	assert.Equal(t, before, after)

	// What cannot be read may need anything.
	config := blobOf(t, u.host, u.digests["root 1.2.0"])
	m.behave(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/blobs/"+config) {
			http.Error(w, "", http.StatusNotFound)
			return true
		}
		return false
	}, nil)
	assertFailed(t, tryRelocate(t, pruneMeter...), statusFailed, "nothing was deleted: it is not known what the manifest needs", "hint: repair what the tag names")
	after, _, _ = u.stored()
	assert.Equal(t, before, after)
	m.behave(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			http.Error(w, "", http.StatusNotFound)
			return true
		}
		return false
	}, nil)
	assertFailed(t, tryRelocate(t, pruneMeter...), statusFailed, registry.ErrNoTags.Error())

	m.behave(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			_, _ = io.WriteString(w, `{"tags":["1.0.0","1.2.0/../../x"]}`)
			return true
		}
		return false
	}, nil)
	assertFailed(t, tryRelocate(t, pruneMeter...), statusFailed, `nothing was deleted: the registry lists the tag "1.2.0/../../x"`)

	// Packages that only a template could name may need anything.
	u.bundle("airgap/main", "broken", map[string]string{"packages/a.yml": "#@ fail(\n"})
	m.behave(nil, nil)
	assertFailed(t, tryRelocate(t, pruneMeter...), statusFailed, "nothing was deleted: not all packages of", "could be read")
	u.bundle("airgap/main", "broken", map[string]string{"packages/a.yml": "a: 1\n"})
	after, _, _ = u.stored()
	assert.Empty(t, without(before, after))

	// What is missing needs nothing: an index without one of its children stays as it is.
	sparse := u.index("airgap/main", "sparse", u.image("airgap/main", "", "kept"), u.image("airgap/main", "", "missing"))
	raw, _ = get(t, u.host, "/v2/airgap/main/manifests/sparse")
	var index document
	require.NoError(t, json.Unmarshal(raw, &index))
	u.send(http.MethodDelete, "http://"+u.host+"/v2/airgap/main/manifests/"+index.Manifests[1].Digest, "", nil, http.StatusAccepted)

	// Of what is dropped, what can be read goes.
	config = blobOf(t, u.host, u.digests["root 1.0.0"])
	m.behave(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/blobs/"+config) {
			http.Error(w, "", http.StatusNotFound)
			return true
		}
		return false
	}, nil)
	r := mustRelocate(t, pruneMeter...)
	assertAll(t, r.stdout, "manifests that cannot be read in full", u.digests["root 1.0.0"])
	mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.2.0"], "--level", "deep")
	assert.True(t, has(t, u.host, "/v2/airgap/main/manifests/"+sparse.Digest.String()))
	assert.True(t, has(t, u.host, "/v2/airgap/main/manifests/"+index.Manifests[0].Digest))
	assert.True(t, has(t, u.host, "/v2/airgap/main/manifests/"+u.digests["index 1.0.0"]), "nothing says any longer that it was part of the root")
}

// blobOf returns the digest of an image's config.
func blobOf(t *testing.T, host, manifest string) string {
	t.Helper()
	raw, _ := get(t, host, "/v2/airgap/main/manifests/"+manifest)
	var doc document
	require.NoError(t, json.Unmarshal(raw, &doc))
	return doc.Config.Digest
}

// TestPruneReferenced: a registry may refuse to delete what an index still needs, as zot, Harbor and
// GitLab do, and then it is deleted after the index. What it refuses for good is named.
func TestPruneReferenced(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	u := upgrade(t, startReal(t))
	m := newMeter(t, u.host)
	raw, _ := get(t, u.host, "/v2/airgap/main/manifests/"+u.digests["index 1.0.0"])
	var index document
	require.NoError(t, json.Unmarshal(raw, &index))
	refused, immutable := 0, u.digests["root 1.1.0"]
	m.behave(func(w http.ResponseWriter, r *http.Request) bool {
		of := func(digest string) bool { return strings.HasSuffix(r.URL.Path, "/manifests/"+digest) }
		isChild := of(index.Manifests[0].Digest) || of(index.Manifests[1].Digest)
		if r.Method != http.MethodDelete || !of(immutable) && !(isChild && has(t, u.host, "/v2/airgap/main/manifests/"+u.digests["index 1.0.0"])) {
			return false
		}
		refused++
		http.Error(w, `{"errors":[{"code":"PRECONDITION","message":"no"}]}`, http.StatusPreconditionFailed)
		return true
	}, nil)
	drop := []string{"prune", "--repo", m.host + "/airgap/main", "--drop", "1.0.0", "--yes", "-o", "json", "--concurrency", "1"}
	r := pruned(t, mustRelocate(t, drop...))
	assert.Equal(t, 2, refused)
	assert.Empty(t, r.Deleted.Stay)
	assert.Equal(t, len(r.Manifests), r.Deleted.Manifests)

	drop[4] = "1.1.0"
	run := tryRelocate(t, drop...)
	assert.Equal(t, statusPartly, run.status)
	assertAll(t, run.stderr, "hint: see docs/pruning.md")
	r = pruned(t, run)
	require.Len(t, r.Deleted.Stay, 1)
	assert.Equal(t, immutable, r.Deleted.Stay[0].What)
	assert.Contains(t, r.Deleted.Stay[0].Reason, "412")
	assert.Equal(t, len(r.Manifests)-1, r.Deleted.Manifests)
	m.behave(nil, nil)
	r = pruned(t, mustRelocate(t, drop...))
	assert.Equal(t, 1, r.Deleted.Manifests)
	mustRelocate(t, "verify", "--repo", u.repo, u.archives["1.2.0"], "--level", "deep")
}

// TestPruneForeignPins: a tag that somebody made of a digest, without a suffix, is no list of referrers and stays.
func TestPruneForeignPins(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	u := upgrade(t, startReal(t))
	tagOf := func(digest string) string { return strings.Replace(digest, ":", "-", 1) }
	app, index := u.digests["app 1.0.0"], u.digests["index 1.0.0"]
	u.tag(app, tagOf(app))
	u.tag(index, tagOf(index))
	notes := u.image("airgap/main", tagOf(u.digests["root 1.0.0"]), "somebody's image").Digest.String()
	plan := pruned(t, mustRelocate(t, "prune", "--repo", u.repo, "--drop", "1.0.0", "--yes", "-o", "json"))
	assert.ElementsMatch(t, []string{"1.1.0", "1.2.0", tagOf(app), tagOf(index), tagOf(u.digests["root 1.0.0"])}, plan.Keep.Roots)
	for tag, digest := range map[string]string{tagOf(app): app, tagOf(index): index, tagOf(u.digests["root 1.0.0"]): notes} {
		assert.True(t, has(t, u.host, "/v2/airgap/main/manifests/"+tag), tag)
		assert.True(t, has(t, u.host, "/v2/airgap/main/manifests/"+digest), digest)
	}
	assert.False(t, has(t, u.host, "/v2/airgap/main/manifests/"+u.digests["root 1.0.0"]))

	mustRelocate(t, "prune", "--repo", u.repo, "--drop", tagOf(app), "--yes")
	assert.False(t, has(t, u.host, "/v2/airgap/main/manifests/"+app))
}

// TestPruneSigned: what is attached to a manifest goes with it, and what is attached to others stays: by
// cosign's tags, by the referrers API and in the lists of the tag schema.
func TestPruneSigned(t *testing.T) {
	t.Parallel()
	for name, start := range attachmentRegistries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, host := newSignedSite(t, startReferrers(t)), start(t)
			repo := host + "/signed"
			archive := export(t, s.root)
			mustRelocate(t, "--from-tar", archive, "--to-repo", repo)
			mustRelocate(t, "-b", s.host+"/signed/bundle:1.0", "--to-repo", repo, "--tag", "bundle")
			foreign := newSigner(site{t: t, host: host}).referrer("signed", s.subjects[0], "application/x-scan", []byte("no findings"))

			r := pruned(t, mustRelocate(t, "prune", "--repo", repo, "--drop", archive, "--yes", "-o", "json"))
			kinds := map[string]int{}
			for _, m := range r.Manifests {
				kinds[m.Kind]++
			}
			assert.Equal(t, map[string]int{"bundle": 1, "locations": 1, "attachment": 1}, kinds, "the repository with its signature")
			mustRelocate(t, "verify", "--repo", repo+":bundle", "--level", "deep")
			for _, subject := range append(s.bundles[1:], s.subjects...) {
				assert.NoError(t, s.verifySigned(host, "signed", subject.Digest))
			}
			list, _ := referrersOf(t, host, "signed", s.subjects[0].Digest)
			assert.Contains(t, digestsOf(list), foreign.Digest.String())

			r = pruned(t, mustRelocate(t, "prune", "--repo", repo, "--drop", "bundle", "--yes", "-o", "json"))
			assert.Empty(t, r.Deleted.Stay)
			assert.Zero(t, r.Keep.Tags)
			for _, d := range slices.Concat([]v1.Descriptor{foreign}, s.subjects, s.bundles) {
				assert.False(t, has(t, host, "/v2/signed/manifests/"+d.Digest.String()))
			}
		})
	}
}

// TestPruneDuringImport: an import and a prune of one repository do not run at the same time.
func TestPruneDuringImport(t *testing.T) {
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	m := newMeter(t, startReal(t).Addr)
	repo := m.host + "/x"
	mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--tag", "old")
	g := newGate(func(r *http.Request) bool { return r.Method == http.MethodHead })
	m.behave(func(w http.ResponseWriter, r *http.Request) bool {
		answered := true
		g.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = false })).ServeHTTP(w, r)
		return answered
	}, nil)
	importing := make(chan result)
	go func() { importing <- relocateContext(t.Context(), "--from-tar", file, "--to-repo", repo) }()
	g.wait(t)
	assertFailed(t, tryRelocate(t, "prune", "--repo", repo, "--drop", "old", "--yes"), statusFailed, repo+" is locked by process", "hint: wait")
	g.open()
	require.Zero(t, (<-importing).status)
	mustRelocate(t, "prune", "--repo", repo, "--drop", "old", "--yes")
	mustRelocate(t, "verify", "--repo", repo, file)
}

// TestPruneUsage: what makes no sense is refused before the registry is asked.
func TestPruneUsage(t *testing.T) {
	t.Parallel()
	reg := startReal(t)
	repo := reg.Addr + "/x"
	for text, args := range map[string][]string{
		"name the repository with --repo":                {"--drop", "1"},
		"name what is no longer needed with --drop":      {"--repo", repo},
		"1.0.0: name the repository":                     {"1.0.0"},
		"not a digest":                                   {"--repo", repo, "--drop", "sha256:12"},
		"is not in " + repo:                              {"--repo", repo, "--drop", reg.Addr + "/y:1"},
		"is a reference with a tag; name the repository": {"--repo", repo + ":1", "--drop", "1"},
		"no such file":                                   {"--repo", repo, "--drop", "old.tar"},
		"--drop is empty":                                {"--repo", repo, "--drop", ""},
		"between 1 and 256":                              {"--repo", repo, "--drop", "1", "--concurrency", "0"},
	} {
		assertFailed(t, tryRelocate(t, append([]string{"prune"}, args...)...), statusUsage, text)
	}
	assert.Empty(t, reg.Requests())
	assertFailed(t, tryRelocate(t, "prune", "--repo", reg.Addr+"/none", "--drop", "1"), statusMissing, "the repository does not exist, or has no tags", "check the spelling of --repo")
	self := "sha256-" + strings.Repeat("0", 64)
	image := site{t: t, host: reg.Addr}.image("x", "1", "x")
	for _, tag := range []string{self + ".imgpkg", self + ".sig", self} {
		assertFailed(t, tryRelocate(t, "prune", "--repo", repo, "--drop", tag), statusUsage, "is not a root: it is made of a digest")
	}
	assertFailed(t, tryRelocate(t, "prune", "--repo", repo, "--drop", "2", "--drop", digestOf("x")), statusMissing, "has none of the dropped roots: 2, "+digestOf("x"))
	assertAll(t, mustRelocate(t, "prune", "--repo", repo, "--drop", "1").stdout, "drop        1 is "+image.Digest.String(), "delete      1 manifest (1 image) and 1 tag")
}
