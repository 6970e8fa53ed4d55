package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo-terminal of 80 columns. shown closes it, and returns what was written to it.
func openTerminal(t *testing.T) (tty *os.File, shown func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals: ", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	all := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, master) // until EIO: nobody has the terminal open
		all <- b.String()
	}()
	return tty, func() string {
		require.NoError(t, tty.Close())
		return strings.ReplaceAll(<-all, "\r\n", "\n")
	}
}

// onTerminal runs the program with standard output and standard error on one pseudo-terminal, and returns what it shows.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	tty, shown := openTerminal(t)
	run(t.Context(), args, tty, tty)
	return shown()
}

// TestLiveLineOnTerminal: the live line fits a terminal of 80 columns, with colours and without. A longer one
// would stay on the screen each time that it is drawn.
func TestLiveLineOnTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	for _, declined := range []string{"", "1"} {
		t.Setenv("NO_COLOR", declined)
		tty, shown := openTerminal(t)
		synctest.Test(t, func(t *testing.T) {
			_, p := newProgress(t.Context(), "auto", painted(tty, nil))
			for _, name := range []string{"import", strings.Repeat("long ", 20)} {
				phase := p.Begin(name, 12345, 249_100_000_000)
				for range 30 {
					time.Sleep(time.Second)
					phase.Add(100, 1_000_000_000)
				}
				phase.End()
			}
		})
		all := strings.NewReplacer("\x1b[2K", "", "\x1b[0K", "").Replace(shown())
		assertAll(t, all, "import: 3.0 GB of 249.1 GB, 300 of 12345 blobs, ", "s left  ", "% |", "long…")
		for l := range strings.SplitSeq(all, "\r") {
			assert.LessOrEqual(t, utf8.RuneCountInString(l), 80, l)
		}
	}
}

// TestObjectOnTerminal: on a terminal the PackageRepository comes after the summary, apart from it.
func TestObjectOnTerminal(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	shown := onTerminal(t, "--from-tar", file, "--to-repo", host+"/x", "--progress", "none")
	summary, object, apart := strings.Cut(shown, "\n\n# The PackageRepository for the cluster: pipe it to kubectl apply -f -\n")
	require.True(t, apart, shown)
	assert.Contains(t, summary, "imported ")
	redirected := mustRelocate(t, "--from-tar", file, "--to-repo", host+"/x")
	assert.Equal(t, redirected.stdout, object)
	assert.True(t, strings.HasPrefix(object, "---\napiVersion: "), object)
}

// TestFindingsOnTerminal: findings fit a terminal of 80 columns; elsewhere a message is one line.
func TestFindingsOnTerminal(t *testing.T) {
	t.Parallel()
	file := export(t, pushOpen(t, startMemory(t, nil)))
	_, findings, found := strings.Cut(onTerminal(t, "verify", file, "--progress", "none"), "\nfindings: ")
	require.True(t, found)
	for l := range strings.Lines(findings) {
		if strings.HasPrefix(l, "               ") && strings.Contains(strings.TrimSpace(l), " ") {
			assert.LessOrEqual(t, utf8.RuneCountInString(l), 81, l)
		}
	}
	const message = "an image outside of the keys that kbld searches: the lock does not have it, and pods pull it from there"
	assert.NotContains(t, findings, message)
	assert.Contains(t, strings.Join(strings.Fields(findings), " "), message)
	assert.Contains(t, mustRelocate(t, "verify", file).stdout, message)
}

// TestWarningsOnTerminal: the warnings of render fit a terminal of 80 columns.
func TestWarningsOnTerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	shown := onTerminal(t, "render", "--repo", pushRenderable(t, startMemory(t, nil)), "package", "asks.corp.com", "--progress", "none")
	assert.Contains(t, strings.Join(strings.Fields(shown), " "), "warning: a.yml:1: quay.io/corp/other:1 has a tag and is not in the lock: kbld asks its registry for the digest, and the step fails")
	for l := range strings.Lines(shown) {
		assert.LessOrEqual(t, utf8.RuneCountInString(l), 82, l) // with the end of the line
	}
}

// TestColours: verdicts and errors have colours on a terminal, unless somebody declines.
func TestColours(t *testing.T) {
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	verify, wrong := []string{"verify", file, "--progress", "none"}, []string{"verfiy"}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	assert.Contains(t, onTerminal(t, verify...), "\x1b[32mOK:\x1b[0m ")
	shown := onTerminal(t, wrong...)
	assertAll(t, shown, "\x1b[1;31mrelocate:\x1b[0m unknown command", "\n\x1b[36mhint:\x1b[0m did you mean")
	assert.NotContains(t, mustRelocate(t, verify...).stdout, "\x1b", "no terminal")
	assert.NotContains(t, onTerminal(t, "--to-tar", "x", "--color=false"), "\x1b")
	t.Setenv("TERM", "dumb")
	assert.NotContains(t, onTerminal(t, verify...), "\x1b")
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	assert.NotContains(t, onTerminal(t, append(verify, wrong...)...), "\x1b")
}
