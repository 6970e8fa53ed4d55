package report_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/report"
)

// TestJudge: the word and the sentence follow from what was found, and a good one names what it does not cover.
func TestJudge(t *testing.T) {
	t.Parallel()
	breaks := report.Findings{{Code: "outside", Level: report.Install}}
	known := report.Findings{{Code: "tag", Level: report.Information}, {Code: "url", Level: report.Warning}}
	tags := []report.Problem{{Kind: report.Missing, What: "tag 1.0"}, {Kind: report.Missing, What: "locations image x"}}
	omitted := []report.Omitted{{Reason: report.NonDistributable}, {Reason: report.OtherPlatform, Platform: "linux/arm64"}, {Reason: report.OtherPlatform}}
	scan := &report.Scan{Packages: 2, References: 3, Inside: 3, Bundles: 1}
	for name, c := range map[string]struct {
		v              report.Verdict
		word, sentence string
		hint           string
	}{
		"good":        {report.Verdict{Subject: "a.tar"}, "OK", "a.tar is complete", ""},
		"closed":      {report.Verdict{Subject: "a.tar", Scan: scan}, "OK", "a.tar is complete and closed", ""},
		"information": {report.Verdict{Subject: "a.tar", Findings: known[:1]}, "OK", "a.tar is complete", ""},
		"excepted": {report.Verdict{Subject: "a.tar", Findings: known, Omitted: make([]report.Omitted, 2), Accepted: breaks, Unread: 1}, "OK",
			"a.tar is complete, except for 2 layers left out, 1 root that is not a bundle and was not read, 1 warning and 1 finding that is accepted", ""},
		"without platforms": {report.Verdict{Subject: "a.tar", Scan: scan, Omitted: omitted}, "OK",
			"a.tar is complete and closed, except for 1 layer left out and 2 images left out by platform", ""},
		"without platforms, open": {report.Verdict{Subject: "a.tar", Findings: breaks, Omitted: omitted}, "NOT CLOSED",
			"a.tar is complete except for 1 layer left out and 2 images left out by platform, but not closed: 1 finding breaks an install or a pull (--strict fails on that)", "accept"},
		"open":   {report.Verdict{Subject: "a.tar", Findings: breaks}, "NOT CLOSED", "a.tar is complete, but not closed: 1 finding breaks an install or a pull (--strict fails on that)", "accept"},
		"strict": {report.Verdict{Subject: "a.tar", Findings: breaks, Strict: true}, "NOT OK", "a.tar is complete, but not closed: 1 finding breaks an install or a pull", "accept"},
		"bare":   {report.Verdict{Subject: "r.test/x", Level: "manifests", Problems: tags}, "NOT OK", "r.test/x has every manifest, but not what an import adds: 1 tag and 1 locations image", "import the archive"},
		"damaged": {report.Verdict{Subject: "a.tar", Problems: problems(), Proved: []string{"x"}, Fix: "transfer the file again"}, "NOT OK",
			"a.tar has 2 problems", "transfer the file again"},
		"objects": {report.Verdict{Subject: "o.yml", Repository: "r.test/x", Objects: &report.ObjectCounts{Objects: 1, References: 1, Inside: 1}}, "OK",
			"everything that 1 object in o.yml names is in r.test/x", "each finding"},
	} {
		v := c.v
		v.Judge()
		assert.Equal(t, []string{c.word, c.sentence}, []string{v.Word(), v.Sentence}, name)
		assert.Contains(t, v.Hint, c.hint, name)
		if len(v.Problems) > 0 {
			assert.Empty(t, v.Proved, name)
		}
	}
}

// TestRehearsal: what does not end inside is not proved, and the findings of both verifications count.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	of := (&report.Verdict{Subject: "r.test/x", Level: "manifests", Strict: true, Scan: &report.Scan{Packages: 1, Bundles: 1, References: 4, Inside: 2}, Accepted: make(report.Findings, 2)}).Judge()
	objects := (&report.Verdict{Subject: "the PackageRepository", Repository: "r.test/x", Objects: &report.ObjectCounts{Objects: 1, References: 1, Inside: 1}}).Judge()
	v := (&report.Verdict{Act: "Rehearsal", Subject: "a.tar", Repository: "r.test/x", Verify: of, PackageRepository: objects}).Judge()
	assert.Equal(t, "a.tar can be imported into r.test/x, and needs nothing from elsewhere, except for 2 findings accepted", v.Sentence)
	assert.Equal(t, []string{"the PackageRepository fetches from it, by digest"}, v.Proved)
	assert.Contains(t, strings.Join(v.NotProved, "\n"), "2 of 4 references")

	objects.Findings = report.Findings{{Level: report.Install, Object: &report.Object{Kind: "PackageRepository", Name: "x"}}}
	v = (&report.Verdict{Act: "Rehearsal", Subject: "a.tar", Repository: "r.test/x", Verify: of, PackageRepository: objects.Judge()}).Judge()
	assert.Equal(t, "a.tar does not work at r.test/x: findings: 1 breaks an install", v.Sentence)
	assert.Equal(t, 1, v.Findings.Breaking())
}

