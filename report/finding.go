// Package report has what relocate reports: findings, their levels and codes.
package report

// Level says how much a finding hurts at a cluster that reaches nothing but its private registry.
type Level string

// The levels, the worst first.
const (
	Install Level = "install" // a package repository or a package cannot be installed, or only from outside
	Pull    Level = "pull"    // pods cannot pull an image
	Warning Level = "warning" // something may reach outside at run time, or could not be looked at
)

// Code names a kind of Finding. docs/leaks.md lists them for users.
type Code string

// Finding is something that is wrong with the content of a bundle. Content is carried unchanged: the finding
// is for the author, or for an overlay at the cluster.
type Finding struct {
	Code      Code   `json:"code"`
	Level     Level  `json:"level"`
	Bundle    string `json:"bundle"`              // reference
	Package   string `json:"package,omitempty"`   // name and version, with a space between
	File      string `json:"file,omitempty"`      // in the bundle
	Line      int    `json:"line,omitempty"`      // from 1; 0 when it is of the whole file
	Reference string `json:"reference,omitempty"` // as written
	Message   string `json:"message"`             // what is wrong
	Action    string `json:"action,omitempty"`    // what to do about it
}
