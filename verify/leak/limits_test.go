package leak

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLimits: what is too large is said to be, and what was not parsed was looked at as text.
func TestLimits(t *testing.T) {
	t.Parallel()
	const tail = "image: registry.corp.io/team/last:v1\n"
	found := finding{code: codeNotRewritten, file: "a.yml", reference: "registry.corp.io/team/last:v1"}
	notRead := finding{code: codeNotRead, file: "a.yml", line: 1}
	nested := "image: busybox\n"
	for range maxStrings + 1 {
		nested = "a: |\n  image: x\n  " + strings.ReplaceAll(strings.TrimSuffix(nested, "\n"), "\n", "\n  ") + "\n"
	}
	at := func(line int) finding { found.line = line; return found }
	for _, test := range []struct {
		name, text string
		want       []finding
	}{
		{"file", strings.Repeat("# a comment\n", maxFile/12+1), []finding{{code: codeNotRead, file: "a.yml"}}},
		{"nodes", strings.Repeat("- a\n", maxNodes/3) + tail, []finding{notRead, at(maxNodes/3 + 1)}},
		{"depth", strings.Repeat("[", maxNesting+2) + strings.Repeat("]", maxNesting+2) + "\n---\n" + tail, []finding{notRead, at(3)}},
		{"documents", strings.Repeat("---\na: 1\n", maxDocuments) + "---\n" + tail,
			[]finding{{code: codeNotRead, file: "a.yml", line: 2*maxDocuments + 1}, at(2*maxDocuments + 2)}},
		{"behind the end", strings.Repeat("a: 1\n...\n", maxDocuments) + tail,
			[]finding{{code: codeNotRead, file: "a.yml", line: 2*maxDocuments + 1}, at(2*maxDocuments + 1)}},
		{"aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*d, *c]\n" + tail, []finding{at(5)}},
		{"not UTF-8", "a: \xff\n", []finding{{code: codeNotRead, file: "a.yml"}}},
		{"long", "image: " + strings.Repeat("a", 2*maxReference) + "\n", []finding{{code: codeNotRewritten, file: "a.yml", line: 1, reference: strings.Repeat("a", maxReference) + "…"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &content{files: []textFile{{"a.yml", []byte(test.text)}}}
			_, findings := c.references()
			var got []finding
			for _, f := range findings {
				got = append(got, finding{f.Code, f.File, f.Line, f.Reference})
			}
			require.Equal(t, test.want, got)
		})
	}
	t.Run("strings in strings", func(t *testing.T) {
		t.Parallel()
		_, findings := (&content{files: []textFile{{"a.yml", []byte(nested)}}}).references()
		require.Len(t, findings, maxStrings, "%v", findings)
	})
	t.Run("findings", func(t *testing.T) {
		t.Parallel()
		refs, findings := (&content{files: []textFile{{"a.conf", []byte(strings.Repeat("a/b:c\n", maxReferences+5))}}}).references()
		require.Len(t, refs, maxReferences)
		require.Len(t, findings, maxFindings+1)
		require.Equal(t, "has 90010 more findings and references than are listed", findings[0].Message)
	})
}
