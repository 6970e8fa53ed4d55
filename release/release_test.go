package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
	"relocate/testdata/realregistry"
)

const host = runtime.GOOS + "/" + runtime.GOARCH

// TestRelease builds a release twice, in two folders, and uses what is in it. "make release" builds it for
// all platforms.
func TestRelease(t *testing.T) {
	switch {
	case testing.Short():
		t.Skip("builds the program several times; needs no race detector")
	case runtime.GOOS != "linux":
		t.Skip("packages and the image are of programs for Linux")
	}
	t.Parallel()
	key, err := custody.NewKey()
	require.NoError(t, err)
	pem, err := key.Encrypt(nil)
	require.NoError(t, err)
	keyFile := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(keyFile, pem, 0o600))

	once := &release{
		version: "v1.2.3-rc1", date: time.Unix(1_790_000_000, 0), platforms: []string{host}, source: "..",
		out: filepath.Join(t.TempDir(), "dist"), key: keyFile,
	}
	require.NoError(t, once.build())
	assert.ErrorContains(t, once.build(), "is not empty")
	again := *once
	again.source, again.out, again.key = copyOf(t, ".."), filepath.Join(t.TempDir(), "elsewhere", "files"), ""
	require.NoError(t, again.build())

	files := contents(t, once.out)
	signature := files["SHA256SUMS.sigstore.json"]
	delete(files, "SHA256SUMS.sigstore.json")
	assert.Len(t, files, 6)
	for name, content := range contents(t, again.out) {
		assert.True(t, bytes.Equal(files[name], content), "%s differs", name)
	}

	t.Run("sums", func(t *testing.T) {
		for line := range strings.Lines(string(files["SHA256SUMS"])) {
			sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
			assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256(files[name])), sum, name)
		}
		assert.Equal(t, len(files)-1, bytes.Count(files["SHA256SUMS"], []byte("\n")))
		bundle, err := custody.ParseBundle(bytes.TrimSpace(signature))
		require.NoError(t, err)
		require.NoError(t, bundle.VerifyMessage(key.Public(), files["SHA256SUMS"]))
	})
	t.Run("SBOM", func(t *testing.T) { checkSBOM(t, files["relocate.cdx.json"]) })
	t.Run("deb", func(t *testing.T) { checkDeb(t, once) })
	t.Run("image", func(t *testing.T) { checkImage(t, once) })
	t.Run("own image", func(t *testing.T) { checkOwnImage(t, once) })
}

// checkSBOM looks for a module that the program has, for Go's own, and for ends without a component.
func checkSBOM(t *testing.T, text []byte) {
	var sbom struct {
		Format     string      `json:"bomFormat"`
		Components []component `json:"components"`
		Metadata   struct {
			Component component `json:"component"`
		} `json:"metadata"`
		Dependencies []dependency `json:"dependencies"`
	}
	require.NoError(t, json.Unmarshal(text, &sbom))
	assert.Equal(t, "CycloneDX", sbom.Format)
	assert.Equal(t, "v1.2.3-rc1", sbom.Metadata.Component.Version)
	var names, refs []string
	for _, c := range sbom.Components {
		names, refs = append(names, c.Name), append(refs, c.Ref)
		if c.Name == "github.com/docker/cli" {
			assert.Contains(t, c.PURL, "%2Bincompatible")
			assert.Len(t, c.Hashes[0].Content, 64)
		}
	}
	some := []string{"stdlib", "github.com/google/go-containerregistry", "carvel.dev/ytt", "github.com/docker/cli"}
	assert.Subset(t, names, some)
	assert.NotContains(t, names, "github.com/stretchr/testify", "of tests only")
	require.Len(t, sbom.Dependencies, 1)
	assert.Equal(t, refs, sbom.Dependencies[0].DependsOn)
}