// TestRendering: a verdict says of how many packages it was seen what they deploy, and that the others are not proved.
func TestRendering(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scan            report.Scan
		says, notProved string
	}{
		{report.Scan{Packages: 2}, "", ""},
		{report.Scan{Packages: 2, PackagesRendered: 2}, "rendered 2 of 2 package versions", ""},
		{report.Scan{Packages: 1, PackagesAsText: 1}, "rendered 0 of 1 package version, examined 1 as text only", "what 1 package version deploys: its files were examined as text only"},
		{report.Scan{Packages: 3, PackagesRendered: 1, PackagesAsText: 2}, "rendered 1 of 3 package versions, examined 2 as text only",
			"what 2 package versions deploy: their files were examined as text only"},
	} {
		assert.Equal(t, c.says, c.scan.Rendering())
		v := (&report.Verdict{Subject: "a.tar", Pinned: true, Scan: &c.scan}).Judge()
		assert.Equal(t, c.notProved, strings.Join(v.NotProved, "\n"))
	}
	v := (&report.Verdict{Subject: "a.tar", Pinned: true, Scan: &report.Scan{Packages: 2, PackagesAsText: 2}, Findings: report.Findings{{Code: "needs-values", Level: report.Warning}}}).Judge()
	assert.Equal(t, []string{"what 2 package versions deploy: their files were examined as text only, 1 because values are missing (--values-file)"}, v.NotProved)
}

// TestJSON holds the fields of version 1.
func TestJSON(t *testing.T) {
	t.Parallel()
	v := shop()
	v.Findings, v.Level = findings(), "deep"
	raw, err := json.Marshal(v.Judge())
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(raw, &got))
	assert.Subset(t, []string{"version", "subject", "ok", "archive", "roots", "contents", "proved", "notProved", "problems", "rows", "omitted", "unseen", "acceptedLeftOut", "findings", "accepted", "scan"}, keys(got))
	assert.Equal(t, []any{}, got["problems"])
	assert.Subset(t, []string{"code", "level", "bundle", "package", "file", "line", "reference", "message", "action", "basis"}, keys(got["findings"].([]any)[0].(map[string]any)))

	objects := report.Verdict{Objects: &report.ObjectCounts{}, Findings: report.Findings{{Object: &report.Object{Kind: "Pod", Name: "<a>"}, Line: 1}}}
	raw, err = json.Marshal(objects.Judge())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &got))
	finding := got["findings"].([]any)[0].(map[string]any)
	assert.ElementsMatch(t, []string{"code", "level", "object", "line", "message"}, keys(finding))
}

func keys(m map[string]any) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	return list
}

// Example fills a verdict in and judges it.
func Example() {
	v := &report.Verdict{Subject: "tce.tar", Findings: report.Findings{
		report.Finding{Code: "tag", Level: report.Information, Package: "a.corp.com 1.0.0", File: "packages/a.yml", Line: 9}.Advised(),
	}}
	v.Judge()
	fmt.Println(v.Word()+":", v.Sentence)
	fmt.Println(v.Findings[0].Place(), v.Findings[0].Action)
	// Output:
	// OK: tce.tar is complete
	// packages/a.yml:9 nothing, unless the lock changes
}

// TestClosed: that no reference points outside is proved only where none does, whatever is accepted.
func TestClosed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		level             string
		inside            int
		proved, notProved []string
	}{
		{"", 2, []string{"none of the 2 references in 1 package version and their files points outside"}, nil},
		{"", 1, nil, []string{"that no reference points outside: 1 of 2 references in 1 package version and their files do"}},
		{"deep", 2, []string{"the 2 references in 1 package version and their files lead to it, by the rules of kapp-controller, imgpkg and kbld"}, nil},
		{"deep", 1, nil, []string{"that all references lead to it: 1 of 2 references in 1 package version and their files do"}},
	} {
		v := (&report.Verdict{Subject: "a", Level: c.level, Scan: &report.Scan{Packages: 1, References: 2, Inside: c.inside},
			Accepted: report.Findings{{Code: "outside-key", Level: report.Pull}}}).Judge()
		assert.True(t, v.OK)
		assert.Equal(t, c.proved, v.Proved)
		assert.Equal(t, c.notProved, v.NotProved)
	}
}
