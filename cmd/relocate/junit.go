package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"relocate/carvel"
	"relocate/report"
)

// junitSuites is the JUnit XML that Jenkins, GitLab and GitHub's reporters read. There is no schema of it that all
// agree on: this is what they have in common, with time, which some want, as zero.
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
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Time    int           `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// encodeJUnit writes what verify found as JUnit XML: a suite of what was proved and of problems, and one of each
// version of a package, and of each bundle that has findings beside them. The packages are those of the plan.
//
// A finding that breaks an installation, or a pull, is a failure. A warning is a skipped case: of what is neither
// passed nor failed that is all that Jenkins, GitLab and GitHub's reporters show in their counts and lists,
// and it makes no pipeline red. Output of a passed case they hide.
func encodeJUnit(r *verifyReport, packages []carvel.Package) ([]byte, error) {
	all := junitSuites{Name: "relocate", Suites: []junitSuite{r.integrity()}}
	findings := map[string][]report.Finding{}
	for _, p := range packages {
		findings[p.Name+" "+p.Version] = nil
	}
	for _, f := range r.Findings {
		name := f.Package
		if name == "" {
			name = f.Bundle
		}
		findings[name] = append(findings[name], f)
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

// integrity is the suite of what was looked at as a whole.
func (r *verifyReport) integrity() junitSuite {
	s := junitSuite{Name: "archive", Properties: &junitProperties{}}
	if r.level != "" {
		s.Name = "registry"
	}
	s.property("subject", r.Subject)
	for _, root := range r.Roots {
		s.property("root", root.String())
	}
	if r.Contents != nil {
		s.property("contents", r.Contents.String())
		s.property("bytes", strconv.FormatInt(r.Contents.Bytes, 10))
	}
	if len(r.Omitted) > 0 {
		s.property("left out", count(len(r.Omitted), "layer"))
	}
	if len(r.Unseen) > 0 {
		s.property("attachments not seen", strconv.Itoa(len(r.Unseen)))
	}
	class := "relocate." + s.Name
	for _, proved := range r.Proved {
		s.Cases = append(s.Cases, junitCase{Class: class, Name: line(strings.TrimSuffix(proved, ":"))})
	}
	for _, row := range r.Rows {
		if row.Wrong == 0 { // what is wrong is below
			s.Cases = append(s.Cases, junitCase{Class: class, Name: line(row.Of), Out: fmt.Sprintf("%d checked", row.Checked)})
		}
	}
	for _, p := range r.Problems {
		text := []string{p.Reason}
		for _, image := range p.Images {
			text = append(text, "needed by "+image)
		}
		s.Cases = append(s.Cases, junitCase{Class: class, Name: line(p.Kind + ": " + p.What), Failure: failure(p.Reason, p.Kind, append(text, remedy(r.hint)))})
	}
	if len(s.Cases) == 0 && r.told == "" {
		s.Cases = []junitCase{{Class: class, Name: "complete"}}
	}
	return s
}

// findingSuite is the suite of a version of a package, or of a bundle.
func findingSuite(name string, findings []report.Finding) junitSuite {
	s := junitSuite{Name: line(name)}
	class := "package." + strings.ReplaceAll(s.Name, ".", "_") // Jenkins takes what is before the last dot for a folder
	if len(findings) == 0 {
		s.Cases = []junitCase{{Class: class, Name: "no findings"}}
	}
	for _, f := range findings {
		where := f.File
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		c := junitCase{Class: class, Name: line(strings.Join([]string{string(f.Code), where, f.Reference}, " ")), File: line(f.File), Line: f.Line}
		text := []string{f.Message, where, f.Reference}
		if f.Bundle != "" {
			text = append(text, "in "+f.Bundle)
		}
		text = append(text, remedy(f.Action))
		if levelRank(f.Level) < levelRank(report.Warning) {
			c.Failure = failure(f.Message, string(f.Level), text)
		} else {
			c.Skipped, c.Out = &junitSkipped{line("warning: " + f.Message)}, lines(text)
		}
		s.Cases = append(s.Cases, c)
	}
	return s
}

// settle counts the cases, and makes names unique: of two with one name GitLab shows one.
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
	s.Properties.List = append(s.Properties.List, junitProperty{name, line(value)})
}

func failure(message, kind string, text []string) *junitFailure {
	return &junitFailure{line(message), line(kind), lines(text)}
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
		if s = line(s); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}
