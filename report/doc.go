// Package report says what was found: verdicts and findings, what of them is accepted, and their JSON and JUnit XML.
//
// A Verdict is filled in by whoever looked, and judged: Verdict.Judge decides whether all is as it should be, and says
// so in a sentence. Everything that people or programs read of it is made of the one Verdict: its JSON (version 1, see
// docs/json.md), Verdict.JUnit, the page of package report/page and the text of the program.
//
// A Finding has a code. The table in codes.go says of each code and level what to do; docs/leaks.md has it for users. To
// add a finding, add its row there and to docs/leaks.md, and make it where it is seen with Finding.Advised.
package report
