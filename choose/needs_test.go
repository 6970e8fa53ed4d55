package choose_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
	"relocate/report"
)

// installsOf is a callback that knows what packages install, by name and version, and counts how often it
// was asked for each.
func installsOf(asked map[string]int, needs map[string][]choose.Need) choose.Installs {
	return func(_ context.Context, packages []carvel.Package) (all [][]choose.Need, err error) {
		for _, p := range packages {
			asked[p.Name+" "+p.Version]++
			all = append(all, needs[p.Name+" "+p.Version])
		}
		return all, nil
	}
}

// TestDependencies: what chosen packages install comes along, over several levels, by its constraints;
// each package is read once.
func TestDependencies(t *testing.T) {
	t.Parallel()
	repo := repository("app 1.0.0", "app 2.0.0", "db 1.0.0", "db 1.5.0", "db 2.0.0", "disk 1.0.0", "disk 1.1.0-rc.1", "log 1.0.0", "log 2.0.0", "loop 1.0.0", "rest 1.0.0")
	needs := map[string][]choose.Need{
		"app 1.0.0":       {{Name: "rest"}},
		"app 2.0.0":       {{Name: "db", Constraint: "1.x"}, {Name: "log", Constraint: ">=1.0.0"}, {Name: "loop"}},
		"db 1.5.0":        {{Name: "disk", Prereleases: &carvel.Prereleases{}}, {Name: "log", Constraint: "1.0.0"}},
		"disk 1.1.0-rc.1": {{Name: "db", Constraint: "<2.0.0"}},
		"loop 1.0.0":      {{Name: "app", Constraint: ">=2.0.0"}, {Name: "loop"}},
	}
	asked := map[string]int{}
	chosen, err := repo.Choose(t.Context(), choose.Choice{Packages: patterns(t, "app"), Latest: 1}, installsOf(asked, needs))
	require.NoError(t, err)
	assert.Equal(t, "app 2.0.0, db 1.5.0 (dependency), disk 1.1.0-rc.1 (dependency), log 2.0.0 (dependency), log 1.0.0 (dependency), loop 1.0.0 (dependency)", versionsOf(chosen))
	assert.Empty(t, chosen.Findings)
	assert.Equal(t, map[string]int{"app 2.0.0": 1, "db 1.5.0": 1, "disk 1.1.0-rc.1": 1, "log 1.0.0": 1, "log 2.0.0": 1, "loop 1.0.0": 1}, asked)
	by := map[string][]string{}
	for _, v := range chosen.Versions {
		by[v.Name+" "+v.Version] = v.NeededBy
	}
	assert.Equal(t, map[string][]string{
		"app 2.0.0": nil, "db 1.5.0": {"app 2.0.0", "disk 1.1.0-rc.1"}, "disk 1.1.0-rc.1": {"db 1.5.0"}, "log 1.0.0": {"db 1.5.0"},
		"log 2.0.0": {"app 2.0.0"}, "loop 1.0.0": {"app 2.0.0", "loop 1.0.0"},
	}, by)
}

// TestDependencyChosen: a version that is chosen anyway and is selected by a PackageInstall is enough.
func TestDependencyChosen(t *testing.T) {
	t.Parallel()
	repo := repository("app 1.0.0", "db 1.0.0", "db 2.0.0")
	chosen, err := repo.Choose(t.Context(), choose.Choice{Packages: patterns(t, "app", "db@1.0.0")}, installsOf(map[string]int{}, map[string][]choose.Need{"app 1.0.0": {{Name: "db", Constraint: ">=1.0.0"}}}))
	require.NoError(t, err)
	assert.Equal(t, "app 1.0.0, db 1.0.0", versionsOf(chosen))
	assert.Empty(t, chosen.Findings)
}

// TestDependencyTarget: a dependency that does not run on the cluster is none that kapp-controller takes.
func TestDependencyTarget(t *testing.T) {
	t.Parallel()
	repo := repository("app 1.0.0", "db 1.0.0", "db 2.0.0 k8s:>=1.30.0")
	chosen, err := repo.Choose(t.Context(), choose.Choice{Packages: patterns(t, "app"), Kubernetes: "1.29.0"}, installsOf(map[string]int{}, map[string][]choose.Need{"app 1.0.0": {{Name: "db"}}}))
	require.NoError(t, err)
	assert.Equal(t, "app 1.0.0, db 1.0.0 (dependency)", versionsOf(chosen))
}

