package carvel_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/carvel"
)

func TestMeets(t *testing.T) {
	t.Parallel()
	all, alpha := &carvel.Prereleases{}, &carvel.Prereleases{Identifiers: []string{"alpha", "2"}}
	for _, test := range []struct {
		version, constraint string
		prereleases         *carvel.Prereleases
		want                bool
	}{
		{"1.0.0", "1.0.0", nil, true}, {"1.0.0", "=1.0.0", nil, true}, {"1.0.0", "==1.0.0", nil, true}, {"1.0.0", "1.0.1", nil, false},
		{"1.0.0", ">=1.0.0 <2.0.0", nil, true}, {"2.0.0", ">=1.0.0 <2.0.0", nil, false}, {"2.0.0", "> 1.0.0", nil, true},
		{"3.0.0", ">=1.0.0 <2.0.0 || 3.0.0", nil, true}, {"1.2.3", "!1.2.3", nil, false}, {"1.2.4", "!=1.2.3", nil, true},
		{"1.0.0+b.2", ">1.0.0+b.1", nil, true}, {"1.0.0+b-1", ">=1.0.0", nil, true}, {"1.0.0", "<=0.9.0", nil, false},
		{"1.5.0", "1.x", nil, true}, {"2.0.0", "1.x", nil, false}, {"1.2.3", "1.2.x", nil, true}, {"1.3.0", ">1.2.x", nil, true}, {"1.2.9", ">1.2.x", nil, false},
		{"2.0.0-rc.1", ">=1.0.0", nil, false}, {"2.0.0-rc.1", ">=1.0.0", all, true}, {"2.0.0-rc.1", "2.0.0-rc.1", nil, true}, {"2.0.0-rc.1", "=2.0.0-rc.1", nil, false},
		{"2.0.0-alpha.1", ">=1.0.0", alpha, true}, {"2.0.0-rc.2", ">=1.0.0", alpha, true}, {"2.0.0-rc.1", ">=1.0.0", alpha, false}, {"2.0.0", ">=1.0.0", alpha, true},
		{"2.0.0-rc.1", "2.0.0-rc.1", alpha, false}, {"1.0.0", "", nil, true}, {"1.0.0-a", "", nil, false}, {"v1.0.0", "1.0.0", nil, true}, {"1.0", "", nil, false},
	} {
		s, err := carvel.ParseSelection(test.constraint, test.prereleases)
		assert.NoError(t, err, test.constraint)
		assert.Equal(t, test.want, s.Meets(test.version), "%s meets %q", test.version, test.constraint)
	}
	for constraint, want := range map[string]string{
		"^1.0.0": `Selecting versions: Parsing version constraint '^1.0.0': Could not parse Range "^1.0.0": Could not parse comparator "^" in "^1.0.0"`,
		"1.0":    `Selecting versions: Parsing version constraint '1.0': Could not parse Range "1.0": Could not parse version "1.0" in "1.0": No Major.Minor.Patch elements found`,
		"||":     `Selecting versions: Parsing version constraint '||': First element in range is '||'`,
		"v1.0.0": `Selecting versions: Parsing version constraint 'v1.0.0': Could not parse Range "v1.0.0": Could not parse comparator "v" in "v1.0.0"`,
	} {
		_, err := carvel.ParseSelection(constraint, nil)
		assert.EqualError(t, err, want)
	}
}
