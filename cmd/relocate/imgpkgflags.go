package main

import "github.com/spf13/pflag"

// imgpkgFlags are flags of imgpkg copy that scripts have. Those that ask for what a copy does
// anyway are accepted.
type imgpkgFlags struct {
	tty, yes, resume, color, cosign bool // accepted
	json, debug                     bool // rejected
}

func (f *imgpkgFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.tty, "tty", false, "accepted without effect: progress is always shown")
	flags.BoolVarP(&f.yes, "yes", "y", false, "accepted without effect: a copy asks no questions")
	flags.BoolVar(&f.resume, "resume", false, "accepted without effect: a copy resumes by default")
	flags.BoolVar(&f.color, "color", true, "false: no colour, as with NO_COLOR")
	flags.BoolVar(&f.cosign, "cosign-signatures", false, "accepted without effect: --attachments auto copies these and more")
	flags.BoolVar(&f.json, "json", false, "use --report FILE or --progress json")
	flags.BoolVar(&f.debug, "debug", false, "use --progress json")
	flags.VisitAll(func(flag *pflag.Flag) { flag.Hidden = true })
}

// checks are about imgpkg's flags where they cannot be accepted; streamed says that the archive
// goes to a stream.
func (f *imgpkgFlags) checks(noResume, streamed bool) []check {
	return []check{
		exclusive("--resume", f.resume, "--no-resume", noResume),
		{f.resume && streamed, "--resume: an export to a stream cannot be resumed; write it to a file with --to-tar FILE"},
		{f.json, "--json: use --report FILE for a report in JSON, or --progress json for events on standard error"},
		{f.debug, "--debug: leave it out; errors name the request that failed, and --progress json lists every retry"},
	}
}
