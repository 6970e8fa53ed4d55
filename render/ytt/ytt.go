// Package ytt runs ytt v0.51.1 on files in memory, in a limited child process.
//
// Templates are programs of strangers, and the library cannot be stopped once it runs. So Run starts
// a relocate program as its child, which calls Child: see package internal/child for its limits.
package ytt

import (
	"context"
	"errors"

	"relocate/internal/child"
)

// File is a file in memory.
type File struct {
	Path string // with slashes
	Data []byte
}

// Input is a call of ytt.
type Input struct {
	Files                 []File   // in the order in which ytt reads them, with the paths that it gives them
	Values                []File   // --data-values-file, the last one wins
	FileMarks             []string // --file-mark
	IgnoreUnknownComments bool
}

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

// Place is a line of an input file. The line is 0 when ytt does not know it.
type Place struct {
	File string
	Line int
}

// FileUse says what ytt makes of an input file.
type FileUse struct {
	Template bool // its directives are run
	Output   bool // its documents are printed
}

// FailedError is ytt's own message: the input is wrong.
type FailedError struct{ Message string }

func (e *FailedError) Error() string { return e.Message }

// Run runs ytt.
//
// Errors: *FailedError; *child.LimitError when the child was ended or died; others say that the
// child could not be started.
func Run(ctx context.Context, by child.Program, in Input) (*Output, error) {
	return nil, errors.New("not yet")
}

// Child is the child's side of Run: it reads an input from standard input, and writes the output.
func Child() int { return 1 }
