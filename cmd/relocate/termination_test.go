package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTermination: a Pod's status gets the result of an import and of a shard, and the reason of a failure; nothing
// is written unless the environment names a file.
func TestTermination(t *testing.T) {
	skipShort(t)
	t.Parallel()
	file := export(t, pushSample(t, startMemory(t, nil)))
	registry := startReal(t)
	own, err := program()
	require.NoError(t, err)
	at := filepath.Join(t.TempDir(), "termination-log")
	require.NoError(t, os.WriteFile(at, []byte(strings.Repeat("x", 5000)), 0o600))
	tell := func(env string, args ...string) (told termination) {
		cmd := exec.Command(own, args...)
		cmd.Env = append(os.Environ(), "RELOCATE_TERMINATION_LOG="+env, "JOB_COMPLETION_INDEX=1")
		out, err := cmd.CombinedOutput()
		if env == "" {
			require.NoError(t, err, string(out))
			return told
		}
		text, err := os.ReadFile(at)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &told), string(text))
		assert.NotRegexp(t, `"[A-Z]\w*":`, string(text), "a field without a name for JSON")
		assert.Equal(t, cmd.ProcessState.ExitCode(), told.Status)
		return told
	}
	repo := registry.Addr + "/private"
	seal, err := v1.NewHash(sealIn(t, file))
	require.NoError(t, err)

	shard := tell(at, "--from-tar", file, "--to-repo", repo, "--shard", "auto/2")
	require.NotNil(t, shard.Result)
	assert.Equal(t, "shard", shard.Result.Action)
	assert.Equal(t, 1, shard.Result.Shard.Index)
	assert.Positive(t, shard.Result.Uploaded.Blobs)

	done := tell(at, "--from-tar", file, "--to-repo", repo, "--await-blobs", "1ms")
	require.NotNil(t, done.Result)
	assert.Zero(t, done.Status)
	assert.Equal(t, []any{"import", repo, &seal}, []any{done.Result.Action, done.Result.Repository, done.Result.Seal})
	assert.Equal(t, 21, done.Result.Uploaded.Blobs+done.Result.Present.Blobs)
	assert.Equal(t, shard.Result.Uploaded.Blobs, done.Result.Present.Blobs)
	assert.Equal(t, "0/2", done.Result.Lacked.Shard)
	require.Len(t, done.Result.Roots, 1)

	verified := tell(at, "verify", "--repo", repo, "--level", "blobs", file)
	require.NotNil(t, verified.Verdict)
	assert.Equal(t, []any{true, repo, "blobs"}, []any{verified.Verdict.OK, verified.Verdict.Subject, verified.Verdict.Level})
	empty := tell(at, "verify", "--repo", registry.Addr+"/empty", file)
	assert.Equal(t, statusMissing, empty.Status)
	assert.Contains(t, empty.Error, "1 problem")
	assert.Contains(t, empty.Verdict.First, "missing")
	assert.Positive(t, empty.Verdict.Problems)

	wrong := tell(at, "--from-tar", file, "--to-repo", repo, "--seal", "sha256:"+strings.Repeat("0", 64))
	assert.Nil(t, wrong.Result)
	assert.Equal(t, statusMissing, wrong.Status)
	assert.Contains(t, wrong.Error, "seal")

	require.NoError(t, os.Remove(at))
	tell("", "--from-tar", file, "--to-repo", repo)
	assert.NoFileExists(t, at)
}

// TestTerminationSize: Kubernetes cuts what is longer, and JSON that is cut says nothing.
func TestTerminationSize(t *testing.T) {
	t.Parallel()
	many := make([]v1.Hash, mostTerminationRoots)
	for i := range many {
		many[i] = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	}
	for name, text := range map[string]string{
		"short": "cannot", "quotes": strings.Repeat(`"\`, 10_000), "controls": strings.Repeat("\x01", 10_000), "wide": strings.Repeat("ü", 10_000), "not UTF-8": strings.Repeat("\xff", 10_000),
	} {
		told := &termination{Version: "1", Result: &copied{Roots: many, Repository: strings.Repeat("r", 300)}}
		raw := told.encode(text, text)
		assert.LessOrEqual(t, len(raw), mostTermination, name)
		var read termination
		require.NoError(t, json.Unmarshal(raw, &read), name)
		assert.NotEmpty(t, read.Error, name)
		assert.Len(t, read.Result.Roots, mostTerminationRoots, name)
	}
}
