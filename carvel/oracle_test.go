package carvel_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/testdata/realkbld"
)

func pick[T any](g *rand.Rand, from ...T) T { return from[g.IntN(len(from))] }

func someVersion(g *rand.Rand) string {
	if g.IntN(12) == 0 {
		return pick(g, "", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0+", "1.0.0-01", "latest", "1.x", "1.0.0-a..b", "18446744073709551616.0.0", "1.0.0 ", "1.0.0-ä")
	}
	v := fmt.Sprintf("%d.%d.%d", g.IntN(3), g.IntN(3), pick(g, 0, 1, 2, 10))
	if g.IntN(3) == 0 {
		v += "-" + pick(g, "0", "2", "11", "alpha", "alpha.1", "alpha.beta", "rc.1", "rc.11", "x", "rc-x", "-5")
	}
	if g.IntN(3) == 0 {
		v += "+" + pick(g, "ab", "z", "vmware.1-tkg.2", "vmware.1-tkg.10", "1", "02", "x")
	}
	return v
}

func someConstraint(g *rand.Rand) string {
	if g.IntN(10) == 0 {
		return pick(g, "", "^1.0.0", "~1.0.0", "v1.0.0", "1.0", "||", "1.0.0 ||", ">= 1.0.0", "x", "*", ">", "1.0.0,2.0.0", "1", " 1.0.0", "1.0.0 ", "=>1.0.0", "1.x.x.x", "1.2.3 || 2", "> 1.x <= 2.1.x")
	}
	var b strings.Builder
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			b.WriteString(pick(g, " ", " || ", "  ", "||", " ||"))
		}
		b.WriteString(pick(g, "", "", "=", "==", ">", ">=", "<", "<=", "!", "!=", "> ", ">= "))
		b.WriteString(pick(g, someVersion(g), someVersion(g), "1.x", "1.2.x", "2.x.x", "0.x"))
	}
	return b.String()
}

// TestOracle: versions are selected and ordered as kapp-controller's own code does.
func TestOracle(t *testing.T) {
	t.Parallel()
	oracle := realkbld.Start(t)
	seeds := uint64(1000)
	if os.Getenv("RELOCATE_TEST_SOAK") == "1" {
		seeds = 100_000
	}
	refused, selected := 0, 0
	for seed := range seeds {
		g := rand.New(rand.NewPCG(seed, 1))
		r := realkbld.Request{Versions: []string{someVersion(g), someVersion(g), someVersion(g), someVersion(g), someVersion(g), someVersion(g)}, Constraint: someConstraint(g)}
		var prereleases *carvel.Prereleases
		if g.IntN(3) == 0 {
			prereleases = &carvel.Prereleases{Identifiers: pick(g, nil, []string{}, []string{"alpha"}, []string{"1", "rc"}, []string{"none"})}
			r.Prereleases = &realkbld.Prereleases{Identifiers: prereleases.Identifiers}
		}
		if g.IntN(3) == 0 {
			r.Kubernetes = someTarget(g, len(r.Versions))
		}
		if g.IntN(3) == 0 {
			r.Controller = someTarget(g, len(r.Versions))
		}
		theirs := oracle.Ask(t, r)
		selection, err := carvel.ParseSelection(r.Constraint, prereleases)
		if err != nil {
			refused++
			require.Equal(t, theirs.Error, err.Error(), "seed %d: %+v", seed, r)
			continue
		}
		require.Empty(t, theirs.Error, "seed %d: %+v", seed, r)
		left, details := selection.Select(r.Versions, checksOf(t, r)...)
		ours := []string{}
		for _, i := range left {
			ours = append(ours, r.Versions[i])
		}
		require.Equal(t, append([]string{}, theirs.Selected...), ours, "seed %d: %+v", seed, r)
		if len(ours) == 0 {
			require.Equal(t, "Expected to find at least one version, but did not (details: "+details+")", theirs.Nothing, "seed %d: %+v", seed, r)
		} else {
			selected++
		}
		if r.Kubernetes == nil && r.Controller == nil {
			met := slices.DeleteFunc(slices.Clone(r.Versions), func(v string) bool { return !selection.Meets(v) })
			slices.SortStableFunc(met, carvel.CompareVersions)
			require.Equal(t, ours, append([]string{}, met...), "seed %d: %+v", seed, r)
		}
	}
	assert.Greater(t, refused, 40)
	assert.Greater(t, selected, 200)
}

// someTarget is the version of a cluster, and what n Packages demand of it.
func someTarget(g *rand.Rand, n int) *realkbld.Target {
	target := &realkbld.Target{Version: pick(g, "1.2.0", "1.2", "v1.2.1-rc.1+k3s1", "2.0.0+build", "1.10.0", "0.0.0")}
	for range n {
		target.Constraints = append(target.Constraints, pick(g, "", "", ">=1.2.0", "<1.2.0", "1.x", "1.2.1", ">=1.2.1-rc.1 <2.0.0", "!1.2.0 || 2.x"))
	}
	return target
}

// checksOf are the checks of a request, as kapp-controller makes them.
func checksOf(t *testing.T, r realkbld.Request) (checks []carvel.Check) {
	add := func(name string, target *realkbld.Target) {
		checks = append(checks, carvel.Check{Name: name, Meets: func(i int) bool {
			met, err := carvel.MeetsTarget(target.Version, target.Constraints[slices.Index(r.Versions, r.Versions[i])])
			require.NoError(t, err)
			return met
		}})
	}
	if k := r.Kubernetes; k != nil && slices.ContainsFunc(k.Constraints, func(c string) bool { return c != "" }) {
		add("kubernetes-version-check", k)
	}
	if r.Controller != nil {
		add("kapp-controller-version-check", r.Controller)
	}
	return checks
}
