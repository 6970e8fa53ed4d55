// Command relocate carries Carvel package repositories across an air gap. See README.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is built: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRoot()
	out := &resultWriter{w: stdout}
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		err = out.err
	}
	if err == nil {
		return 0
	}
	status, hint := judge(ctx, err)
	fmt.Fprintln(stderr, "relocate:", printable(err.Error()))
	if hint != "" {
		fmt.Fprintln(stderr, "hint:", hint)
	}
	return status
}

// resultWriter remembers that results could not be written, for those who print and do not ask.
type resultWriter struct {
	w   io.Writer
	err error
}

func (r *resultWriter) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("write results: %w", err)
	}
	return n, err
}

// newRoot returns the root command, which is the copy, with all others below it.
func newRoot() *cobra.Command {
	cmd := newCopy()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.SetUsageFunc(usage)
	cmd.AddCommand(newPlan(), newInspect(), newVerify(), newEmit(), newVersion())
	return cmd
}

// printable replaces what a terminal would obey: text from registries and archives is in errors.
// Line feeds stay; libraries put foreign text into theirs escaped.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '�'
		}
		return r
	}, s)
}
