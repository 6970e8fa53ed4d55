package selfimage_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/selfimage"
)

var about = selfimage.About{Version: "1.2.3", Created: time.Unix(1_790_000_000, 0)}

// TestBuild: the image has the program, runs it as a user without rights, and is the same each time.
func TestBuild(t *testing.T) {
	t.Parallel()
	programs := []selfimage.Program{{"amd64", compile(t, "linux", "amd64")}, {"arm64", compile(t, "linux", "arm64")}}
	index, err := selfimage.Build(programs, about)
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	assert.Equal(t, "1.2.3", manifest.Annotations["org.opencontainers.image.version"])
	require.Len(t, manifest.Manifests, 2)
	for i, child := range manifest.Manifests {
		assert.Equal(t, &v1.Platform{OS: "linux", Architecture: programs[i].Architecture}, child.Platform)
		image, err := index.Image(child.Digest)
		require.NoError(t, err)
		config, err := image.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, programs[i].Architecture, config.Architecture)
		assert.Equal(t, []string{"/relocate"}, config.Config.Entrypoint)
		assert.Equal(t, "65532:65532", config.Config.User)
		assert.Equal(t, about.Created.UTC(), config.Created.Time)
		layers, err := image.Layers()
		require.NoError(t, err)
		require.Len(t, layers, 1)
		files, modes := untar(t, layers[0])
		assert.Equal(t, programs[i].Binary, files["relocate"])
		assert.Equal(t, map[string]int64{"relocate": 0o755, "tmp/": 0o1777}, modes)
	}

	again, err := selfimage.Build(programs, about)
	require.NoError(t, err)
	var first, second bytes.Buffer
	require.NoError(t, selfimage.WriteLayout(&first, index, about.Version))
	require.NoError(t, selfimage.WriteLayout(&second, again, about.Version))
	assert.Equal(t, first.Bytes(), second.Bytes())

	dir := t.TempDir()
	for name, content := range readTar(t, &first, nil) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	path, err := layout.FromPath(dir)
	require.NoError(t, err)
	written, err := path.ImageIndex()
	require.NoError(t, err)
	require.NoError(t, validate.Index(written))
}

// TestRefused: what would not run from scratch does not become an image.
func TestRefused(t *testing.T) {
	t.Parallel()
	good := compile(t, "linux", "amd64")
	for name, test := range map[string]struct {
		program selfimage.Program
		says    string
	}{
		"dynamic":            {selfimage.Program{"amd64", dynamic(t, good)}, "dynamically linked"},
		"another processor":  {selfimage.Program{"arm64", good}, "another processor (EM_X86_64)"},
		"another system":     {selfimage.Program{"amd64", compile(t, "windows", "amd64")}, "not a Linux executable"},
		"empty":              {selfimage.Program{"amd64", nil}, "not a Linux executable"},
		"cut":                {selfimage.Program{"amd64", good[:70]}, "not a Linux executable"},
		"object file":        {selfimage.Program{"amd64", withType(good, elf.ET_REL)}, "no executable (ET_REL)"},
		"other architecture": {selfimage.Program{"riscv64", good}, `unsupported architecture "riscv64"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := selfimage.Build([]selfimage.Program{test.program}, about)
			require.ErrorIs(t, err, selfimage.ErrProgram)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

// compile builds a program that does nothing.
func compile(t *testing.T, goos, goarch string) []byte {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600))
	build := exec.Command("go", "build", "-trimpath", "-o", out, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+goos, "GOARCH="+goarch)
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	program, err := os.ReadFile(out)
	require.NoError(t, err)
	return program
}

// dynamic makes of a program one that names an interpreter, as a dynamically linked one does: its first
// note becomes that segment (ELF-64: e_phoff at 32, e_phentsize at 54, e_phnum at 56, p_type first).
func dynamic(t *testing.T, program []byte) []byte {
	t.Helper()
	changed := bytes.Clone(program)
	order := binary.LittleEndian
	at, size, n := order.Uint64(changed[32:]), uint64(order.Uint16(changed[54:])), order.Uint16(changed[56:])
	for range n {
		if elf.ProgType(order.Uint32(changed[at:])) == elf.PT_NOTE {
			order.PutUint32(changed[at:], uint32(elf.PT_INTERP))
			return changed
		}
		at += size
	}
	t.Fatal("the program has no note")
	return nil
}

func withType(program []byte, as elf.Type) []byte {
	changed := bytes.Clone(program)
	binary.LittleEndian.PutUint16(changed[16:], uint16(as))
	return changed
}

func untar(t *testing.T, layer v1.Layer) (files map[string][]byte, modes map[string]int64) {
	t.Helper()
	r, err := layer.Uncompressed()
	require.NoError(t, err)
	defer r.Close()
	modes = map[string]int64{}
	return readTar(t, r, modes), modes
}

// readTar returns what a tar holds, and puts the modes into a map that may be nil.
func readTar(t *testing.T, r io.Reader, modes map[string]int64) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		header, err := tr.Next()
		if err == io.EOF {
			return files
		}
		require.NoError(t, err)
		files[header.Name], err = io.ReadAll(tr)
		require.NoError(t, err)
		if modes != nil {
			modes[header.Name] = header.Mode
		}
	}
}
