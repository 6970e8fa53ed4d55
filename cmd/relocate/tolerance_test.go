package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/report"
)

// --allow lets references end at a place; what is wrong in another way has a reference there, too, or what reads
// like one.
func TestAllow(t *testing.T) {
	t.Parallel()
	const hub = "docker.io/library/nginx:1"
	install, pull := report.Install, report.Pull
	allowed := report.Findings{
		{Code: "uncovered", Level: install, Reference: hub}, {Code: "elsewhere", Level: install, Reference: hub},
		{Code: "outside", Level: install, Reference: "https://git.test/team/a.git"}, {Code: "not-carried", Level: install, Reference: hub},
		{Code: "not-locked", Level: install, Reference: hub}, {Code: "not-rewritten", Level: pull, Reference: "nginx"},
		{Code: "outside-key", Level: pull, Reference: hub}, {Code: "kbld-config", Level: pull, Reference: hub},
	}
	not := report.Findings{
		{Code: "missing", Level: install, Reference: hub}, {Code: "locations", Level: install, Reference: hub},
		{Code: "damaged", Level: install, Reference: hub}, {Code: "foreign", Level: install, Reference: hub},
		{Code: "without-id", Level: install, Reference: hub}, {Code: "kbld-config", Level: install, Reference: hub},
		{Code: "missing-path", Level: install, Reference: "config"}, {Code: "not-installed", Level: install, Reference: "a.corp.com"},
		{Code: "helm-dependency", Level: install, Reference: "https://git.test/team/charts redis 1.0.0"},
		{Code: "uncovered", Level: install, Reference: "docker.io.test/nginx:1"}, {Code: "uncovered", Level: install, Reference: "docker.io:5000/nginx:1"},
		{Code: "outside", Level: install, Reference: "https://git.test@other.test/team/a.git"},
		{Code: "outside", Level: install, Reference: "https://git.test/teams/a.git"},
		{Code: "outside", Level: install, Reference: "https://git.test/team/../other/a.git"},
		{Code: "outside", Level: install, Reference: "other.test:x@git.test:team/a.git"},
	}
	known := tolerance{allow: []string{"docker.io", "git.test/team"}}
	rest, accepted, err := known.split(slices.Concat(allowed, not))
	require.NoError(t, err)
	assert.Equal(t, allowed, accepted)
	assert.Equal(t, not, rest)
}

// What was a warning when it was accepted, and is worse now, was not accepted.
func TestAcceptedLevel(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "known.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"version": 1, "findings": [
		{"code": "foreign", "level": "warning", "file": "a.yml", "line": 1, "reference": "a.test/b:1"}]}`), 0o600))
	known := tolerance{accept: file}
	require.NoError(t, known.check())
	require.NoError(t, os.Remove(file), "it may be a pipe: it is read once")
	same := report.Finding{Code: "foreign", Level: report.Warning, File: "a.yml", Line: 1, Reference: "a.test/b:1"}
	worse := same
	worse.Level = report.Install
	rest, accepted, err := known.split([]report.Finding{same, worse})
	require.NoError(t, err)
	assert.Equal(t, report.Findings{same}, accepted)
	assert.Equal(t, report.Findings{worse}, rest)
}
