package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rehearse runs relocate rehearse and returns its report.
func rehearse(t *testing.T, args ...string) (rehearsalReport, result) {
	t.Helper()
	r := relocate(t, append([]string{"rehearse", "-o", "json"}, args...)...)
	var report rehearsalReport
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), "%s\n%s", r.stdout, r.stderr)
	return report, r
}

// TestRehearse: what an import makes of the sample is whole, in a registry that nobody else is asked beside.
func TestRehearse(t *testing.T) {
	t.Parallel()
	src := startReal(t)
	root := pushSample(t, src.Addr)
	file := export(t, root)
	src.Stop()
	report, r := rehearse(t, file, "--as", "registry.airgap.internal/tce/main")
	assert.Zero(t, r.status, r.stderr)
	assert.True(t, report.OK)
	assert.Equal(t, "registry.airgap.internal/tce/main", report.Repository)
	t.Log(r.stdout, r.stderr)
	out := mustRelocate(t, "rehearse", file)
	t.Log(out.stdout, out.stderr)
}
