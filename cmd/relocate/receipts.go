package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/custody"
)

// receiptsFlags are the flags of receipts.
type receiptsFlags struct {
	trust    trustFlags
	file     string
	format   format
	archives archiveFlags
}

func newReceipts() *cobra.Command {
	f := &receiptsFlags{}
	cmd := &cobra.Command{
		Use:   "receipts FILE",
		Short: "List who did what with an archive",
		Long: `receipts lists what --receipt-key has written to FILE.receipts.jsonl: who
exported, rehearsed, received, imported and verified the archive, where and
when. Each line names the one before it by its SHA-256, so receipts shows which
lines were removed, changed, moved or copied. It cannot show that lines were
removed from the end. Where two copies of the file were continued separately and
then joined, it shows a tree.

With --trust, each receipt must be signed by a key that is trusted for the
namespace ` + custody.ReceiptNamespace + ` at the time that the receipt claims. Names and times
are what the signer says. A line that another program signed is listed and
skipped.

A line is a sigstore bundle. Stock cosign verifies it without a network:

  sed -n 1p FILE.receipts.jsonl > receipt.json
  cosign verify-blob-attestation --key ops.pub --bundle receipt.json \
    --type https://in-toto.io/attestation/link/v0.3 --insecure-ignore-tlog \
    --digest SEAL --digestAlg ` + custody.SealAlgorithm + `

FILE is an archive, of which documents and headers are read, or a file of
receipts by itself, whose name ends in ` + custody.ReceiptsEnding + `.

` + statusHelp,
		Example: `  relocate receipts tce.tar --trust site.signers
  relocate receipts tce.tar.receipts.jsonl -o json`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), cmd.OutOrStdout(), args[0]) },
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.file, "receipts", "", "read the receipts in `FILE`, or at a URL (default: NAME.receipts.jsonl "+
			"beside the archive)")
		f.trust.addTrust(flags)
		addFormat(flags, &f.format)
	})
	f.archives.addTo(cmd, func(args []string) bool { return len(args) == 0 })
	return cmd
}

// read reads the receipts, and the seal of the archive at path.
func (f *receiptsFlags) read(ctx context.Context, path string, trust *custody.Trust) (*custody.Chain, v1.Hash, error) {
	if !f.archives.isURL(path) && !f.archives.isURL(f.file) {
		return relocate.ReadReceipts(path, f.file, trust)
	}
	var seal v1.Hash
	file := cmp.Or(f.file, path)
	if !strings.HasSuffix(path, custody.ReceiptsEnding) {
		a, err := f.archives.open(ctx, path)
		if err != nil {
			return nil, seal, err
		}
		seal, file = a.Seal(), cmp.Or(f.file, path+custody.ReceiptsEnding)
		if err := a.Close(); err != nil {
			return nil, seal, err
		}
	}
	raw, err := f.archives.read(ctx, file, custody.MaxReceipts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, seal, usagef("%s is missing: no receipt was written beside the archive, or it was left behind; "+
			"--receipts names a file elsewhere", file)
	}
	if err != nil {
		return nil, seal, err
	}
	chain, err := custody.ReadChain(file, raw, seal, trust, time.Now())
	return chain, seal, err
}

func (f *receiptsFlags) run(ctx context.Context, w io.Writer, path string) error {
	trust, err := f.trust.keys(ctx)
	if err != nil {
		return err
	}
	chain, seal, err := f.read(ctx, path, trust)
	if err != nil {
		return asUsage(err)
	}
	r := newReceiptsReport(path, seal, chain, trust != nil)
	if err := f.format.print(w, r, r.text); err != nil {
		return err
	}
	switch {
	case chain.Untrusted():
		return problemsError{statusUntrusted, r.Sentence, "relocate key show FILE shows whose key a file has"}
	case chain.Broken():
		return problemsError{statusDamage, r.Sentence, "ask those who had the archive for their copies of the file, which have the missing lines"}
	case !r.OK:
		return problemsError{statusMissing, r.Sentence, "ask those who had the archive for their copies of the file"}
	}
	return nil
}

// receiptsReport is the JSON of receipts.
type receiptsReport struct {
	Version   int           `json:"version"`
	OK        bool          `json:"ok"`
	Sentence  string        `json:"sentence"`
	File      string        `json:"file"`
	Seal      v1.Hash       `json:"seal,omitzero"` // of the archive; not without one
	Receipts  []receiptLine `json:"receipts"`
	Torn      bool          `json:"torn,omitempty"` // the last line was cut off while it was written
	NotProved []string      `json:"notProved"`
}

