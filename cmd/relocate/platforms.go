package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/internal/printer"
	"relocate/oci"
	"relocate/report"
)

// What --platform-mode may be.
const (
	platformsSparse = "sparse"
	platformsDerive = "derive"
)

// platformFlags are the flags that choose images by platform.
type platformFlags struct {
	platforms []string
	mode      string
}

func (f *platformFlags) add(flags *pflag.FlagSet) {
	f.addTo(flags, "copy only this `OS/ARCH[/VARIANT]` of multi-platform images (repeatable)",
		"`MODE` of --platform: sparse leaves indexes as they are, which some registries refuse; derive makes new indexes, and new bundles that name them")
}

func (f *platformFlags) addTo(flags *pflag.FlagSet, platform, mode string) {
	flags.StringArrayVar(&f.platforms, "platform", nil, platform)
	flags.StringVar(&f.mode, "platform-mode", platformsSparse, mode)
}

func (f *platformFlags) check() error {
	if err := firstWrong(
		check{f.mode == platformsDerive && len(f.platforms) == 0, "--platform-mode derive needs --platform"},
		oneOf("--platform-mode", f.mode, platformsSparse, platformsDerive),
	); err != nil {
		return err
	}
	_, err := f.parse()
	return err
}

// parse reads the platforms.
func (f *platformFlags) parse() (list []v1.Platform, err error) {
	for _, s := range f.platforms {
		p, err := oci.ParsePlatform(s)
		if err != nil {
			return nil, usagef("--platform %w", err)
		}
		list = append(list, p)
	}
	return list, nil
}

// set sets the platforms of a verb; they were checked.
func (f *platformFlags) set(opt *relocate.Options) {
	opt.Selection.Platforms, _ = f.parse()
	opt.Selection.Derive = f.mode == platformsDerive
}

// platformsOf lists the first platforms of children that an index is without.
func platformsOf(children []bundle.Child) string {
	const most = 10
	var list []string
	for _, child := range children {
		switch {
		case child.Platform == "" || slices.Contains(list, child.Platform):
		case len(list) == most:
			return strings.Join(list, ", ") + " and others"
		default:
			list = append(list, child.Platform)
		}
	}
	return strings.Join(list, ", ")
}

// summarizeReplaced writes which indexes and bundles were made for the platforms in place of others. more
// says where the rest of a long list is.
func summarizeReplaced(w io.Writer, replaced []report.Replaced, more string) {
	const most = 5
	if len(replaced) == 0 {
		return
	}
	var lines []string
	bundles, attachments := 0, 0
	for _, r := range replaced {
		if r.Kind == string(bundle.Bundle) {
			bundles++
		}
		attachments += len(r.Attachments)
		s := fmt.Sprintf("  %s %s\n    was %s, is %s", r.Kind, line(r.Reference), r.From, r.To)
		if len(r.Attachments) > 0 {
			s += "\n    no longer valid: " + attachmentNames(r.Attachments)
		}
		lines = append(lines, s)
	}
	fmt.Fprintf(w, "made for the platforms, with other digests: %s and %s\n", count(len(replaced)-bundles, "index"), count(bundles, "bundle"))
	if attachments > 0 {
		fmt.Fprintf(w, "no longer valid, and left out: %s of the originals, such as signatures\n", count(attachments, "attachment"))
	}
	fmt.Fprintln(w, printer.First(lines, most, more))
}

// attachmentNames names the first attachments of a list.
func attachmentNames(list []report.Attachment) string {
	const most = 3
	var names []string
	for _, a := range list[:min(most, len(list))] {
		names = append(names, cmp.Or(a.Tag, a.Digest.String()))
	}
	s := strings.Join(names, ", ")
	if n := len(list) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}
