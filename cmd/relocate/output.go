package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"relocate/internal/printer"
)

// format is a value of --output.
type format string

// addFormat adds -o.
func addFormat(flags *pflag.FlagSet, f *format) {
	*f = "text"
	flags.VarP(f, "output", "o", "print the result as `FORMAT`: text, json or yaml")
}

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	switch s {
	case "text", "json", "yaml":
		*f = format(s)
		return nil
	}
	return fmt.Errorf("must be text, json or yaml")
}

// Type implements pflag.Value.
func (f *format) Type() string { return "FORMAT" }

// print writes v as JSON or YAML, or what text writes.
func (f format) print(w io.Writer, v any, text func(io.Writer)) error {
	if f == "text" {
		text(w)
		return nil
	}
	encode := printer.JSON
	if f == "yaml" {
		encode = printer.YAML
	}
	b, err := encode(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
