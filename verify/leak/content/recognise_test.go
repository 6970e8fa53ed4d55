package content

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzTokens: what is recognised is in the text, at its place, and nothing that could belong to it touches it.
func FuzzTokens(f *testing.F) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for _, seed := range []string{
		"", "a/b:c", "--image=registry.corp.io:5000/team/web:v1,", "x@" + digest, "see a/b@" + digest + ".", "docker://a/b:c", "http://a/b:c", "a/b:c%2f", "ä/b:c", "a//b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end := 0
		for at, ref := range tokens(text) {
			require.GreaterOrEqual(t, at, end)
			end = at + len(ref)
			require.Equal(t, ref, text[at:end])
			require.LessOrEqual(t, len(ref), maxReference)
			require.True(t, strings.ContainsAny(ref, "/@"), ref)
			if before := text[:at]; !strings.HasSuffix(before, "://") {
				require.False(t, before != "" && inToken[before[len(before)-1]], "%q in %q", ref, text)
			}
		}
	})
}
