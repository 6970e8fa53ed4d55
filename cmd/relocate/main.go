// Command relocate carries Carvel package repositories across an air gap. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"relocate"
	"relocate/internal/heap"
	"relocate/internal/watchdog"
	"relocate/render/ytt"
)

// version is set when the program is built: -ldflags "-X main.version=…".
var version = "dev"

// softLimit is the size in bytes towards which the garbage collector keeps the heap, so that the
// program stays within 256 MiB (docs/decisions/0005-limits.md).
const softLimit = 200 << 20

// growth is how much the heap may grow before memory is collected.
var growth = heap.Growth{Bytes: 8 << 20, Least: 50, Most: 200}

func main() {
	ytt.Hook()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
	if os.Getenv("GOGC") == "" {
		growth.Set()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	stdout, stderr = painted(stdout, args), painted(stderr, args)
	ctx, stop := watchdog.Watch(ctx, func(err error) {
		fmt.Fprintln(stderr, "relocate:", err)
		os.Exit(statusFailed)
	})
	defer stop()
	ctx, ended := withTermination(ctx)
	cmd := newRoot()
	out := &resultWriter{w: stdout, dog: watchdog.In(ctx)}
	cmd.SetArgs(args)
	cmd.SetIn(out.dog.Input(os.Stdin))
	cmd.SetOut(out)
	cmd.SetErr(stderr)
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		err = out.err
	}
	if err == nil {
		ended.write(stderr, 0, "", "")
		return 0
	}
	status, text, hint := judge(ctx, err)
	if text = printable(withoutQueries(args, withoutPassword(text))); text != "" {
		fmt.Fprintln(stderr, "relocate:", text)
	}
	var problems problemsError
	if errors.As(err, &problems) { // which were printed as the result
		text = printable(problems.text)
	}
	ended.write(stderr, status, text, hintFor(ran, hint))
	if meant := guessed(err, args); meant != "" {
		hint = "did you mean: " + meant
	}
	if isA[needsValuesError](err) {
		hint = "write the values to a file, and run: " + shellLine(slices.Concat([]string{"relocate"}, args, []string{"--values-file", "values.yml"}))
	}
	if hint = hintFor(ran, hint); hint != "" {
		fmt.Fprintln(stderr, "hint:", hint)
	}
	for _, note := range notesOf(err) {
		fmt.Fprintln(stderr, "config:", printable(note))
	}
	var kept *relocate.UnfinishedError
	if errors.As(err, &kept) {
		fmt.Fprintln(stderr, "kept:", printable(keptText(kept)))
	}
	return status
}

// hintFor adapts a hint to the command that ran: its own help, and only a copy can be continued.
func hintFor(cmd *cobra.Command, hint string) string {
	switch {
	case hint == hintHelp && cmd.Name() != "help":
		return fmt.Sprintf("see %s --help", cmd.CommandPath())
	case hint == hintResume && cmd.HasParent() && cmd.Name() != "copy" && cmd.Name() != "prune":
		return ""
	case hint == hintOtherInventory && (cmd.Name() == "rehearse" || cmd.Name() == "serve"):
		return hintAssumed
	}
	return hint
}

// resultWriter keeps the first error of writing results, which printing ignores.
type resultWriter struct {
	w   io.Writer
	dog *watchdog.Watchdog
	err error
}

func (r *resultWriter) Write(p []byte) (int, error) {
	n, err := r.dog.Waiting(func() (int, error) { return r.w.Write(p) })
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("write results: %w", err)
	}
	return n, err
}

// newRoot returns the root command, which is the copy, with all others below it.
func newRoot() *cobra.Command {
	cmd := newCopy("relocate")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(misspelt)
	cmd.SetUsageFunc(usage)
	cmd.SetHelpFunc(writeHelp)
	cmd.SetHelpCommand(newHelp())
	cmd.Version = version
	cmd.SetVersionTemplate(versionLine())
	cmd.Flags().Bool("version", false, "print the program's version")
	cmd.AddCommand(
		newCopy("copy"), newPlan(), newInspect(), newInventory(), newDiff(), newVerify(), newRehearse(), newRepair(),
		newRender(), newServe(), newEmit(), newPrune(), newSign(), newKey(), newReceipts(), newSites(), newImage(),
		newVersion(), newCompletion(), newRegistriesHelp(), newHTTPSHelp(), newConfigHelp(),
	)
	for _, c := range append(cmd.Commands(), cmd) {
		guarded(c)
	}
	return cmd
}