// checkDeb installs the package below an empty root, and crosses with its program.
func checkDeb(t *testing.T, r *release) {
	if _, err := exec.LookPath("dpkg"); err != nil || os.Geteuid() != 0 {
		t.Skip("installing a package needs dpkg, and root")
	}
	root := t.TempDir()
	state := filepath.Join(root, "var/lib/dpkg")
	require.NoError(t, os.MkdirAll(filepath.Join(state, "info"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(state, "status"), nil, 0o644))
	deb := filepath.Join(r.out, "relocate_1.2.3~rc1-1_"+runtime.GOARCH+".deb")
	run(t, "dpkg", "--root="+root, "--log=/dev/null", "--install", deb)
	for _, file := range []string{
		"usr/share/man/man1/relocate.1.gz", "usr/share/man/man1/relocate-verify.1.gz",
		"usr/share/bash-completion/completions/relocate", "usr/share/zsh/vendor-completions/_relocate",
		"usr/share/fish/vendor_completions.d/relocate.fish", "usr/share/doc/relocate/copyright",
	} {
		assert.FileExists(t, filepath.Join(root, file))
	}
	program := filepath.Join(root, "usr/bin/relocate")
	assert.Contains(t, run(t, program, "version"), "v1.2.3-rc1")
	assert.Contains(t, run(t, "go", "run", "../testdata/demo", "-relocate", program), "crossed to")
}

// checkImage carries the image as any other, with the program of the release.
func checkImage(t *testing.T, r *release) {
	dir := t.TempDir()
	run(t, "tar", "-xf", filepath.Join(r.out, "relocate-image.tar"), "-C", dir)
	path, err := layout.FromPath(dir)
	require.NoError(t, err)
	index, err := path.ImageIndex()
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	digest := manifest.Manifests[0].Digest
	assert.Equal(t, "v1.2.3-rc1", manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"])
	image, err := index.ImageIndex(digest)
	require.NoError(t, err)
	source, destination := realregistry.Start(t, realregistry.Options{}), realregistry.Start(t, realregistry.Options{})
	ref, err := name.NewTag(source.Addr + "/tools/relocate:1.2.3")
	require.NoError(t, err)
	if _, err := exec.LookPath("skopeo"); err == nil { // as docs/release.md says; the digest stays
		run(t, "skopeo", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
			"oci-archive:"+filepath.Join(r.out, "relocate-image.tar"), "docker://"+ref.Name())
		pushed, err := remote.Head(ref)
		require.NoError(t, err)
		assert.Equal(t, digest, pushed.Digest)
	} else {
		require.NoError(t, remote.WriteIndex(ref, image))
	}

	archive, program := filepath.Join(dir, "image.tar"), r.program(host)
	run(t, program, "-i", ref.Name(), "--to-tar", archive)
	run(t, program, "--from-tar", archive, "--to-repo", destination.Addr+"/private/relocate")
	carried, err := name.NewDigest(destination.Addr + "/private/relocate@" + digest.String())
	require.NoError(t, err)
	_, err = remote.Index(carried)
	require.NoError(t, err)
}

// checkOwnImage lets the program upload itself, and write itself to a file with the same digest. The one file in the
// image runs.
func checkOwnImage(t *testing.T, r *release) {
	registry := realregistry.Start(t, realregistry.Options{})
	program, repo := r.program(host), registry.Addr+"/tools/relocate"
	push := func(args ...string) string {
		cmd := exec.Command(program, append([]string{"image", "--to-repo", repo}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, stderr.String())
		return strings.TrimSpace(string(out))
	}
	pushed := push()
	digest, err := name.NewDigest(pushed)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "image.tar")
	run(t, program, "image", "--to-tar", file)
	run(t, "tar", "-tf", file, "blobs/sha256/"+strings.TrimPrefix(digest.DigestStr(), "sha256:"))
	tagged, err := remote.Head(digest.Context().Tag("v1.2.3-rc1"))
	require.NoError(t, err)
	assert.Equal(t, digest.DigestStr(), tagged.Digest.String())
	index, err := remote.Index(digest)
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	assert.Equal(t, runtime.GOARCH, manifest.Manifests[0].Platform.Architecture)
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	layer := mutate.Extract(image)
	defer layer.Close()
	dir := t.TempDir()
	untar := exec.Command("tar", "-x", "-C", dir)
	untar.Stdin = layer
	require.NoError(t, untar.Run())
	version := exec.Command(filepath.Join(dir, "relocate"), "version")
	version.Env = []string{"PATH=/"}
	out, err := version.CombinedOutput()
	require.NoError(t, err)
	assert.Contains(t, string(out), "v1.2.3-rc1")

	// Both architectures: the other program is this one, with its processor changed (e_machine at 18, ELF-64).
	other, both := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH], filepath.Join(dir, "other")
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	binary.LittleEndian.PutUint16(text[18:], uint16(map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[other]))
	require.NoError(t, os.WriteFile(both, text, 0o644))
	digest, err = name.NewDigest(push("--binary", program, "--binary", both, "--tag", "both"))
	require.NoError(t, err)
	index, err = remote.Index(digest.Context().Tag("both"))
	require.NoError(t, err)
	manifest, err = index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 2)
	for _, child := range manifest.Manifests {
		_, err := remote.Head(digest.Context().Digest(child.Digest.String()))
		require.NoError(t, err)
	}

}

