package choose_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/choose"
	"relocate/oci"
	"relocate/report"
)

func TestParsePattern(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]choose.Pattern{
		"a.example.com":        {Name: "a.example.com"},
		"a.example.com@1.0.0":  {Name: "a.example.com", Constraint: "1.0.0"},
		"*@>=1.0.0 <2.0.0":     {Name: "*", Constraint: ">=1.0.0 <2.0.0"},
		"a.[bc].?@1.x || 2.x ": {Name: "a.[bc].?", Constraint: "1.x || 2.x"},
	} {
		got, err := choose.ParsePattern(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, got, in)
		again, err := choose.ParsePattern(got.String())
		require.NoError(t, err, in)
		assert.Equal(t, got, again, in)
	}
	for in, want := range map[string]string{
		"":       "the name of the package is empty",
		"@1.0.0": "the name of the package is empty",
		"a@":     `"a@" has no constraint after @`,
		"a@ ":    `"a@ " has no constraint after @`,
		"a/b":    `"a/b" is not a package name`,
		"a b":    `"a b" is not a package name`,
		"a\x1b[": `"a\x1b[" is not a package name`,
		"a[b":    `"a[b" is not a package name: its glob is not closed`,
		"a\\":    `"a\\" is not a package name: its glob is not closed`,
		"a@^1.0.0": `Selecting versions: Parsing version constraint '^1.0.0': Could not parse Range "^1.0.0": Could not parse comparator "^" in "^1.0.0"; ` +
			`write 1.2.3, 1.x, '>=1.0.0 <2.0.0' or '1.x || 3.0.0': kapp-controller has no ^, no ~ and no v, needs all three numbers, and blanks around ||`,
		"a@1.0@2":                        `Selecting versions: Parsing version constraint '1.0@2'`,
		strings.Repeat("a", 254):         "has 254 bytes, more than the limit of 253",
		"a@" + strings.Repeat("1", 1001): `the constraint has 1001 bytes, more than the limit of 1000`,
	} {
		_, err := choose.ParsePattern(in)
		assert.ErrorContains(t, err, want, in)
	}
}

// some is a choice with everything.
func some(t *testing.T) choose.Choice {
	return choose.Choice{
		Packages: patterns(t, "b@>=1.0.0 <2.0.0", "a", "b@1.x", "a"), Exclude: []string{"d*", "c", "c"}, Latest: 2, Prereleases: true,
		Installed:      []choose.Installed{{Name: "z", Version: "1.0.0"}, {Name: "z", Constraint: "1.x", Prereleases: &carvel.Prereleases{Identifiers: []string{"rc"}}}, {Name: "y", Version: "2.0.0"}, {Name: "z", Version: "1.0.0"}},
		NoDependencies: true, Kubernetes: "1.31.0", KappController: "0.53.1",
	}
}

// TestCanonical: the order and repetition of what is given do not matter; the text and the ID stay for
// ever, because tags and labels have them.
func TestCanonical(t *testing.T) {
	t.Parallel()
	c := some(t)
	const canonical = `{"packages":[{"name":"a"},{"name":"b","constraint":"1.x"},{"name":"b","constraint":">=1.0.0 <2.0.0"}],"exclude":["c","d*"],"latest":2,"prereleases":true,` +
		`"installed":[{"name":"y","version":"2.0.0"},{"name":"z","constraint":"1.x","prereleases":{"identifiers":["rc"]}},{"name":"z","version":"1.0.0"}],"noDependencies":true,"kubernetes":"1.31.0","kappController":"0.53.1"}`
	assert.Equal(t, canonical, c.String())
	assert.Equal(t, "06b6c7f0", c.ID())
	assert.Equal(t, "571afac3", choose.Choice{Latest: 1}.ID())
	assert.Equal(t, some(t), c, "the choice itself is unchanged")

	var again choose.Choice
	require.NoError(t, json.Unmarshal([]byte(canonical), &again))
	assert.Equal(t, canonical, again.String())
}

func TestIsZero(t *testing.T) {
	t.Parallel()
	assert.True(t, choose.Choice{}.IsZero())
	assert.True(t, choose.Choice{Prereleases: true, NoDependencies: true, Kubernetes: "1.31.0", KappController: "0.53.1"}.IsZero())
	for _, c := range []choose.Choice{{Packages: patterns(t, "a")}, {Exclude: []string{"a"}}, {Latest: 1}, {Installed: []choose.Installed{{Name: "a"}}}} {
		assert.False(t, c.IsZero(), c)
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	c := choose.Choice{Latest: 1}
	assert.Equal(t, "0.12.0-selected-571afac3", c.Tag("0.12.0"))
	one, other := c.TagOf("sha256:"+strings.Repeat("1", 64)), c.TagOf("sha256:"+strings.Repeat("2", 64))
	assert.Regexp(t, "^selected-[0-9a-f]{8}$", one)
	assert.NotEqual(t, one, other)
	long := c.Tag(strings.Repeat("x", oci.MaxTag))
	assert.Len(t, long, oci.MaxTag)
	assert.True(t, oci.IsTag(long))
	assert.True(t, strings.HasSuffix(long, "x-selected-571afac3"))
}

// TestWords: a report describes a choice, with all its parts.
func TestWords(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]choose.Choice{
		"a, b 1.x, b >=1.0.0 <2.0.0, the newest 2 versions of each, without c, without d*, with prereleases, with what the cluster uses, without dependencies, for Kubernetes 1.31.0, for kapp-controller 0.53.1": some(t),
		"every package, the newest version of each": {Latest: 1},
		"every package, without a":                  {Exclude: []string{"a"}},
		"what the cluster uses":                     {Installed: []choose.Installed{{Name: "a"}}},
	} {
		said := report.Derived{Choice: json.RawMessage(c.String())}.String()
		assert.Equal(t, " by the choice of "+want, strings.TrimPrefix(said, ":"))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, some(t).Check())
	for want, c := range map[string]choose.Choice{
		"the newest -1 versions cannot be chosen":          {Latest: -1},
		"a choice has more than 1000 packages":             {Packages: make([]choose.Pattern, 1001)},
		"the name of the package is empty":                 {Exclude: []string{""}},
		`"a@~1.0.0": Selecting versions: `:                 {Packages: []choose.Pattern{{Name: "a", Constraint: "~1.0.0"}}},
		`"1.x" is no version: `:                            {Kubernetes: "1.x"},
		`"\x1b" is no version: `:                           {KappController: "\x1b"},
		"is not a name, version or constraint":             {Installed: []choose.Installed{{Name: "a", Version: "\n"}}},
		"is not a name, version or constraint of an insta": {Installed: []choose.Installed{{Name: "a", Prereleases: &carvel.Prereleases{Identifiers: []string{"\x00"}}}}},
	} {
		assert.ErrorContains(t, c.Check(), want)
		_, err := repository("a 1.0.0").Choose(t.Context(), c, nil)
		assert.Error(t, err)
	}
	var many choose.Choice
	for i := range 3000 {
		many.Installed = append(many.Installed, choose.Installed{Name: "a-package-with-a-long-name.example.com", Version: strings.Repeat("1", i%50) + ".0.0"}, choose.Installed{Name: strings.Repeat("b", i%200+1), Constraint: strings.Repeat("2", i)})
	}
	many.Installed = many.Installed[:1500]
	assert.ErrorContains(t, many.Check(), "more than the limit of 131072")
}
