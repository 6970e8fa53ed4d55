// Package ytt runs ytt v0.51.1 on files in memory, in limited child processes.
//
// Templates are untrusted programs, and the library cannot be stopped once it runs. So Run has a
// relocate program run it, as a child that called Hook: see package internal/child for its limits. What
// the library keeps between two runs is a counter for names in compiled templates, and whether it has
// warned: nothing that a template can see.
package ytt

import (
	"context"

	"relocate/internal/child"
)

// File is a file in memory.
type File struct {
	Path   string // with slashes, as ytt names it
	Data   []byte
	Origin string // what a Place says of it; empty: Path
}

// Input is a call of ytt.
type Input struct {
	// Files are in the order in which ytt reads them: that of the -f flags, and by the bytes of the
	// paths within a folder. Their paths are relative to the folder of their flag. A file that a
	// flag names has its base name, and standard input is stdin.yml.
	Files                 []File
	Values                []File   // --data-values-file, the last one wins; their paths as for Files
	FileMarks             []string // --file-mark
	IgnoreUnknownComments bool
	Inspect               Inspection // what is printed in place of the result; empty: the result
}

// Inspection is what ytt prints in place of its result.
type Inspection string

// What ytt prints in place of its result.
const (
	Schema     Inspection = "schema" // --data-values-schema-inspect -o openapi-v3
	DataValues Inspection = "values" // --data-values-inspect
)

// Output is what ytt prints.
type Output struct {
	Text    []byte    // its documents, byte for byte as the program prints them
	Strings []String  // the strings in the documents that may hold a reference
	Starts  []Place   // where each document comes from
	Uses    []FileUse // of Input.Files, in their order
}

// String is a string in an output document.
type String struct {
	Document int    // from 0
	Path     string // as JSON pointer (RFC 6901)
	Value    string
	Place    Place
}

// Place is a line of an input file. The file is empty, or the line 0, when ytt does not know it.
type Place struct {
	File string // its Origin
	Line int
}

// FileUse says what ytt makes of an input file, after file marks.
type FileUse struct {
	Template bool // its directives are run
	Output   bool // its documents are printed, or change what is
	Read     bool // ytt, or a template with these values, reads it
}

// FailedError is ytt's own message: the input is wrong.
type FailedError struct{ Message string }

func (e *FailedError) Error() string { return e.Message }

// mode is that of the children.
const mode = "ytt"

// Hook makes this process a child of Run when it is started as one. Programs and tests whose
// executable is a child.Program call it before anything else.
func Hook() { child.Main(map[string]child.Mode{mode: reply}) }

// Children returns a pool of children for Run.
func Children(by child.Program, idle int) *child.Pool { return by.Pool(mode, idle) }

// Run runs ytt. It is safe for concurrent use.
//
// Errors: *FailedError; *child.LimitError when the child was ended or died; that of ctx; others say
// that the child could not be started.
func Run(ctx context.Context, by *child.Pool, in Input) (*Output, error) {
	answer, err := by.Run(ctx, encodeRequest(in))
	if err != nil {
		return nil, err
	}
	return decodeAnswer(answer, in)
}
