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

// TestVersionsInOneArchive: what one import could not name apart is refused while there is a way back;
// one bundle that was named twice is one PackageRepository.
func TestVersionsInOneArchive(t *testing.T) {
	t.Parallel()
	s := site{t: t, host: startMemory(t, nil)}
	pkg := s.ref("pkg/a", s.bundle("pkg/a", "1", nil))
	roots := map[string]string{}
	for _, version := range []string{"1.0.0", "2.0.0"} {
		d := s.bundle("roots/main", version, map[string]string{"packages/p.yml": packageText("a.corp.com", version, pkg)}, pkg)
		roots[version] = s.ref("roots/main", d)
	}
	main := s.host + "/roots/main:"
	parts := []string{main + "1.0.0", main + "2.0.0", "both would be named main", "export each to its own archive"}
	failExport(t, statusUsage, parts, "-b", main+"1.0.0", "-b", main+"2.0.0")
	assertFailed(t, tryRelocate(t, "plan", "-b", main+"1.0.0", "-b", main+"2.0.0"), statusUsage, parts...)

	archive := export(t, main+"1.0.0", roots["1.0.0"])
	r := mustRelocate(t, "--from-tar", archive, "--to-repo", s.host+"/private/main")
	assert.Equal(t, 1, strings.Count(r.stdout, "kind: PackageRepository"))
	assertAll(t, r.stderr, "tagged           1.0.0")
}
