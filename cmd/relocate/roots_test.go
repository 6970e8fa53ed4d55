package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTwoRoots: two references in one archive. They want one tag, which is refused before anything is
// written.
func TestTwoRoots(t *testing.T) {
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	image := s.image("img/app", "1", "app")
	pkg := s.ref("pkg/a", s.bundle("pkg/a", "1", nil, s.ref("img/app", image)))
	roots := map[string]v1.Hash{}
	for _, name := range []string{"first", "second"} {
		text := packageText(name+".corp.com", "1.0.0", pkg)
		roots[name] = s.bundle("roots/"+name, "v1", map[string]string{"packages/p.yml": text}, pkg).Digest
		require.Equal(t, roots[name], s.bundle("roots/"+name, name, map[string]string{"packages/p.yml": text}, pkg).Digest)
	}
	source := dumpReal(t, src, "")
	repo := dst.Addr + "/both"

	same := filepath.Join(t.TempDir(), "same.tar")
	two := []string{"-b", src.Addr + "/roots/first:v1", "-b", src.Addr + "/roots/second:v1"}
	told := `tag "v1": both ` + roots["first"].String() + " and " + roots["second"].String() + " would get it"
	for _, args := range [][]string{{"plan"}, {"--to-tar", same}, {"--to-tar", "-"}} {
		assert.Contains(t, mustRelocate(t, append(args, two...)...).stderr, "the import will refuse the tags of the roots: "+told+"; --no-tag imports by digest")
	}
	for _, args := range [][]string{
		{"--from-tar", same, "--to-repo", repo},
		{"--from-tar", same, "--to-repo", repo, "--tag", "other"},
		{"-b", src.Addr + "/roots/first:v1", "-b", src.Addr + "/roots/second:v1", "--to-repo", repo},
		{"--from-tar", same, "--to-repo", repo, "--no-tag", "--name", "both"},
	} {
		r := tryRelocate(t, args...)
		assert.Equal(t, statusUsage, r.status, r.stderr)
		assert.Empty(t, r.stdout)
	}
	noWrites(t, dst.Requests())
	refused := tryRelocate(t, "--from-tar", same, "--to-repo", repo)
	assertAll(t, refused.stderr, told, "hint: --no-tag imports by digest")

	imported := mustRelocate(t, "--from-tar", same, "--to-repo", repo, "--no-tag")
	assertAll(t, imported.stdout, "name: first\n", "name: second\n", repo+"@"+roots["first"].String(), repo+"@"+roots["second"].String())
	assert.Equal(t, 2, strings.Count(imported.stdout, "---\n"))
	assertRelocated(t, source, dumpReal(t, dst, "both"), "both", nil)
	mustRelocate(t, "verify", same, "--root", roots["first"].String(), "--root", roots["second"].String())
	mustRelocate(t, "verify", "--repo", repo, same, "--no-tag", "--level", "deep")

	different := export(t, src.Addr+"/roots/first:first", src.Addr+"/roots/second:second")
	lock := filepath.Join(t.TempDir(), "lock.yml")
	mustRelocate(t, "--from-tar", different, "--to-repo", repo, "--lock-output", lock)
	assertRelocated(t, source, dumpReal(t, dst, "both"), "both",
		map[string]string{"first": roots["first"].String(), "second": roots["second"].String()})
	mustRelocate(t, "verify", "--repo", repo, different)
	text, err := os.ReadFile(lock)
	require.NoError(t, err)
	assertAll(t, string(text), "kind: ImagesLock", repo+"@"+roots["first"].String(), repo+"@"+roots["second"].String())
}

// TestTagFlags: the root's tag at the destination is its own, another, or none.
func TestTagFlags(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	file := export(t, pushSample(t, src.Addr))
	digest := rootDigest(t, src.Addr, "corp/repository", "1.0.0")
	for name, c := range map[string]struct{ flags, tags []string }{
		"own":   {nil, []string{"1.0.0"}},
		"other": {[]string{"--tag", "stable"}, []string{"stable"}},
		"none":  {[]string{"--no-tag"}, nil},
	} {
		repo := dst.Addr + "/" + name
		mustRelocate(t, append([]string{"--from-tar", file, "--to-repo", repo}, c.flags...)...)
		assert.Equal(t, c.tags, dumpReal(t, dst, name).rootTags(name), name)
		mustRelocate(t, append([]string{"verify", "--repo", repo, file}, c.flags...)...)
		if name != "own" {
			r := tryRelocate(t, "verify", "--repo", repo, file)
			assert.Equal(t, statusMissing, r.status)
			assertAll(t, r.stdout, "tag 1.0.0")
		}
	}
	for _, tag := range []string{"no tag", "sha256-" + digest[7:] + ".imgpkg", ".x", strings.Repeat("x", 129)} {
		dst.ResetRequests()
		r := tryRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/bad", "--tag", tag)
		assert.Equal(t, statusUsage, r.status, "%s: %s", tag, r.stderr)
		assert.Empty(t, dst.Requests(), "--tag %s", tag)
	}
}

// rootTags are the tags that are not imgpkg's, sorted.
func (d dump) rootTags(repo string) []string {
	var tags []string
	for _, tag := range slices.Sorted(maps.Keys(d.tags)) {
		if tag = strings.TrimPrefix(tag, repo+":"); !strings.HasPrefix(tag, "sha256-") {
			tags = append(tags, tag)
		}
	}
	return tags
}