// receiptLine is a line of a file of receipts.
type receiptLine struct {
	Line     int             `json:"line"`
	Digest   v1.Hash         `json:"digest"` // of the line
	Act      custody.Act     `json:"act,omitempty"`
	Failed   bool            `json:"failed,omitempty"`
	Time     time.Time       `json:"time,omitzero"`
	By       string          `json:"by,omitempty"`
	Host     string          `json:"host,omitempty"`
	Program  string          `json:"program,omitempty"`
	Archive  string          `json:"archive,omitempty"`
	Target   string          `json:"repository,omitempty"` // that was filled or verified
	Levels   []string        `json:"levels,omitempty"`
	Previous v1.Hash         `json:"previous,omitzero"` // digest of the line before it
	Type     string          `json:"type,omitempty"`    // of the predicate
	Depth    int             `json:"depth,omitempty"`   // of forks above it
	Signer   *custody.Signer `json:"signer,omitempty"`
	Unsigned bool            `json:"unsigned,omitempty"` // nobody signed it
	Problems []string        `json:"problems,omitempty"`
	Note     string          `json:"note,omitempty"`
}

func newReceiptsReport(file string, seal v1.Hash, c *custody.Chain, trusted bool) *receiptsReport {
	r := &receiptsReport{Version: reportVersion, File: file, Seal: seal, Torn: c.Torn, Receipts: []receiptLine{}}
	receipts, problems := 0, 0
	for _, l := range c.Lines {
		x := receiptLine{
			Line: l.Number, Digest: l.Digest, Type: l.Type, Depth: l.Depth, Signer: l.Signer, Unsigned: l.Bare, Note: l.Note,
		}
		if l.Receipt != nil {
			receipts++
			x.say(l.Receipt)
		}
		if l.Problem != "" {
			x.Problems = append(x.Problems, l.Problem)
		}
		if l.Untrusted != nil {
			x.Problems = append(x.Problems, l.Untrusted.Error())
		}
		problems += min(1, len(x.Problems))
		r.Receipts = append(r.Receipts, x)
	}
	r.OK = problems == 0 && receipts > 0
	r.Sentence = fmt.Sprintf("%s of %s", count(receipts, "receipt"), file)
	switch {
	case problems > 0:
		r.Sentence += fmt.Sprintf(": %s wrong", isOrAre(problems, "line"))
	case receipts == 0:
		r.Sentence = "no line is a receipt of " + file
	case receipts > 1:
		r.Sentence += ", each names the one before"
	}
	r.NotProved = append(r.NotProved, fmt.Sprintf("that no line was removed after the last one, line %d", len(c.Lines)))
	if !trusted {
		r.NotProved = append(r.NotProved, "who wrote them: --trust was not given")
	}
	if seal.Hex == "" {
		r.NotProved = append(r.NotProved, "that they are about an archive that is here: only the receipts were given")
	}
	return r
}

// isOrAre counts a noun, with its verb.
func isOrAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return count(n, noun) + " are"
}

func (x *receiptLine) say(r *custody.Receipt) {
	x.Act, x.Failed, x.Time, x.By, x.Host, x.Program = r.Act, r.Failed(), r.Time, r.By, r.Host, r.Program
	x.Archive, x.Target, x.Levels, x.Previous = r.Archive, r.Target, r.Levels, r.Previous
}

// text writes the receipts for people.
func (r *receiptsReport) text(w io.Writer) {
	word := "OK"
	if !r.OK {
		word = "NOT OK"
	}
	fmt.Fprintln(w, line(word+": "+r.Sentence))
	for _, x := range r.Receipts {
		indent := strings.Repeat("  ", x.Depth)
		fmt.Fprintf(w, "%s  %d  %s\n", indent, x.Line, line(x.headline()))
		if x.Signer != nil {
			fmt.Fprintf(w, "%s     signed by %s\n", indent, line(x.Signer.String()))
		} else if x.Unsigned {
			fmt.Fprintf(w, "%s     not signed\n", indent)
		}
		for _, p := range x.Problems {
			fmt.Fprintf(w, "%s     wrong: %s\n", indent, line(p))
		}
		if x.Note != "" {
			fmt.Fprintf(w, "%s     note: %s\n", indent, line(x.Note))
		}
	}
	if r.Torn {
		fmt.Fprintln(w, "the last line was cut off while it was written; the next receipt begins a new line")
	}
	writeNotProved(w, r.NotProved)
}

// headline says who did what.
func (x *receiptLine) headline() string {
	if x.Act == "" {
		if x.Type == "" {
			return "no receipt"
		}
		return "attestation " + x.Type
	}
	s := fmt.Sprintf("%s  %s", x.Time.Format(time.RFC3339), x.Act)
	if x.Target != "" {
		s += " " + map[custody.Act]string{custody.Imported: "into ", custody.Verified: "at "}[x.Act] + x.Target
	}
	if x.Failed {
		s += ": FAILED"
	}
	if x.By != "" {
		s += " by " + x.By
	}
	if x.Host != "" {
		s += " on " + x.Host
	}
	return s
}
