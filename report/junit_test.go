package report_test

import (
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/report"
)

// readJUnit is what a reader of JUnit XML takes from it.
type readJUnit struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Suites   []struct {
		Name       string `xml:"name,attr"`
		Tests      int    `xml:"tests,attr"`
		Failures   int    `xml:"failures,attr"`
		Skipped    int    `xml:"skipped,attr"`
		Properties []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"properties>property"`
		Cases []struct {
			Class   string `xml:"classname,attr"`
			Name    string `xml:"name,attr"`
			File    string `xml:"file,attr"`
			Line    string `xml:"line,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Type    string `xml:"type,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
			Skipped *struct {
				Message string `xml:"message,attr"`
			} `xml:"skipped"`
			Out string `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// parseJUnit reads JUnit XML, and holds its counts to its cases, and names to be unique.
func parseJUnit(t testing.TB, text []byte) readJUnit {
	var all readJUnit
	require.NoError(t, xml.Unmarshal(text, &all))
	tests, failures, skipped := 0, 0, 0
	for _, s := range all.Suites {
		failed, passedOver, names := 0, 0, map[string]bool{}
		for _, c := range s.Cases {
			assert.NotEmpty(t, c.Class)
			assert.False(t, names[c.Class+"\n"+c.Name], "twice: %q", c.Name)
			names[c.Class+"\n"+c.Name] = true
			if c.Failure != nil {
				failed++
			}
			if c.Skipped != nil {
				passedOver++
			}
		}
		assert.Equal(t, []int{len(s.Cases), failed, passedOver}, []int{s.Tests, s.Failures, s.Skipped}, s.Name)
		tests, failures, skipped = tests+s.Tests, failures+s.Failures, skipped+s.Skipped
	}
	assert.Equal(t, []int{tests, failures, skipped}, []int{all.Tests, all.Failures, all.Skipped})
	return all
}

// shop is the verdict on an archive of three versions of two packages.
func shop() *report.Verdict {
	return &report.Verdict{
		Subject: "shop.tar", Contents: &report.Contents{Packages: 2, PackageVersions: 3, Bundles: 4, Images: 5, Indexes: 1, Attachments: 1, Manifests: 11, Blobs: 29, Bytes: 1_170_000},
		Roots:   []report.Root{{Reference: "registry.example/acme:1.0", Digest: digest.Of([]byte("root"))}},
		Omitted: []report.Omitted{{Digest: digest.Of([]byte("layer")), Size: 5_000_000, Image: "registry.example/acme/db", Reason: "non-distributable"}},
		Unseen:  []report.Unseen{{Reference: "registry.example/acme", What: "tags", Reason: "refused"}},
		Proved:  []string{"every byte is accounted for, every blob hashed", "the roots need all of it and nothing else"},
		Fix:     "transfer the file again; if the original is damaged, too, export again",
	}
}

// packages are those of the shop.
var packages = []string{"shop.acme.example 1.0.0", "shop.acme.example 1.1.0", "blog.acme.example 2.0.0"}

// findings are of every level, for two packages and a bundle.
func findings() report.Findings {
	const root = "registry.example/acme:1.0"
	return report.Findings{
		{Code: "not-read", Level: report.Warning, Bundle: root, File: "packages/extra.yml", Line: 1, Message: "has ytt directives; what they compute was not seen"},
		{Code: "composed", Level: report.Warning, Bundle: root, Package: "shop.acme.example 1.1.0", File: "config/job.yml", Line: 7, Reference: "docker.io/library/busybox", Message: "names an image in a string", Basis: report.AsText},
		{Code: "not-locked", Level: report.Pull, Bundle: root, Package: "shop.acme.example 1.1.0", File: "config/deploy.yml", Line: 31, Reference: "docker.io/library/nginx:1.25", Message: "names an image by tag, and no lock entry covers it", Action: "add the image to the bundle's ImagesLock with kbld", Basis: report.Rendered},
		{Code: "outside", Level: report.Install, Bundle: root, Package: "blog.acme.example 2.0.0", File: "packages/blog.yml", Line: 9, Reference: "https://charts.example/blog", Message: "fetches by helmChart, which is not an image: it stays outside", Action: "put the chart into an imgpkg bundle"},
		{Code: "tag", Level: report.Information, Bundle: root, Package: "shop.acme.example 1.0.0", File: "packages/shop.yml", Line: 12, Reference: "registry.example/acme:shop", Message: "fetches a tag; the lock covers it", Action: "nothing, unless the lock changes"},
	}
}

// problems are what a damaged archive might have.
func problems() []report.Problem {
	return []report.Problem{
		{Kind: report.Damaged, What: "blob sha256:" + fmt.Sprintf("%064x", 9), Images: []string{"registry.example/acme/web", "registry.example/acme/db"}, Reason: "at byte 1,234: its content has another digest"},
		{Kind: report.Missing, What: "root sha256:" + fmt.Sprintf("%064x", 10), Reason: "the archive does not have it as a root"},
	}
}

var update = flag.Bool("update", false, "write testdata again")

// TestJUnit compares with what is written in testdata/junit.xml.
func TestJUnit(t *testing.T) {
	t.Parallel()
	v := shop()
	v.Problems, v.Findings = problems(), findings()
	v.Scan = &report.Scan{Packages: 3, PackagesRendered: 2, PackagesAsText: 1}
	text, err := v.Judge().JUnit(packages)
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("testdata/junit.xml", text, 0o644))
	}
	want, err := os.ReadFile("testdata/junit.xml")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text))
	all := parseJUnit(t, text)
	var suites []string
	for _, suite := range all.Suites {
		suites = append(suites, suite.Name)
	}
	assert.Equal(t, []string{"archive", "blog.acme.example 2.0.0", "registry.example/acme:1.0", "shop.acme.example 1.0.0", "shop.acme.example 1.1.0"}, suites)
	assert.Equal(t, []int{7, 4, 2}, []int{all.Tests, all.Failures, all.Skipped})
	assert.Contains(t, string(text), `<property name="packages rendered" value="2">`)
	assert.Equal(t, 1, strings.Count(string(text), `<property name="basis" value="rendered">`))
	deploy := all.Suites[4].Cases[1]
	assert.Equal(t, []string{"config/deploy.yml", "31", "pull", "names an image by tag, and no lock entry covers it"}, []string{deploy.File, deploy.Line, deploy.Failure.Type, deploy.Failure.Message})
	assert.Contains(t, deploy.Failure.Text, "docker.io/library/nginx:1.25")
	assert.Contains(t, deploy.Failure.Text, "what to do: add the image to the bundle's ImagesLock with kbld")
	job := all.Suites[4].Cases[0]
	assert.Nil(t, job.Failure)
	assert.Equal(t, "warning: names an image in a string", job.Skipped.Message)
	assert.Nil(t, all.Suites[3].Cases[0].Skipped, "information")
	assert.Contains(t, all.Suites[3].Cases[0].Out, "fetches a tag; the lock covers it")
}

func TestJUnitOK(t *testing.T) {
	t.Parallel()
	v := shop()
	v.Level = "blobs"
	v.Rows = []report.Row{{Of: "manifests", Checked: 12}, {Of: "layers", Checked: 30, Wrong: 2}}
	text, err := v.Judge().JUnit(packages)
	require.NoError(t, err)
	all := parseJUnit(t, text)
	assert.Equal(t, []int{2 + 1 + 3, 0, 0}, []int{all.Tests, all.Failures, all.Skipped})
	assert.Equal(t, "registry", all.Suites[0].Name)
	assert.Equal(t, v.Proved[0], all.Suites[0].Cases[0].Name)
	assert.Equal(t, "no findings", all.Suites[1].Cases[0].Name)
	text, err = (&report.Verdict{Subject: "o.yml", Objects: &report.ObjectCounts{Objects: 3, Rendered: 2, NotRendered: 1}}).Judge().JUnit(nil)
	require.NoError(t, err)
	assert.Contains(t, string(text), `<property name="PackageInstalls rendered" value="2">`)
	assert.Contains(t, string(text), `<property name="PackageInstalls not rendered" value="1">`)
	text, err = (&report.Verdict{OK: true}).JUnit(nil)
	require.NoError(t, err)
	assert.Equal(t, 1, parseJUnit(t, text).Tests)
}

// xmlIllegal is what XML 1.0 (§2.2) has no way to hold.
var xmlIllegal = regexp.MustCompile(`[^\t\n\r\x{20}-\x{d7ff}\x{e000}-\x{fffd}\x{10000}-\x{10ffff}]|&#(x0*[0-8bcefBCEF]|x0*1[0-9a-fA-F]|[0-8]|1[124-9]|2[0-9]|3[01]);`)

// FuzzJUnit: whatever names are, it is XML of the same cases.
func FuzzJUnit(f *testing.F) {
	for _, s := range []string{`"><img src=x>`, "]]>", "<!--", "&lt;b&gt;", "\x1b[31mred", "bell\a", "c1\u009b2J", "bidi\u202etxt.exe", "\u2028\ufeff", "\xff\xfe", "\U000e0001tag"} {
		f.Add(s)
	}
	f.Add("\ufffe\uffff\x0b\x1f")
	f.Fuzz(func(t *testing.T, text string) {
		v := &report.Verdict{Subject: text, Proved: []string{text, text}, Hint: text, Problems: []report.Problem{{Kind: text, What: text, Reason: text, Images: []string{text}}}}
		for _, level := range []report.Level{report.Install, report.Warning, report.Warning} {
			v.Findings = append(v.Findings, report.Finding{Level: level, Package: "a 1" + text, File: text, Reference: text, Message: text, Action: text, Bundle: text})
		}
		out, err := v.JUnit([]string{"a 1" + text, "b 1"})
		require.NoError(t, err)
		require.Empty(t, xmlIllegal.FindString(string(out)))
		require.Equal(t, -1, strings.IndexFunc(string(out), func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }))
		all := parseJUnit(t, out)
		require.Equal(t, []int{3 + 3 + 1, 2, 2}, []int{all.Tests, all.Failures, all.Skipped})
	})
}
