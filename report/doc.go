// Package report says what was found: verdicts and findings, which of them are accepted, and their
// JSON and JUnit XML.
//
// The caller fills in a Verdict with what was found. Verdict.Judge decides whether all is as it
// should be, and says so in a sentence. All output for people and programs is made from the
// Verdict: its JSON (version 1, see docs/json.md), Verdict.JUnit, the page of package report/page
// and the text of the program.
//
// A Finding has a code. The table in codes.go says for each code and level what to do;
// docs/leaks.md has it for users. To add a finding, add its row there and to docs/leaks.md, and
// create it where it is detected, with Finding.Advised.
package report
