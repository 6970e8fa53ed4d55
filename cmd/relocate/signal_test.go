package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSignals: SIGINT and SIGTERM, at many points of an export and an import, end the program soon, and the
// same command again goes through.
func TestSignals(t *testing.T) {
	skipShort(t)
	t.Parallel()
	registry := startReal(t)
	source := newMeter(t, registry.Addr)
	root, _ := pushLarge(site{t: t, host: source.host}, 7<<20, 2<<20, 1<<20)
	whole := export(t, root)
	destination := newMeter(t, registry.Addr)
	meters := map[string]*meter{"export": source, "import": destination}
	for name, args := range map[string]func(dir string, round int) []string{
		"export": func(dir string, _ int) []string { return []string{"-b", root, "--to-tar", filepath.Join(dir, "r.tar")} },
		"import": func(dir string, _ int) []string {
			return []string{"--from-tar", whole, "--to-repo", destination.host + "/" + strings.ToLower(filepath.Base(filepath.Dir(dir))) + "/" + filepath.Base(dir)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testSignals(t, name, whole, meters[name], args)
		})
	}
}

func testSignals(t *testing.T, name, whole string, m *meter, args func(dir string, round int) []string) {
	m.arm(0, nil)
	first := t.TempDir()
	clean := mustRun(t, args(first, 0)...)
	steps := m.settle()
	rnd := chance(t)
	for round := range rounds(6, 100) {
		dir := t.TempDir()
		args := args(dir, round)
		p := newProcess(t, args...)
		signal := []os.Signal{os.Interrupt, syscall.SIGTERM}[round%2]
		var sent time.Time
		m.arm(1+rnd.IntN(steps), func() { sent = time.Now(); p.signal(signal) })
		r := p.run(t)
		m.settle()
		require.False(t, sent.IsZero() && r.status != 0)
		if r.status != 0 { // it may have been almost done
			assert.Less(t, time.Since(sent), time.Minute)
			assert.Equal(t, statusInterrupted, r.status, "%s: %s", name, r.stderr)
			assert.Empty(t, r.stdout)
			assertAll(t, r.stderr, "relocate: interrupted\nhint: run the same command again")
		}
		left := namesIn(t, dir)
		switch {
		case name == "import", r.status == 0:
		case strings.Contains(r.stderr, "kept: "+filepath.Join(dir, "r.tar.part")+" has "):
			assert.Equal(t, []string{"r.tar.part", "r.tar.part.journal"}, left)
		default:
			assert.Empty(t, left)
		}
		m.arm(0, nil)
		again := mustRun(t, args...)
		if name == "export" {
			assert.Equal(t, digestOfFile(t, whole), digestOfFile(t, filepath.Join(dir, "r.tar")))
		} else {
			assert.Len(t, again.stdout, len(clean.stdout)+len(filepath.Base(dir))-len(filepath.Base(first)))
			mustRun(t, "verify", "--repo", args[3], whole)
		}
		_ = os.RemoveAll(dir)
	}
}
