package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"relocate"
	"relocate/internal/progress"
)

// display shows what a verb does.
type display struct {
	*progress.Progress
	now *progress.Phase
}

// progressMode is a value of --progress.
type progressMode string

func addProgress(flags *pflag.FlagSet, m *progressMode) {
	*m = "auto"
	flags.Var(m, "progress", "show progress as `MODE`: auto, tty, plain, json or none")
}

// String implements pflag.Value.
func (m *progressMode) String() string { return string(*m) }

// Set implements pflag.Value.
func (m *progressMode) Set(s string) error {
	switch s {
	case "auto", "tty", "plain", "json", "none":
		*m = progressMode(s)
		return nil
	}
	return fmt.Errorf("must be auto, tty, plain, json or none")
}

// Type implements pflag.Value.
func (m *progressMode) Type() string { return "MODE" }

// newProgress returns the progress of a command, and the context in which its requests are seen.
func newProgress(ctx context.Context, mode progressMode, out io.Writer) (context.Context, *display) {
	if mode == "auto" {
		mode = "plain"
		if isTerminal(out) && os.Getenv("TERM") != "dumb" {
			mode = "tty"
		}
	}
	ctx, p := progress.New(ctx, progress.Mode(mode), out)
	return ctx, &display{Progress: p}
}

// noteHints say what to do about some notes of a verb, by their codes.
var noteHints = map[string]string{
	"moved":             " (--no-resume takes the new one)",
	"no-longer-refused": " (--no-resume takes it)",
	"tags":              "; " + hintTags,
	"signatures-login": ": login flags are for the registries of -b, -i and --lock only; " +
		"use docker login, or RELOCATE_REGISTRY_HOSTNAME in the environment",
}

// see shows what a verb does.
func (p *display) see(e relocate.Event) {
	switch {
	case e.Code == "size":
		p.Note("%s%s", e.Note, uploadHint(e.Bytes))
	case e.Note != "":
		p.Note("%s%s", e.Note, noteHints[e.Code])
	case e.Done:
		p.now.End()
		p.now = nil
	case p.now == nil: // the first event of a phase, which comes before all its others
		p.now = p.Begin(e.Phase, e.Blobs, e.Bytes)
	default:
		p.now.Step(e.Step)
	}
}