// TestRootByDigest: a root without a tag gets none, and its PackageRepository has no version.
func TestRootByDigest(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	pushSample(t, src.Addr)
	source := dumpReal(t, src, "")
	digest := source.tags["corp/repository:1.0.0"]
	for name, root := range map[string]string{"digest": "@" + digest, "both": ":1.0.0@" + digest} {
		file := export(t, src.Addr+"/corp/repository"+root)
		r := mustRelocate(t, "--from-tar", file, "--to-repo", dst.Addr+"/"+name)
		assert.NotContains(t, r.stdout, "annotations")
		assertAll(t, r.stdout, dst.Addr+"/"+name+"@"+digest)
		assertRelocated(t, source, dumpReal(t, dst, name), name, nil)
		mustRelocate(t, "verify", "--repo", dst.Addr+"/"+name, file)
	}
}

// TestUndecidedVersions: if the tags of two versions do not say which is newer, they are refused while
// there is a way back; one bundle that was named twice is one PackageRepository.
func TestUndecidedVersions(t *testing.T) {
	t.Parallel()
	s := site{t: t, host: startMemory(t, nil)}
	pkg := s.ref("pkg/a", s.bundle("pkg/a", "1", nil))
	roots := map[string]string{}
	for _, version := range []string{"1.0.0", "2.0.0", "latest"} {
		d := s.bundle("roots/main", version, map[string]string{"packages/p.yml": packageText("a.corp.com", version, pkg)}, pkg)
		roots[version] = s.ref("roots/main", d)
	}
	main := s.host + "/roots/main:"
	for _, other := range []string{main + "latest", roots["2.0.0"]} {
		parts := []string{other + " and " + main + "1.0.0 do not say which is newer", "export each to its own archive"}
		failExport(t, statusUsage, parts, "-b", main+"1.0.0", "-b", other)
		assertFailed(t, tryRelocate(t, "plan", "-b", main+"1.0.0", "-b", other), statusUsage, parts...)
		assertFailed(t, tryRelocate(t, "-b", main+"1.0.0", "-b", other, "--to-repo", s.host+"/private/main"), statusUsage, parts[0])
	}
	archive := export(t, main+"1.0.0", roots["1.0.0"])
	r := mustRelocate(t, "--from-tar", archive, "--to-repo", s.host+"/private/main")
	assert.Equal(t, 1, strings.Count(r.stdout, "kind: PackageRepository"))
	assertAll(t, r.stderr, "tagged           1.0.0")
}

// TestVersionsInOneArchive: two versions of a repository cross in one archive. Both have their tags,
// and the newer one is the PackageRepository.
func TestVersionsInOneArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	src, dst := startReal(t), startReal(t)
	s := site{t: t, host: src.Addr}
	app := s.ref("img/app", s.image("img/app", "1", "app"))
	shared := s.ref("pkg/shared", s.bundle("pkg/shared", "1", nil, app))
	digests := map[string]string{}
	for _, version := range []string{"1.9.0", "1.10.0"} {
		pkg := s.ref("pkg/a", s.bundle("pkg/a", version, nil, app, s.ref("img/"+version, s.image("img/"+version, "1", version))))
		files := map[string]string{"packages/p.yml": packageText("a.corp.com", version, pkg), "packages/shared.yml": packageText("shared.corp.com", "1.0.0", shared)}
		if version == "1.9.0" {
			files["packages/old.yml"] = packageText("old.corp.com", "9.0.0", pkg)
		}
		digests[version] = s.bundle("roots/main", version, files, pkg, shared).Digest.String()
	}
	source, main := dumpReal(t, src, ""), src.Addr+"/roots/main:"
	told := "the PackageRepository main serves " + main + "1.10.0, the newest by its tag; no PackageRepository serves " + main + "1.9.0"
	both := []string{"-b", main + "1.10.0", "-b", main + "1.9.0"}
	plan := mustRelocate(t, append([]string{"plan"}, both...)...)
	assertAll(t, plan.stderr, told)
	assertAll(t, plan.stdout, "packages   4 versions of 3 packages")

	file := filepath.Join(t.TempDir(), "both.tar")
	assertAll(t, mustRelocate(t, append([]string{"--to-tar", file}, both...)...).stderr, told)
	want := map[string]string{"1.9.0": digests["1.9.0"], "1.10.0": digests["1.10.0"]}
	for name, args := range map[string][]string{"imported": {"--from-tar", file}, "copied": both} {
		repo := dst.Addr + "/" + name
		r := mustRelocate(t, append(args, "--to-repo", repo)...)
		assert.Equal(t, 1, strings.Count(r.stdout, "kind: PackageRepository"), r.stdout)
		assertAll(t, r.stdout, "name: main\n", repo+"@"+digests["1.10.0"], "kctrl.carvel.dev/repository-version: 1.10.0")
		assertAll(t, r.stderr, told, "1.10.0, 1.9.0")
		assertRelocated(t, source, dumpReal(t, dst, name), name, want)
		mustRelocate(t, "verify", "--repo", repo, file, "--level", "deep")
		mustRelocate(t, "verify", "--repo", repo+":1.9.0")

		emitted := mustRelocate(t, "emit", file, "--to-repo", repo)
		assert.Equal(t, r.stdout, emitted.stdout)
		assertAll(t, emitted.stderr, told)
		assertAll(t, mustRelocate(t, "emit", file, "--to-repo", repo, "--install", "a.corp.com").stdout, "constraints: 1.10.0")
		assertFailed(t, tryRelocate(t, "emit", file, "--to-repo", repo, "--install", "old.corp.com"), statusMissing, "has no package of that name")
	}
	mustRelocate(t, "verify", file, "--root", digests["1.9.0"], "--root", digests["1.10.0"])
	assertAll(t, mustRelocate(t, "rehearse", file).stderr, told)
	assertAll(t, mustRelocate(t, "inspect", file).stdout, main+"1.9.0", main+"1.10.0", "old.corp.com")
}
