package relocate

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/custody"
	"relocate/report"
	"relocate/tarball"
	"relocate/verify"
	"relocate/verify/leak"
)

// VerifyOptions say how a verification runs, what it compares with, and how much it checks.
type VerifyOptions struct {
	Options
	Roots []v1.Hash      // that the archive must have, or the roots of a repository without an archive
	Root  name.Reference // the only root of a repository without an archive and Roots: a tag or a digest in it
	Level verify.Level   // at which a repository is verified; empty means verify.Manifests

	// Bases are archives that have what the archive assumes, of Rehearse.
	Bases []*tarball.Archive

	Strict bool              // findings in an archive are a reason to fail; in a repository they always are
	Accept report.Acceptance // what is known and is not a reason to fail
}

// Verify says whether an archive, or a repository, is complete, and what in it points outside. The
// verdict says what was proved, and what was not.
//
// Of an archive alone, with the zero Destination, every byte is accounted for. A repository is
// compared with the archive that was imported into it, or the part that opt.Selection selects; at is as
// it was for that import. Without an
// archive (nil), everything below opt.Roots or opt.Root must be present. No other registry is
// asked.
//
// opt.Content is called where a plan can be made of what was found.
//
// Errors: what makes a verdict impossible. ErrOptions without anything to compare with, and where
// an archive of imgpkg's format is to have a seal; tarball.ErrDamaged of an archive that a
// repository is compared with; fs.ErrNotExist where the registry does not have opt.Root.
func Verify(ctx context.Context, archive *tarball.Archive, at Destination, opt VerifyOptions) (*report.Verdict, error) {
	c := &verifying{VerifyOptions: opt, archive: archive, at: at}
	if archive != nil {
		c.name = archive.Name()
	}
	switch {
	case at.Repository != (name.Repository{}):
		if err := opt.checkValues(ctx, archive); err != nil {
			return nil, err
		}
		return opt.proveSigner(c.verifyRepository(ctx))
	case archive != nil:
		return opt.proveSigner(c.verifyArchive(ctx, archive))
	}
	return nil, optionsf("nothing to verify: name an archive or a repository")
}

// proveSigner adds to a verdict who signed the archive, if that was asked for.
func (o *VerifyOptions) proveSigner(v *report.Verdict, err error) (*report.Verdict, error) {
	if err == nil && o.Signature != nil {
		v.Signature = o.Signature
		v.Proved = append(v.Proved, fmt.Sprintf("signed by %s: it is the file that they signed", custody.Signer(*o.Signature)))
	}
	return v, err
}

// VerifyStream says of an archive that arrives once, from front to back, what Verify says of one in a
// file. It keeps what ImportStream keeps. Damage of anything but blobs ends it.
//
// Errors: as Verify; *custody.UntrustedError; tarball.ErrNotArchive, tarball.ErrTruncated, tarball.ErrDamaged.
func VerifyStream(ctx context.Context, from io.Reader, opt VerifyOptions) (*report.Verdict, error) {
	in, err := opt.receive(ctx, from)
	if err != nil {
		return nil, err
	}
	defer in.close()
	c := &verifying{VerifyOptions: opt, name: in.name}
	if in.isImgpkg() {
		if c.archive, err = in.spool(); err != nil {
			return nil, err
		}
		return c.verifyArchive(ctx, c.archive)
	}
	s, err := in.open()
	if err != nil {
		return nil, err
	}
	c.archive, c.Signature = s.Archive, in.opt.Signature
	return c.proveSigner(c.verifyArchive(ctx, s))
}

// checkValues fails where values are for no package of an archive, before the work of minutes. What is
// wrong with the archive is found later.
//
// Errors: *render.UnusedValuesError; that of ctx.
func (o *VerifyOptions) checkValues(ctx context.Context, archive *tarball.Archive) error {
	if archive == nil || len(o.Values) == 0 {
		return nil
	}
	plan, err := archive.Plan(ctx, o.jobs(), o.Renderer)
	if err != nil {
		return ctx.Err()
	}
	return o.Values.Check(plan.Graph.Packages)
}

// verifying is one Verify.
type verifying struct {
	VerifyOptions
	archive *tarball.Archive // nil: none
	name    string           // of it
	at      Destination
	plan    *bundle.Plan // of the part of the archive that is expected in a repository; nil: not made yet
	verdict *report.Verdict
}

// notLookedFor is what a verification says of attachments.
const notLookedFor = "They were looked for only at the export; what else the source had is not known here."

// take adds what would point outside to the verdict.
func (c *verifying) take(found *leak.Report) {
	c.verdict.Scan = &found.Scan
	c.verdict.Findings, c.verdict.Accepted = c.Accept.Split(found.Findings)
}
