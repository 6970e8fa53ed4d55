package kappctrl

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMeets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, constraint string
		prereleases, want   bool
	}{
		{"1.0.0", "1.0.0", false, true}, {"1.0.0", "=1.0.0", false, true}, {"1.0.0", "==1.0.0", false, true}, {"1.0.0", "1.0.1", false, false},
		{"1.0.0", ">=1.0.0 <2.0.0", false, true}, {"2.0.0", ">=1.0.0 <2.0.0", false, false}, {"2.0.0", "> 1.0.0", false, true},
		{"3.0.0", ">=1.0.0 <2.0.0 || 3.0.0", false, true}, {"1.2.3", "!1.2.3", false, false}, {"1.2.4", "!=1.2.3", false, true},
		{"1.0.0+b.2", ">1.0.0+b.1", false, true}, {"1.0.0+b-1", ">=1.0.0", false, true}, {"1.0.0", "<=0.9.0", false, false},
		{"2.0.0-rc.1", ">=1.0.0", false, false}, {"2.0.0-rc.1", ">=1.0.0", true, true}, {"2.0.0-rc.1", "2.0.0-rc.1", false, true},
		{"1.0.0", "1.x", false, true}, {"1.0.0", "(@= v @)", false, true}, {"1.0.0", "", false, true},
	} {
		assert.Equal(t, test.want, Meets(test.version, test.constraint, test.prereleases), "%s Meets %q", test.version, test.constraint)
	}
}
