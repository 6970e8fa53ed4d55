package leak

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/internal/yamlnode"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// TestLimits: what is too large is said to be, and what was not parsed was looked at as text.
func TestLimits(t *testing.T) {
	t.Parallel()
	const (
		maxStrings = 4       // documents in strings of documents
		maxNodes   = 200_000 // of a document
		maxNesting = 64      // levels of a document
	)
	const tail = "image: registry.corp.io/team/last:v1\n"
	found := sameFinding{code: "not-rewritten", file: "a.yml", reference: "registry.corp.io/team/last:v1"}
	notRead := sameFinding{code: codeNotRead, file: "a.yml", line: 1}
	nested := "image: busybox\n"
	for range maxStrings + 1 {
		nested = "a: |\n  image: xx\n  " + strings.ReplaceAll(strings.TrimSuffix(nested, "\n"), "\n", "\n  ") + "\n"
	}
	at := func(line int) sameFinding { found.line = line; return found }
	for _, test := range []struct {
		name, text string
		want       []sameFinding
	}{
		{"file", strings.Repeat("# a comment\n", yamlnode.MaxSize/12+1), []sameFinding{{code: codeNotRead, file: "a.yml"}}},
		{"nodes", strings.Repeat("- a\n", maxNodes/3) + tail, []sameFinding{notRead, at(maxNodes/3 + 1)}},
		{"depth", strings.Repeat("[", maxNesting+2) + strings.Repeat("]", maxNesting+2) + "\n---\n" + tail, []sameFinding{notRead, at(3)}},
		{"documents", strings.Repeat("---\na: 1\n", yamlnode.MaxDocuments) + "---\n" + tail,
			[]sameFinding{{code: codeNotRead, file: "a.yml", line: 2*yamlnode.MaxDocuments + 1}, at(2*yamlnode.MaxDocuments + 2)}},
		{"behind the end", strings.Repeat("a: 1\n...\n", yamlnode.MaxDocuments) + tail,
			[]sameFinding{{code: codeNotRead, file: "a.yml", line: 2*yamlnode.MaxDocuments + 1}, at(2*yamlnode.MaxDocuments + 1)}},
		{"aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*d, *c]\n" + tail, []sameFinding{at(5)}},
		{"not UTF-8", "a: \xff\n", []sameFinding{{code: codeNotRead, file: "a.yml"}}},
		{"long", "image: " + strings.Repeat("a", 2*maxReference) + "\n", []sameFinding{{code: "not-rewritten", file: "a.yml", line: 1, reference: strings.Repeat("a", maxReference) + "…"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &packageFiles{files: []content.File{{Path: "a.yml", Data: []byte(test.text)}}}
			_, findings := c.references()
			var got []sameFinding
			for _, f := range findings {
				got = append(got, sameFinding{f.Code, f.File, f.Line, f.Reference})
			}
			require.Equal(t, test.want, got)
		})
	}
	t.Run("long override", func(t *testing.T) {
		t.Parallel()
		config := "apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\noverrides: [{image: a, newImage: " + strings.Repeat("a", 2*maxReference) + "}]\n"
		c := &packageFiles{files: []content.File{{Path: "a.yml", Data: []byte(config)}}, steps: kappctrl.Steps{{Kind: "kbld", Paths: []string{"a.yml"}}}}
		_, findings := c.references()
		require.Len(t, findings, 1)
		require.Equal(t, strings.Repeat("a", maxReference)+"…", findings[0].Reference)
	})
	t.Run("strings in strings", func(t *testing.T) {
		t.Parallel()
		_, findings := (&packageFiles{files: []content.File{{Path: "a.yml", Data: []byte(nested)}}}).references()
		require.Len(t, findings, maxStrings, "%v", findings)
	})
	t.Run("findings", func(t *testing.T) {
		t.Parallel()
		refs, findings := (&packageFiles{files: []content.File{{Path: "a.conf", Data: []byte(strings.Repeat("a/b:c\n", maxReferences+5))}}}).references()
		require.Len(t, refs, maxReferences)
		require.Len(t, findings, maxFindings+1)
		require.Equal(t, "has 90010 more findings and references than are listed", findings[0].Message)
	})
}
