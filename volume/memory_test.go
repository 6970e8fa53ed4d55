package volume

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMemory: parity and repair of a large set, of few volumes or many, stay within 256 MiB. With
// RELOCATE_TEST_SOAK=1 the set has 20 GiB; what it holds is zeros that take no room.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if testing.Short() {
		t.Skip("-short is given")
	}
	if dir := os.Getenv("RELOCATE_TEST_LARGE"); dir != "" {
		protectAndRebuild(t, dir)
		return
	}
	for _, kind := range []string{"few", "many"} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestMemory$", "-test.v")
		cmd.Env = append(os.Environ(), "RELOCATE_TEST_LARGE="+filepath.Join(t.TempDir(), kind))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		_, after, found := strings.Cut(string(out), "peak: ")
		require.True(t, found, "%s", out)
		var kib int
		_, err = fmt.Sscan(after, &kib)
		require.NoError(t, err)
		t.Logf("%s: %d MiB", kind, kib>>10)
		assert.Less(t, kib>>10, 256, kind)
	}
}

func protectAndRebuild(t *testing.T, path string) {
	debug.SetMemoryLimit(200 << 20) // as the program does
	debug.SetGCPercent(200)
	l := Layout{Size: 1 << 30, Volume: 4 << 20, Parity: 1}
	if os.Getenv("RELOCATE_TEST_SOAK") == "1" {
		l.Size, l.Volume = 20<<30, 80<<20
	}
	if filepath.Base(path) == "many" {
		l.Volume, l.Parity = l.Volume/4+Block, 16
	} else {
		l.Volume += 32 << 10 // so rs8 suffices
	}
	w, err := Create(path, sealOf, l)
	require.NoError(t, err)
	require.NoError(t, w.Each(func(f *os.File, size int64) error { return f.Truncate(size) }))
	_, err = w.WriteAt(content(1, 1<<20), l.Size/2)
	require.NoError(t, err)
	require.NoError(t, w.Protect(t.Context(), noProgress))
	require.NoError(t, w.Commit())
	var lost []int
	for i := range l.Parity {
		lost = append(lost, l.Volumes()/2+i)
		require.NoError(t, os.Remove(l.Name(path, lost[i])))
	}
	s, err := Open(path)
	require.NoError(t, err)
	defer s.Close()
	r, err := s.Rebuild(t.Context(), lost, noProgress)
	require.NoError(t, err)
	require.NoError(t, r.Accept())
	got, err := io.ReadAll(io.NewSectionReader(s, l.Size/2, 1<<20))
	require.NoError(t, err)
	assert.Equal(t, content(1, 1<<20), got)
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, mark, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println("peak:", strings.Fields(mark)[0])
}
