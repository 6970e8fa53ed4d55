package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/verify/leak"
)

// --allow lets references end at a place; what is wrong in another way has a reference there, too, or what reads
// like one.
func TestAllow(t *testing.T) {
	t.Parallel()
	const hub = "docker.io/library/nginx:1"
	install, pull := bundle.Install, bundle.Pull
	allowed := []bundle.Finding{
		{Code: leak.Uncovered, Level: install, Reference: hub}, {Code: leak.Elsewhere, Level: install, Reference: hub},
		{Code: leak.Outside, Level: install, Reference: "https://git.test/team/a.git"}, {Code: bundle.NotCarried, Level: install, Reference: hub},
		{Code: leak.NotLocked, Level: install, Reference: hub}, {Code: leak.NotRewritten, Level: pull, Reference: "nginx"},
		{Code: leak.OutsideKey, Level: pull, Reference: hub}, {Code: leak.KbldConfig, Level: pull, Reference: hub},
	}
	not := []bundle.Finding{
		{Code: leak.Missing, Level: install, Reference: hub}, {Code: leak.Locations, Level: install, Reference: hub},
		{Code: leak.Damaged, Level: install, Reference: hub}, {Code: leak.Foreign, Level: install, Reference: hub},
		{Code: leak.WithoutID, Level: install, Reference: hub}, {Code: leak.KbldConfig, Level: install, Reference: hub},
		{Code: leak.MissingPath, Level: install, Reference: "config"}, {Code: leak.NotInstalled, Level: install, Reference: "a.corp.com"},
		{Code: leak.HelmDependency, Level: install, Reference: "https://git.test/team/charts redis 1.0.0"},
		{Code: leak.Uncovered, Level: install, Reference: "docker.io.test/nginx:1"}, {Code: leak.Uncovered, Level: install, Reference: "docker.io:5000/nginx:1"},
		{Code: leak.Outside, Level: install, Reference: "https://git.test@other.test/team/a.git"},
		{Code: leak.Outside, Level: install, Reference: "https://git.test/teams/a.git"},
		{Code: leak.Outside, Level: install, Reference: "https://git.test/team/../other/a.git"},
		{Code: leak.Outside, Level: install, Reference: "other.test:x@git.test:team/a.git"},
	}
	known := tolerance{allow: []string{"docker.io", "git.test/team"}}
	rest, accepted, err := known.split(append(append([]bundle.Finding{}, allowed...), not...))
	require.NoError(t, err)
	assert.Equal(t, allowed, accepted)
	assert.Equal(t, not, rest)
}

// What was a warning when it was accepted, and is worse now, was not accepted.
func TestAcceptedLevel(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "known.json")
	require.NoError(t, os.WriteFile(report, []byte(`{"version": 1, "findings": [
		{"code": "foreign", "level": "warning", "file": "a.yml", "line": 1, "reference": "a.test/b:1"}]}`), 0o600))
	known := tolerance{accept: report}
	require.NoError(t, known.check())
	require.NoError(t, os.Remove(report), "it may be a pipe: it is read once")
	same := bundle.Finding{Code: leak.Foreign, Level: bundle.Warning, File: "a.yml", Line: 1, Reference: "a.test/b:1"}
	worse := same
	worse.Level = bundle.Install
	rest, accepted, err := known.split([]bundle.Finding{same, worse})
	require.NoError(t, err)
	assert.Equal(t, []bundle.Finding{same}, accepted)
	assert.Equal(t, []bundle.Finding{worse}, rest)
}
