package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCheckValues: values are checked by the schema of the Package or, without one, by that of its files.
func TestCheckValues(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root := pushPackages(t, host)
	s := site{t: t, host: host}
	declares := s.ref("p", s.bundle("p", "1", map[string]string{"config/schema.yml": "#@data/values-schema\n---\nport: 80\n"}))
	defaults := s.ref("q", s.bundle("q", "1", map[string]string{"config/values.yml": "#@data/values\n---\nport: 80\n"}))
	s.bundle("r", "1", map[string]string{
		"packages/p.yml": packageText("p.corp.com", "1.0.0", declares), "packages/q.yml": packageText("q.corp.com", "1.0.0", defaults),
	}, declares, defaults)

	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good, wrong := file("good.yml", "contour: {replicas: 3}\n"), file("wrong.yml", "namespace: x\ncontour:\n  replicas: three\n  logLevl: debug\n")
	args := func(which string, files ...string) []string {
		args := []string{"inspect", "--repo", root, "package", which}
		for _, f := range files {
			args = append(args, "--check-values", f)
		}
		return args
	}
	assert.Equal(t, "the values fit package "+contour+"/1.20.1\n", mustRelocate(t, args(contour+"/1.20.1", good)...).stdout)
	got := tryRelocate(t, args(contour+"/1.20.1", wrong, good)...)
	assert.Equal(t, statusUsage, got.status)
	assert.Equal(t, "hint: relocate inspect … --values-schema shows the values that it takes\n", got.stderr)
	assert.Equal(t, "error: "+wrong+": line 3: contour.replicas: must be an integer, is a string\n"+
		"warning: "+wrong+": line 4: contour.logLevl: is not a key of the schema, which permits others: configFileContents, logLevel, replicas, useProxyProtocol\n"+
		"the values do not fit package "+contour+"/1.20.1: 1 error\n", got.stdout)

	asJSON := tryRelocate(t, append(args(contour+"/1.20.1", wrong), "-o", "json")...)
	assert.Equal(t, statusUsage, asJSON.status)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(asJSON.stdout), &report))
	assert.Equal(t, false, report["ok"])
	assert.Equal(t, map[string]any{"file": wrong, "line": 3.0, "key": "contour.replicas", "message": "must be an integer, is a string"}, report["problems"].([]any)[0])

	root = host + "/r:1"
	got = tryRelocate(t, args("p.corp.com/1.0.0", file("p.yml", "prot: 80\n"))...)
	assert.Equal(t, statusUsage, got.status)
	assert.Contains(t, got.stdout, "p.yml: line 1: prot: is not a key of the schema: port\n")
	assertFailed(t, tryRelocate(t, args("q.corp.com/1.0.0", good)...), statusMissing, "says nowhere which values it takes")
	assertFailed(t, tryRelocate(t, args("p.corp.com", good)...), statusUsage, "--check-values: name a version")
	assertFailed(t, tryRelocate(t, args("p.corp.com/1.0.0", filepath.Join(dir, "none.yml"))...), statusUsage, "none.yml")
	assertFailed(t, tryRelocate(t, args("p.corp.com/1.0.0", "p.corp.com="+good)...), statusUsage, "give the file alone: --check-values "+good)
	assertFailed(t, tryRelocate(t, append(args("p.corp.com/1.0.0", good), "--values-schema")...), statusUsage, "cannot be used together")
}
