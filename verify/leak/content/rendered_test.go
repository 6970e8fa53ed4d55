package content

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestHas: a text has a reference, and not only one of which it is a part.
func TestHas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, reference string
		want            bool
	}{
		{"team/tool:1", "team/tool:1", true},
		{"--image=team/tool:1 --verbose", "team/tool:1", true},
		{"it is team/tool:1.", "team/tool:1", true},
		{"docker://team/tool:1", "team/tool:1", true},
		{"registry.corp.io/team/tool:1", "team/tool:1", false},
		{"registry.corp.io/team/tool:1,team/tool:1", "team/tool:1", true},
		{"team/tool:1.2", "team/tool:1", false},
		{"team/tool:1-alpine", "team/tool:1", false},
		{"team/tool:1@sha256:0", "team/tool:1", false},
		{"team/tool", "team/tool:1", false},
		{"team/tool:1", "", false},
	} {
		assert.Equal(t, test.want, Has(test.text, test.reference), "%q in %q", test.reference, test.text)
	}
}
