// Package realkbld asks the code of kbld v0.44.0, and the code with which kapp-controller v0.53.1
// selects versions (the program in testdata/oracle).
package realkbld

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// File is an input of kbld; "-" is the stream.
type File struct {
	Path string
	Data []byte
}

// Prereleases selects those with one of the identifiers, or all.
type Prereleases struct {
	Identifiers []string `json:"identifiers"`
}

// Request asks for what kbld makes of Files, or for which of Versions are selected.
type Request struct {
	Files       []File       `json:",omitempty"`
	Versions    []string     `json:",omitempty"`
	Constraint  string       `json:",omitempty"`
	Prereleases *Prereleases `json:",omitempty"`
	Kubernetes  *Target      `json:",omitempty"`
	Controller  *Target      `json:",omitempty"`
}

// Target is the version of a cluster, or of its kapp-controller, and what each of the versions demands of
// it.
type Target struct {
	Version     string
	Constraints []string
}

// Answer is what the real code says.
type Answer struct {
	Text     string   // what kbld prints
	Selected []string // of the versions, lowest first
	Nothing  string   // what kapp-controller says where nothing is selected
	Error    string   // kbld's or kapp-controller's own; for what a registry would be asked, it ends with Asked
}

// Asked ends the error of an image for which kbld asks a registry.
const Asked = ": asked"

// Oracle is the running program.
type Oracle struct {
	in  *json.Encoder
	out *json.Decoder
}

// Start runs the program until the test ends. Its first use on a machine builds it, which takes up to
// a minute; go keeps the result in its build cache.
func Start(t testing.TB) *Oracle {
	t.Helper()
	path, err := program()
	require.NoError(t, err, "build testdata/oracle")
	cmd := exec.Command(path)
	cmd.Env = append(cmd.Environ(), "TMPDIR="+t.TempDir(), "DOCKER_CONFIG="+t.TempDir(), "NO_PROXY=", "no_proxy=", "http_proxy=", "https_proxy=")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return &Oracle{json.NewEncoder(in), json.NewDecoder(out)}
}

// Ask returns the answer to a request.
func (o *Oracle) Ask(t testing.TB, r Request) Answer {
	t.Helper()
	require.NoError(t, o.in.Encode(r))
	var a Answer
	require.NoError(t, o.out.Decode(&a))
	require.NotContains(t, a.Error, "panic: ", "the code itself crashes at %+v: keep such input out", r)
	return a
}

var program = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(file) {
		return "", errors.New("the test does not know its source folder: build it without -trimpath")
	}
	cmd := exec.Command("go", "tool", "-n", "oracle")
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "oracle")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s in %s: %w\n%s", cmd, cmd.Dir, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
})
