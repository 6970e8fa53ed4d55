package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"relocate/carvel/values"
	"relocate/internal/inspect"
)

// checkValues checks the files of --check-values for a package, and prints what is wrong with them.
func (f *inspectFlags) checkValues(ctx context.Context, w io.Writer, p *inspect.Package) error {
	var files []values.File
	for _, path := range f.checked {
		if file, named := strings.CutPrefix(path, p.Name+"="); named {
			return usagef("--check-values %s: give the file alone: --check-values %s", path, file)
		}
		data, err := readValuesFile(ctx, "--check-values", path)
		if err != nil {
			return err
		}
		files = append(files, values.File{Path: path, Data: data})
	}
	c, err := p.CheckValues(files)
	if err != nil {
		return err
	}
	if err := f.format.print(w, c, func(w io.Writer) { writeChecked(w, c) }); err != nil || c.OK {
		return err
	}
	hint := "relocate inspect … --values-schema shows the values that it takes"
	return problemsError{statusUsage, "the values do not fit package " + c.Package, hint}
}

// writeChecked writes each problem on a line, and then the result.
func writeChecked(w io.Writer, c *inspect.CheckedValues) {
	errors := 0
	for _, p := range c.Problems {
		if !p.Warning {
			errors++
		}
		fmt.Fprintln(w, line(p.Level()+": "+p.String()))
	}
	if c.OK {
		fmt.Fprintf(w, "the values fit package %s\n", line(c.Package))
		return
	}
	fmt.Fprintf(w, "the values do not fit package %s: %s\n", line(c.Package), count(errors, "error"))
}