// TestPackageVersion: dpkg orders these versions as they came to be, and rpm has the same rules for them.
func TestPackageVersion(t *testing.T) {
	t.Parallel()
	versions := [][2]string{
		{"1a2b3c4", "0~1a2b3c4"},
		{"v1.2.3-rc1", "1.2.3~rc1"},
		{"v1.2.3-rc1-4-g1a2b3c4", "1.2.3~rc1+4.g1a2b3c4"},
		{"v1.2.3-rc2", "1.2.3~rc2"},
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-dirty", "1.2.3+dirty"},
		{"v1.2.4", "1.2.4"},
		{"v1.10.0", "1.10.0"},
	}
	for _, version := range versions {
		assert.Equal(t, version[1], packageVersion(version[0]))
	}
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("dpkg is not installed")
	}
	for i := range versions[1:] {
		older, newer := versions[i][1], versions[i+1][1]
		assert.NoError(t, exec.Command("dpkg", "--compare-versions", older, "lt", newer).Run(), "%s < %s", older, newer)
	}
}

// TestSignSSH: ssh-keygen verifies a signature by a key of its own.
func TestSignSSH(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed (Debian package openssh-client)")
	}
	dir := t.TempDir()
	key, sums, signers := filepath.Join(dir, "key"), filepath.Join(dir, "SHA256SUMS"), filepath.Join(dir, "signers")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(signers, append([]byte("releases@example.com "), public...), 0o600))
	require.NoError(t, os.WriteFile(sums, []byte("sum  file\n"), 0o600))
	require.NoError(t, (&release{key: key}).sign(sums, []byte("sum  file\n")))
	verify := func() error {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "releases@example.com",
			"-n", sshNamespace, "-s", sums+".sig")
		cmd.Stdin, err = os.Open(sums)
		require.NoError(t, err)
		return cmd.Run()
	}
	require.NoError(t, verify())
	require.NoError(t, os.WriteFile(sums, []byte("other  file\n"), 0o600))
	require.Error(t, verify())
}

func TestRefused(t *testing.T) {
	t.Parallel()
	assert.ErrorContains(t, (&release{}).build(), "-version is required")
	assert.ErrorContains(t, (&release{version: "1", platforms: []string{"plan9/mips"}}).build(), "-platforms lacks "+host)
}

// copyOf copies the sources: all but what is built, and git's folder.
func copyOf(t *testing.T, root string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && (relative == ".git" || relative == "bin" || relative == "dist"):
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		case !entry.Type().IsRegular() || relative == ".git": // a file in a work tree
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), content, 0o644)
	}))
	return to
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, entry := range entries {
		files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
	}
	return files
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", program, strings.Join(args, " "), out)
	return string(out)
}
