package main

import (
	"encoding/xml"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/report"
	"relocate/verify"
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

// TestJUnit compares with what is written in testdata/junit.xml.
func TestJUnit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r := s.report()
	r.OK, r.Problems, r.Proved, r.Findings = false, s.problems(), nil, s.findings()
	text, err := encodeJUnit(r, s.plan.Graph.Packages)
	require.NoError(t, err)
	golden(t, "junit.xml", string(text))
	all := parseJUnit(t, text)
	var suites []string
	for _, suite := range all.Suites {
		suites = append(suites, suite.Name)
	}
	assert.Equal(t, []string{"archive", "blog.acme.example 2.0.0", "registry.example/acme:1.0", "shop.acme.example 1.0.0", "shop.acme.example 1.1.0"}, suites)
	assert.Equal(t, []int{7, 4, 2}, []int{all.Tests, all.Failures, all.Skipped})
	deploy := all.Suites[4].Cases[1]
	assert.Equal(t, []string{"config/deploy.yml", "31", "pull", "names an image by tag, and no lock entry covers it"}, []string{deploy.File, deploy.Line, deploy.Failure.Type, deploy.Failure.Message})
	assertAll(t, deploy.Failure.Text, "docker.io/library/nginx:1.25", "what to do: add the image to the bundle's ImagesLock with kbld")
	job := all.Suites[4].Cases[0]
	assert.Nil(t, job.Failure)
	assert.Equal(t, "warning: names an image in a string", job.Skipped.Message)
	assert.Equal(t, "no findings", all.Suites[3].Cases[0].Name)
}

func TestJUnitOK(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r := s.report()
	r.level = verify.Blobs
	r.Rows = []verify.Row{{Of: "manifests", Checked: 12}, {Of: "layers", Checked: 30, Wrong: 2}}
	text, err := encodeJUnit(r, s.plan.Graph.Packages)
	require.NoError(t, err)
	all := parseJUnit(t, text)
	assert.Equal(t, []int{2 + 1 + 3, 0, 0}, []int{all.Tests, all.Failures, all.Skipped})
	assert.Equal(t, "registry", all.Suites[0].Name)
	assert.Equal(t, r.Proved[0], all.Suites[0].Cases[0].Name)
	text, err = encodeJUnit(&verifyReport{OK: true}, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, parseJUnit(t, text).Tests)
}

// xmlIllegal is what XML 1.0 (§2.2) has no way to hold.
var xmlIllegal = regexp.MustCompile(`[^\t\n\r\x{20}-\x{d7ff}\x{e000}-\x{fffd}\x{10000}-\x{10ffff}]|&#(x0*[0-8bcefBCEF]|x0*1[0-9a-fA-F]|[0-8]|1[124-9]|2[0-9]|3[01]);`)

// FuzzJUnit: whatever names are, it is XML of the same cases.
func FuzzJUnit(f *testing.F) {
	for _, s := range append(pageHostile, hostileTexts...) {
		f.Add(s)
	}
	f.Add("\ufffe\uffff\x0b\x1f")
	f.Fuzz(func(t *testing.T, text string) {
		r := &verifyReport{Subject: text, Proved: []string{text, text}, hint: text, Problems: []verify.Problem{{Kind: text, What: text, Reason: text, Images: []string{text}}}}
		for _, level := range []report.Level{report.Install, report.Warning, report.Warning} {
			r.Findings = append(r.Findings, report.Finding{Level: level, Package: "a 1" + text, File: text, Reference: text, Message: text, Action: text, Bundle: text})
		}
		out, err := encodeJUnit(r, []carvel.Package{{Name: "a", Version: "1" + text}, {Name: "b", Version: "1"}})
		require.NoError(t, err)
		require.Empty(t, xmlIllegal.FindString(string(out)))
		require.False(t, obeyed.MatchString(strings.NewReplacer("\n", "", "\t", "").Replace(string(out))))
		all := parseJUnit(t, out)
		require.Equal(t, []int{3 + 3 + 1, 2, 2}, []int{all.Tests, all.Failures, all.Skipped})
	})
}