// TestUnmet: what does not come along is a finding with its place.
func TestUnmet(t *testing.T) {
	t.Parallel()
	repo := repository("app 1.0.0", "db 1.0.0", "log 1.0.0")
	repo.Packages[0].Fetches = []carvel.Fetch{{Kind: "imgpkgBundle", Reference: "registry.example/app@sha256:1"}}
	for _, test := range []struct {
		name   string
		choice choose.Choice
		need   choose.Need
		want   report.Finding
	}{
		{"not followed", choose.Choice{NoDependencies: true}, choose.Need{Name: "db", Constraint: "1.x"},
			report.Finding{Level: report.Install, Reference: "db 1.x", Message: `a PackageInstall needs "db 1.x", which was not chosen`}},
		{"excluded", choose.Choice{Exclude: []string{"db"}}, choose.Need{Name: "db"},
			report.Finding{Level: report.Install, Reference: "db", Message: `a PackageInstall needs "db", which is excluded`}},
		{"no version", choose.Choice{}, choose.Need{Name: "db", Constraint: "2.x"},
			report.Finding{Level: report.Install, Reference: "db 2.x", Message: `a PackageInstall needs "db 2.x", which the repository does not have: all=1 -> after-prereleases-filter=1 -> after-constraints-filter=0`}},
		{"no package", choose.Choice{}, choose.Need{Name: "gone", Constraint: "2.x"},
			report.Finding{Level: report.Install, Reference: "gone 2.x", Message: `a PackageInstall needs "gone 2.x", which the repository does not have`}},
		{"refused", choose.Choice{}, choose.Need{Name: "db", Constraint: "^1.0.0"},
			report.Finding{Level: report.Install, Reference: "db ^1.0.0", Message: `a PackageInstall needs "db ^1.0.0", and kapp-controller refuses it: Selecting versions: Parsing version constraint '^1.0.0': Could not parse Range "^1.0.0": Could not parse comparator "^" in "^1.0.0"`}},
		{"computed", choose.Choice{}, choose.Need{Computed: true},
			report.Finding{Level: report.Warning, Message: "a PackageInstall needs a package that a template computes"}},
	} {
		test.choice.Packages = patterns(t, "app")
		test.need.File, test.need.Line = "config/db.yml", 7
		chosen, err := repo.Choose(t.Context(), test.choice, installsOf(map[string]int{}, map[string][]choose.Need{"app 1.0.0": {test.need}}))
		require.NoError(t, err, test.name)
		assert.Equal(t, "app 1.0.0", versionsOf(chosen), test.name)
		require.Len(t, chosen.Findings, 1, test.name)
		test.want.Code, test.want.Bundle, test.want.Package, test.want.File, test.want.Line = "not-installed", "registry.example/app@sha256:1", "app 1.0.0", "config/db.yml", 7
		chosen.Findings[0].Action = ""
		assert.Equal(t, test.want, chosen.Findings[0], test.name)
	}
	failed := errors.New("cannot read it")
	_, err := repo.Choose(t.Context(), choose.Choice{Latest: 1}, func(context.Context, []carvel.Package) ([][]choose.Need, error) { return nil, failed })
	assert.ErrorIs(t, err, failed)
}

// TestManyNeeds: packages with more PackageInstalls than can be compared are an error, soon.
func TestManyNeeds(t *testing.T) {
	t.Parallel()
	var packages []string
	for i := range 1000 {
		packages = append(packages, fmt.Sprintf("a %d.0.0", i))
	}
	needs := make([]choose.Need, 1000)
	for i := range needs {
		needs[i] = choose.Need{Name: "a", Constraint: fmt.Sprintf("%d.0.0", i)}
	}
	_, err := repository(packages...).Choose(t.Context(), choose.Choice{Packages: patterns(t, "a"), Latest: 1}, installsOf(map[string]int{}, map[string][]choose.Need{"a 999.0.0": needs}))
	assert.EqualError(t, err, "the choice compares more than 500000 versions")
}
