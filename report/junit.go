package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"relocate/internal/text"
)

// junitSuites is the JUnit XML that Jenkins, GitLab and GitHub's reporters read. They share no
// schema: this is what they have in common, with a time of zero, because some require one.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     int          `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string           `xml:"name,attr"`
	Tests      int              `xml:"tests,attr"`
	Failures   int              `xml:"failures,attr"`
	Errors     int              `xml:"errors,attr"`
	Skipped    int              `xml:"skipped,attr"`
	Time       int              `xml:"time,attr"`
	Properties *junitProperties `xml:"properties"`
	Cases      []junitCase      `xml:"testcase"`
}

type junitProperties struct {
	List []junitProperty `xml:"property"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class      string           `xml:"classname,attr"`
	Name       string           `xml:"name,attr"`
	File       string           `xml:"file,attr,omitempty"`
	Line       int              `xml:"line,attr,omitempty"`
	Time       int              `xml:"time,attr"`
	Properties *junitProperties `xml:"properties"`
	Failure    *junitFailure    `xml:"failure"`
	Skipped    *junitSkipped    `xml:"skipped"`
	Out        string           `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// JUnit returns the verdict as JUnit XML: one suite for what was proved and for problems, one for
// each version of a package ("name version"), and one for each bundle or object that has other
// findings.
//
// A finding that breaks an installation, or a pull, is a failure. A warning is a skipped case: no
// other result that is neither passed nor failed is in the counts and lists of Jenkins, GitLab and
// GitHub's reporters, and it does not fail a pipeline. Information is a passed case, whose output
// they hide.
func (v *Verdict) JUnit(packages []string) ([]byte, error) {
	all := junitSuites{Name: "relocate", Suites: []junitSuite{v.integrity()}}
	findings := map[string]Findings{}
	for _, name := range packages {
		findings[name] = nil
	}
	for _, f := range v.Findings {
		findings[f.Of()] = append(findings[f.Of()], f)
	}
	names := make([]string, 0, len(findings))
	for name := range findings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		all.Suites = append(all.Suites, findingSuite(name, findings[name]))
	}
	for i := range all.Suites {
		s := &all.Suites[i]
		s.settle()
		all.Tests, all.Failures, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Skipped+s.Skipped
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil { // it replaces what XML 1.0 cannot hold
		return nil, err
	}
	b.WriteString("\n")
	return b.Bytes(), nil
}

// integrity is the suite of checks of the whole archive or repository.
func (v *Verdict) integrity() junitSuite {
	s := junitSuite{Name: "archive", Properties: &junitProperties{}}
	if v.Level != "" || v.Objects != nil {
		s.Name = "registry"
	}
	s.describe(v)
	class := "relocate." + s.Name
	for _, proved := range v.Proved {
		s.Cases = append(s.Cases, junitCase{Class: class, Name: text.Line(proved)})
	}
	for _, row := range v.Rows {
		if row.Wrong == 0 { // what is wrong is below
			s.Cases = append(s.Cases, junitCase{Class: class, Name: text.Line(row.Of), Out: fmt.Sprintf("%d checked", row.Checked)})
		}
	}
	for _, p := range v.Problems {
		says := []string{p.Reason}
		for _, image := range p.Images {
			says = append(says, "needed by "+image)
		}
		s.Cases = append(s.Cases, junitCase{Class: class, Name: text.Line(p.Kind + ": " + p.What), Failure: failure(p.Reason, p.Kind, append(says, remedy(v.Hint)))})
	}
	if len(s.Cases) == 0 && v.Objects == nil {
		s.Cases = []junitCase{{Class: class, Name: "complete"}}
	}
	return s
}

// describe adds the properties that say what v is about.
func (s *junitSuite) describe(v *Verdict) {
	s.property("subject", v.Subject)
	for _, root := range v.Roots {
		s.property("root", root.String())
	}
	if v.Contents != nil {
		s.property("contents", v.Contents.String())
		s.property("bytes", strconv.FormatInt(v.Contents.Bytes, 10))
	}
	if v.Scan != nil && v.Scan.Packages > 0 {
		s.property("packages rendered", strconv.Itoa(v.Scan.PackagesRendered))
		s.property("packages examined as text", strconv.Itoa(v.Scan.PackagesAsText))
	}
	if o := v.Objects; o != nil && o.Rendering() != "" {
		s.property("PackageInstalls rendered", strconv.Itoa(o.Rendered))
		s.property("PackageInstalls not rendered", strconv.Itoa(o.NotRendered))
	}
	for _, b := range v.Bases {
		s.property("assumes", b.String())
	}
	if n := len(OmittedLayers(v.Omitted)); n > 0 {
		s.property("left out", text.Count(n, "layer"))
	}
	if n := len(OmittedImages(v.Omitted)); n > 0 {
		s.property("left out by platform", text.Count(n, "image"))
	}
	if len(v.Unseen) > 0 {
		s.property("attachments not seen", strconv.Itoa(len(v.Unseen)))
	}
}

// findingSuite is the suite of a version of a package, or of a bundle.
func findingSuite(name string, findings Findings) junitSuite {
	s := junitSuite{Name: text.Line(name)}
	class := "package." + strings.ReplaceAll(s.Name, ".", "_") // Jenkins treats the part before the last dot as a folder
	if len(findings) == 0 {
		s.Cases = []junitCase{{Class: class, Name: "no findings"}}
	}
	for _, f := range findings {
		c := junitCase{Class: class, Name: text.Line(strings.Join([]string{string(f.Code), f.Place(), f.Reference}, " ")), File: text.Line(f.File), Line: f.Line}
		if f.Basis != "" {
			c.Properties = &junitProperties{[]junitProperty{{"basis", string(f.Basis)}}}
		}
		says := append(f.Lines(), f.Place(), f.Reference)
		if f.Bundle != "" {
			says = append(says, "in "+f.Bundle)
		}
		says = append(says, remedy(f.Action))
		switch {
		case f.Level.Breaks():
			c.Failure = failure(f.Message, string(f.Level), says)
		case f.Level == Warning:
			c.Skipped, c.Out = &junitSkipped{text.Line("warning: " + f.Message)}, lines(says)
		default:
			c.Out = lines(says)
		}
		s.Cases = append(s.Cases, c)
	}
	return s
}

// settle counts the cases, and makes names unique: of two cases with the same name GitLab shows
// one.
func (s *junitSuite) settle() {
	seen := map[string]int{}
	for i := range s.Cases {
		c := &s.Cases[i]
		s.Tests++
		if c.Failure != nil {
			s.Failures++
		}
		if c.Skipped != nil {
			s.Skipped++
		}
		name := c.Name
		for seen[c.Name] > 0 {
			seen[name]++
			c.Name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		seen[c.Name]++
	}
}

func (s *junitSuite) property(name, value string) {
	s.Properties.List = append(s.Properties.List, junitProperty{name, text.Line(value)})
}

func failure(message, kind string, says []string) *junitFailure {
	return &junitFailure{text.Line(message), text.Line(kind), lines(says)}
}

// remedy says what to do, if anything.
func remedy(action string) string {
	if action == "" {
		return ""
	}
	return "what to do: " + action
}

// lines joins lines of foreign text, without the empty ones.
func lines(list []string) string {
	var out []string
	for _, s := range list {
		if s = text.Line(s); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}
