package choose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
	"relocate/testdata/realkbld"
)

// repository has packages, each "name version", and for some what they demand of Kubernetes and of
// kapp-controller: "name version k8s:>=1.20.0 kc:>=0.40.0".
func repository(packages ...string) *choose.Repository {
	r := &choose.Repository{}
	for _, s := range packages {
		words := strings.Fields(s)
		p := carvel.Package{Name: words[0], Version: words[1]}
		for _, word := range words[2:] {
			target, constraint, _ := strings.Cut(word, ":")
			if target == "k8s" {
				p.Kubernetes = constraint
			} else {
				p.Controller = constraint
			}
		}
		r.Packages = append(r.Packages, p)
	}
	return r
}

// patterns reads patterns.
func patterns(t *testing.T, list ...string) []choose.Pattern {
	t.Helper()
	var out []choose.Pattern
	for _, s := range list {
		p, err := choose.ParsePattern(s)
		require.NoError(t, err)
		out = append(out, p)
	}
	return out
}

// chosenOf chooses without dependencies.
func chosenOf(t *testing.T, r *choose.Repository, c choose.Choice) *choose.Chosen {
	t.Helper()
	chosen, err := r.Choose(t.Context(), c, nil)
	require.NoError(t, err)
	return chosen
}

// versionsOf lists what was chosen: "a 2.0.0, a 1.0.0, b 1.0.0 (dependency)".
func versionsOf(c *choose.Chosen) string {
	var list []string
	for _, v := range c.Versions {
		s := v.Name + " " + v.Version
		if v.Reason != choose.Wanted {
			s += " (" + string(v.Reason) + ")"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

// TestRules: versions are chosen as kapp-controller selects them. Its own code judges each case.
func TestRules(t *testing.T) {
	t.Parallel()
	oracle := realkbld.Start(t)
	const tkg = "1.0.0+vmware.1-tkg.2 1.0.0+vmware.1-tkg.10 1.0.0+vmware.2-tkg.1"
	pre, none := true, false
	for _, test := range []struct {
		versions, constraint string
		prereleases          bool
		want                 string
	}{
		// One version.
		{"1.0.0 1.0.1 2.0.0", "1.0.0", none, "1.0.0"},
		{"1.0.0 1.0.1 2.0.0", "=1.0.0", none, "1.0.0"},
		{"1.0.0 1.0.1 2.0.0", "==1.0.0", none, "1.0.0"},
		{"1.0.0 1.0.1 2.0.0", "1.0.2", none, ""},
		{"1.0.0 1.0.1 2.0.0", "", none, "1.0.0 1.0.1 2.0.0"},
		{"10.0.0 9.0.0 2.0.0", "", none, "2.0.0 9.0.0 10.0.0"},
		{"1.10.0 1.9.0 1.2.0", "", none, "1.2.0 1.9.0 1.10.0"},
		// Ranges.
		{"1.0.0 1.5.0 2.0.0", ">=1.0.0 <2.0.0", none, "1.0.0 1.5.0"},
		{"1.0.0 1.5.0 2.0.0", ">1.0.0", none, "1.5.0 2.0.0"},
		{"1.0.0 1.5.0 2.0.0", "> 1.0.0", none, "1.5.0 2.0.0"},
		{"1.0.0 1.5.0 2.0.0", "<=1.5.0", none, "1.0.0 1.5.0"},
		{"1.0.0 1.5.0 2.0.0", "<1.5.0", none, "1.0.0"},
		{"1.0.0 1.5.0 2.0.0", "!1.5.0", none, "1.0.0 2.0.0"},
		{"1.0.0 1.5.0 2.0.0", "!=1.5.0", none, "1.0.0 2.0.0"},
		{"1.0.0 1.5.0 2.0.0", ">1.0.0 !1.5.0", none, "2.0.0"},
		{"1.0.0 1.5.0 2.0.0", ">2.0.0 <1.0.0", none, ""},
		// Wildcards.
		{"1.0.0 1.5.0 2.0.0", "1.x", none, "1.0.0 1.5.0"},
		{"1.0.0 1.0.9 1.1.0", "1.0.x", none, "1.0.0 1.0.9"},
		{"1.0.0 1.0.9 1.1.0", ">1.0.x", none, "1.1.0"},
		{"1.0.0 1.0.9 1.1.0 2.0.0", ">=1.1.x", none, "1.1.0 2.0.0"},
		{"1.0.0 1.0.9 1.1.0 2.0.0", "<1.1.x", none, "1.0.0 1.0.9"},
		{"1.0.0 1.0.9 1.1.0 2.0.0", "<=1.0.x", none, "1.0.0 1.0.9"},
		{"1.0.0 1.0.9 1.1.0 2.0.0", "!1.0.x", none, ""}, // the library's own: <1.0.0 and >=1.1.0
		{"0.1.0 1.0.0", "0.x", none, "0.1.0"},
		{"1.0.0 1.5.0 2.0.0", "1.x.x", none, "1.0.0"}, // the library's own: 1.0.x
		// Alternatives.
		{"1.0.0 2.0.0 3.0.0", "1.x || 3.x", none, "1.0.0 3.0.0"},
		{"1.0.0 2.0.0 3.0.0", "1.0.0 || 3.0.0", none, "1.0.0 3.0.0"},
		{"1.0.0 2.0.0 3.0.0", ">=1.0.0 <2.0.0 || >=3.0.0", none, "1.0.0 3.0.0"},
		{"1.0.0 2.0.0 3.0.0", "<2.0.0||>2.0.0", none, "refused"},
		{"1.0.0 2.0.0 3.0.0", "4.x || 5.x", none, ""},
		// Prereleases.
		{"1.0.0 2.0.0-rc.1", "", none, "1.0.0"},
		{"1.0.0 2.0.0-rc.1", "", pre, "1.0.0 2.0.0-rc.1"},
		{"1.0.0 2.0.0-rc.1", ">=1.0.0", none, "1.0.0"},
		{"1.0.0 2.0.0-rc.1", ">=1.0.0", pre, "1.0.0 2.0.0-rc.1"},
		{"1.0.0 2.0.0-rc.1", "2.0.0-rc.1", none, "2.0.0-rc.1"},
		{"1.0.0 2.0.0-rc.1", "=2.0.0-rc.1", none, ""},
		{"1.0.0 2.0.0-rc.1", "=2.0.0-rc.1", pre, "2.0.0-rc.1"},
		{"1.0.0 2.0.0-rc.1", "2.0.0-rc.1 || 1.0.0", none, "1.0.0"},
		{"2.0.0-rc.1 2.0.0", ">=2.0.0-rc.1", none, "2.0.0"},
		{"2.0.0-rc.1 2.0.0", "<2.0.0", pre, "2.0.0-rc.1"},
		{"2.0.0-rc.1 2.0.0 3.0.0-rc.1", "2.x", pre, "2.0.0 3.0.0-rc.1"},
		{"2.0.0-alpha.2 2.0.0-alpha.10 2.0.0-beta 2.0.0", "", pre, "2.0.0-alpha.2 2.0.0-alpha.10 2.0.0-beta 2.0.0"},
		{"2.0.0-1 2.0.0-alpha 2.0.0-alpha.1", "", pre, "2.0.0-1 2.0.0-alpha 2.0.0-alpha.1"},
		{"2.0.0-rc.1", "", none, ""},
		// Build metadata is ordered, and counts.
		{tkg, "", none, "1.0.0+vmware.1-tkg.2 1.0.0+vmware.1-tkg.10 1.0.0+vmware.2-tkg.1"},
		{tkg, "1.0.0", none, ""},
		{tkg, "1.0.0+vmware.1-tkg.2", none, "1.0.0+vmware.1-tkg.2"},
		{tkg, ">1.0.0+vmware.1-tkg.2", none, "1.0.0+vmware.1-tkg.10 1.0.0+vmware.2-tkg.1"},
		{tkg, ">=1.0.0", none, "1.0.0+vmware.1-tkg.2 1.0.0+vmware.1-tkg.10 1.0.0+vmware.2-tkg.1"},
		{tkg, "<=1.0.0", none, ""},
		{tkg, "1.0.x", none, "1.0.0+vmware.1-tkg.2 1.0.0+vmware.1-tkg.10 1.0.0+vmware.2-tkg.1"},
		{"1.0.0 1.0.0+ab 1.0.0+z", "", none, "1.0.0 1.0.0+ab 1.0.0+z"},
		{"1.0.0 1.0.0+ab 1.0.0+z", "1.0.0", none, "1.0.0"},
		{"1.0.0-rc.1+b 1.0.0+b", "1.0.0-rc.1+b", none, "1.0.0-rc.1+b"},
		{"1.0.0-rc.1+b 1.0.0+b", "1.0.0-rc.1", none, ""},
		// Odd versions.
		{"v1.0.0 2.0.0", "", none, "v1.0.0 2.0.0"},
		{"v1.0.0 2.0.0", "1.0.0", none, "v1.0.0"},
		{"1.0 latest 1.0.0", "", none, "1.0.0"},
		{"01.0.0 1.0.0", "", none, "1.0.0"},
		{"1.0.0 18446744073709551616.0.0", "", none, "1.0.0"},
		{"18446744073709551615.0.0 1.0.0", ">1.0.0", none, "18446744073709551615.0.0"},
		// Constraints of others.
		{"1.0.0 1.5.0", "*", none, "refused"},
		{"1.0.0 1.5.0", "x", none, "refused"},
		{"1.0.0 1.5.0", "^1.0.0", none, "refused"},
		{"1.0.0 1.5.0", "~1.0.0", none, "refused"},
		{"1.0.0 1.5.0", "v1.0.0", none, "refused"},
		{"1.0.0 1.5.0", "1.0", none, "refused"},
		{"1.0.0 1.5.0", "1", none, "refused"},
		{"1.0.0 1.5.0", "||", none, "refused"},
		{"1.0.0 1.5.0", "1.0.0 ||", none, "refused"},
		{"1.0.0 1.5.0", "1.0.0, 1.5.0", none, "refused"},
		{"1.0.0 1.5.0", ">=1.0.0 <", none, "1.0.0 1.5.0"}, // the library ignores it
		{"1.0.0 1.5.0", "1.0.0 - 2.0.0", none, ""},        // both at once
		{"1.0.0 1.5.0", "=>1.0.0", none, "refused"},
		{"1.0.0 1.5.0", "latest", none, "refused"},
	} {
		name := fmt.Sprintf("%s of %s, prereleases %t", test.constraint, test.versions, test.prereleases)
		request := realkbld.Request{Versions: strings.Fields(test.versions), Constraint: test.constraint}
		if test.prereleases {
			request.Prereleases = &realkbld.Prereleases{}
		}
		theirs := oracle.Ask(t, request)

		var all []string
		for _, version := range request.Versions {
			all = append(all, "a.example.com "+version)
		}
		c := choose.Choice{Packages: []choose.Pattern{{Name: "a.example.com", Constraint: test.constraint}}, Prereleases: test.prereleases}
		chosen, err := repository(all...).Choose(t.Context(), c, nil)
		if test.want == "refused" {
			require.NotEmpty(t, theirs.Error, name)
			require.ErrorContains(t, err, theirs.Error, name)
			continue
		}
		require.NoError(t, err, name)
		require.Empty(t, theirs.Error, name)
		var ours []string
		for _, v := range slices.Backward(chosen.Versions) {
			ours = append(ours, v.Version)
		}
		require.Equal(t, test.want, strings.Join(ours, " "), name)
		require.Equal(t, test.want, strings.Join(theirs.Selected, " "), name)
		if test.want == "" {
			require.ErrorIs(t, choose.Unmatched(chosen), choose.ErrUnmatched, name)
			require.ErrorContains(t, choose.Unmatched(chosen), theirs.Nothing, name)
		}
	}
}

// TestTarget: what a Package demands of Kubernetes and of kapp-controller counts when the versions are
// given.
func TestTarget(t *testing.T) {
	t.Parallel()
	oracle := realkbld.Start(t)
	packages := []string{"a 1.0.0", "a 2.0.0 k8s:>=1.20.0", "a 3.0.0 k8s:>=1.25.0 kc:>=0.40.0", "a 4.0.0 kc:>=0.50.0"}
	for _, test := range []struct{ kubernetes, controller, constraint, want, nothing string }{
		{"", "", "", "a 4.0.0, a 3.0.0, a 2.0.0, a 1.0.0", ""},
		{"1.19.0", "", "", "a 4.0.0, a 1.0.0", ""},
		{"v1.25.3+k3s1", "", "", "a 4.0.0, a 3.0.0, a 2.0.0, a 1.0.0", ""},
		{"1.25.0-rc.1", "", "3.0.0", "a 3.0.0", ""}, // the prerelease is ignored
		{"1.25", "0.39.9", "", "a 2.0.0, a 1.0.0", ""},
		{"1.24.9", "0.50.0", "", "a 4.0.0, a 2.0.0, a 1.0.0", ""},
		{"", "0.40.0-dev", "", "a 3.0.0, a 2.0.0, a 1.0.0", ""},
		{"1.19.0", "0.30.0", ">=2.0.0", "", "all=4 -> after-prereleases-filter=4 -> after-kubernetes-version-check=2 -> after-kapp-controller-version-check=1 -> after-constraints-filter=0"},
	} {
		r := realkbld.Request{Constraint: test.constraint}
		kubernetes, controller := realkbld.Target{Version: test.kubernetes}, realkbld.Target{Version: test.controller}
		repo := repository(packages...)
		for _, p := range repo.Packages {
			r.Versions = append(r.Versions, p.Version)
			kubernetes.Constraints, controller.Constraints = append(kubernetes.Constraints, p.Kubernetes), append(controller.Constraints, p.Controller)
		}
		if test.kubernetes != "" {
			r.Kubernetes = &kubernetes
		}
		if test.controller != "" {
			r.Controller = &controller
		}
		theirs := oracle.Ask(t, r)
		chosen := chosenOf(t, repo, choose.Choice{Packages: []choose.Pattern{{Name: "a", Constraint: test.constraint}}, Kubernetes: test.kubernetes, KappController: test.controller})
		require.Equal(t, test.want, versionsOf(chosen), "%+v", test)
		var selected []string
		for _, version := range slices.Backward(theirs.Selected) {
			selected = append(selected, "a "+version)
		}
		require.Equal(t, test.want, strings.Join(selected, ", "), "%+v", test)
		if test.nothing != "" {
			require.Equal(t, "Expected to find at least one version, but did not (details: "+test.nothing+")", theirs.Nothing)
			require.EqualError(t, choose.Unmatched(chosen), `"a@>=2.0.0" matches nothing: a: `+theirs.Nothing)
		}
	}
}

// TestTargetOfDocuments: what Packages demand is read from their documents.
func TestTargetOfDocuments(t *testing.T) {
	t.Parallel()
	demands := func(version, spec string) string {
		return strings.Replace(pkg("a.b.c", version, "1"), "spec:\n  refName", "spec:\n  "+spec+"\n  refName", 1)
	}
	repo := read(t, renderer(t), map[string][]byte{carvel.LockFile: lockOf(t), "packages/a.yml": []byte(pkg("a.b.c", "1.0.0", "1") +
		"---\n" + demands("2.0.0", `kubernetesVersionSelection: {constraints: ">=1.30.0"}`) + "---\n" + demands("3.0.0", "kappControllerVersionSelection: {constraints: 0.60.x}") +
		"---\n" + demands("4.0.0", `kappControllerVersionSelection: {constraints: "^1.0.0"}`) + "---\n" + demands("0.1.0", "kubernetesVersionSelection: {}"))})
	assert.Equal(t, "a.b.c 4.0.0, a.b.c 3.0.0, a.b.c 2.0.0, a.b.c 1.0.0, a.b.c 0.1.0", versionsOf(chosenOf(t, repo, choose.Choice{Latest: 9})))
	assert.Equal(t, "a.b.c 4.0.0, a.b.c 3.0.0, a.b.c 1.0.0, a.b.c 0.1.0", versionsOf(chosenOf(t, repo, choose.Choice{Latest: 9, Kubernetes: "1.29.5"})))
	assert.Equal(t, "a.b.c 2.0.0, a.b.c 1.0.0, a.b.c 0.1.0", versionsOf(chosenOf(t, repo, choose.Choice{Latest: 9, KappController: "0.53.1"})), "kapp-controller accepts no Package with ^")
}

// TestChoose: patterns, the newest versions, exclusions.
func TestChoose(t *testing.T) {
	t.Parallel()
	repo := repository("b.x 1.0.0", "a.x 1.0.0", "a.x 1.1.0", "a.x 2.0.0", "a.x 3.0.0-rc.1", "a.y 0.1.0-alpha", "b.x 1.0.0")
	for _, test := range []struct {
		name   string
		choice choose.Choice
		want   string
	}{
		{"one package", choose.Choice{Packages: patterns(t, "b.x")}, "b.x 1.0.0"},
		{"all its versions", choose.Choice{Packages: patterns(t, "a.x")}, "a.x 2.0.0, a.x 1.1.0, a.x 1.0.0"},
		{"glob", choose.Choice{Packages: patterns(t, "*.x@1.0.0")}, "a.x 1.0.0, b.x 1.0.0"},
		{"glob of one letter", choose.Choice{Packages: patterns(t, "?.x"), Latest: 1}, "a.x 2.0.0, b.x 1.0.0"},
		{"glob with a class", choose.Choice{Packages: patterns(t, "[b-z].*")}, "b.x 1.0.0"},
		{"the newest of each", choose.Choice{Latest: 1}, "a.x 2.0.0, b.x 1.0.0"},
		{"the newest two", choose.Choice{Latest: 2}, "a.x 2.0.0, a.x 1.1.0, b.x 1.0.0"},
		{"more than there are", choose.Choice{Latest: 100}, "a.x 2.0.0, a.x 1.1.0, a.x 1.0.0, b.x 1.0.0"},
		{"with prereleases", choose.Choice{Latest: 1, Prereleases: true}, "a.x 3.0.0-rc.1, a.y 0.1.0-alpha, b.x 1.0.0"},
		{"one exact prerelease", choose.Choice{Packages: patterns(t, "a.x@3.0.0-rc.1")}, "a.x 3.0.0-rc.1"},
		{"the newest of each pattern", choose.Choice{Packages: patterns(t, "a.x@1.x", "a.x@2.x"), Latest: 1}, "a.x 2.0.0, a.x 1.1.0"},
		{"without one", choose.Choice{Exclude: []string{"a.*"}}, "b.x 1.0.0"},
		{"but not one", choose.Choice{Packages: patterns(t, "*"), Exclude: []string{"b.x"}, Latest: 1}, "a.x 2.0.0"},
		{"the newest but not one", choose.Choice{Exclude: []string{"b.x"}, Latest: 1}, "a.x 2.0.0"},
	} {
		chosen := chosenOf(t, repo, test.choice)
		assert.Equal(t, test.want, versionsOf(chosen), test.name)
		assert.NoError(t, choose.Unmatched(chosen), test.name)
		assert.Len(t, chosen.Left, 6-len(chosen.Versions), test.name)
		assert.False(t, test.choice.IsZero(), test.name)
	}
	chosen := chosenOf(t, repo, choose.Choice{Packages: patterns(t, "a.x@<2.0.0")})
	var left []string
	for _, p := range chosen.Left {
		left = append(left, p.Name+" "+p.Version)
	}
	assert.Empty(t, chosen.Skipped)
	assert.Equal(t, []choose.Skipped{{Name: "a.y", Why: "all=1 -> after-prereleases-filter=0"}}, chosenOf(t, repo, choose.Choice{Packages: patterns(t, "a.*", "a.x@9.x"), Latest: 1}).Skipped)
	assert.Empty(t, chosenOf(t, repo, choose.Choice{Exclude: []string{"a.y"}}).Skipped)
	assert.Equal(t, []string{"a.x 3.0.0-rc.1", "a.x 2.0.0", "a.y 0.1.0-alpha", "b.x 1.0.0"}, left)
}

// TestUnmatched: what names nothing in any repository is an error that says why.
func TestUnmatched(t *testing.T) {
	t.Parallel()
	c := choose.Choice{Packages: patterns(t, "a", "b@2.x", "c", "d*", "gone"), Exclude: []string{"c", "typo"}}
	one, other := chosenOf(t, repository("a 1.0.0", "b 1.0.0", "c 1.0.0"), c), chosenOf(t, repository("b 1.0.0", "d 1.0.0-rc.1"), c)
	assert.EqualError(t, choose.Unmatched(one, other), `"b@2.x" matches nothing: b: Expected to find at least one version, but did not (details: all=1 -> after-prereleases-filter=1 -> after-constraints-filter=0)
"c" matches nothing: c is excluded
"d*" matches nothing: d: Expected to find at least one version, but did not (details: all=1 -> after-prereleases-filter=0)
"gone" matches nothing: no package has that name
"typo", which is excluded, matches nothing: no package has that name`)
	short := choose.Choice{Packages: patterns(t, "cert-manager")}
	assert.EqualError(t, choose.Unmatched(chosenOf(t, repository("cert-manager.example.com 1.0.0"), short), chosenOf(t, repository("a 1.0.0"), short)),
		`"cert-manager" matches nothing: no package has that name; the whole name is needed, such as cert-manager.example.com, or a glob`)
	assert.NoError(t, choose.Unmatched(chosenOf(t, repository("a 1.0.0", "b 2.0.0"), choose.Choice{Packages: patterns(t, "b")})))
}
