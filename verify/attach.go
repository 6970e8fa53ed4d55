package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
	"relocate/report"
)

// referrers is a Target that tells what refers to a manifest by the referrers API. Without it, or where it
// is errors.ErrUnsupported, the list is an index under a tag.
type referrers interface {
	Referrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error)
}

// wanted returns the attachments that must be there.
func (o Options) wanted() []bundle.Attachment {
	if o.Want == nil {
		return nil
	}
	return o.Want.Graph.Attachments
}

// checkAttachments queues a check of each attachment that must be there and is not known to be left out: under its
// tag, or listed for its subject. One whose manifest the walk did not get is a problem without asking further.
func (v *verification) checkAttachments() {
	if v.opt.Want == nil {
		return
	}
	for _, n := range v.opt.Want.Graph.Nodes {
		d := n.Descriptor.Digest
		var listed []bundle.Attachment
		for _, a := range v.opt.Want.Graph.Attached(d) {
			switch {
			case slices.Contains(v.opt.LeftOut, a):
			case !slices.Contains(v.plan.Graph.Attached(d), a):
				v.add(attachments, v.isLost(a, n))
			case a.Tag != "":
				v.add(attachments, v.checkAttached(a, n))
			default:
				listed = append(listed, a)
			}
		}
		if len(listed) > 0 {
			v.checks = append(v.checks, check{attachments, len(listed), v.checkReferrers(n, listed)})
		}
	}
}

// attachmentProblem is what is wrong with an attachment of n.
func attachmentProblem(kind string, a bundle.Attachment, n *bundle.Node, format string, args ...any) *report.Problem {
	what := a.Digest.String()
	if a.Tag != "" {
		what = a.Tag + " (" + what + ")"
	}
	return &report.Problem{Kind: kind, What: "attachment " + what, Images: []string{n.Name()}, Reason: fmt.Sprintf(format, args...)}
}

func (v *verification) isLost(a bundle.Attachment, n *bundle.Node) func(context.Context) (*report.Problem, error) {
	return func(context.Context) (*report.Problem, error) {
		return attachmentProblem(report.Missing, a, n, "the registry does not have its manifest, or not its subject's"), nil
	}
}

// checkAttached asks for the tag of an attachment.
func (v *verification) checkAttached(a bundle.Attachment, n *bundle.Node) func(context.Context) (*report.Problem, error) {
	return func(ctx context.Context) (*report.Problem, error) {
		got, err := v.target.Resolve(ctx, a.Tag)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return attachmentProblem(report.Missing, a, n, "the registry does not have its tag"), nil
		case err != nil:
			return nil, fmt.Errorf("ask for tag %s: %w", a.Tag, err)
		case got == a.Digest:
			return nil, nil
		}
		isIn, err := v.isIn(ctx, a)
		switch {
		case errors.Is(err, oci.ErrConflict):
			return attachmentProblem(report.Different, a, n, "its tag points to %s: %v; an import leaves that as it is: remove the tag there, or accept the import's report",
				got, err), nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, digest.ErrMismatch):
			return attachmentProblem(report.Different, a, n, "its tag points to %s: %v", got, err), nil
		case err != nil:
			return nil, fmt.Errorf("read tag %s: %w", a.Tag, err)
		case !isIn:
			return attachmentProblem(report.Different, a, n, "its tag points to %s, which does not have all of it", got), nil
		}
		return nil, nil
	}
}

// isIn reports whether what an attachment's tag stands for has all of it: others may have added to it.
//
// Errors: bundle.ErrConflict when the two cannot be compared.
func (v *verification) isIn(ctx context.Context, a bundle.Attachment) (bool, error) {
	var lists []*oci.LayerList
	for _, ref := range []name.Reference{v.repo.Tag(a.Tag), v.repo.Digest(a.Digest.String())} {
		desc, raw, err := v.target.Manifest(ctx, ref)
		if err != nil {
			return false, err
		}
		list, err := oci.ParseLayerList(a.Tag, desc, raw)
		if err != nil {
			return false, err
		}
		lists = append(lists, list)
	}
	return lists[0].Contains(lists[1]), nil
}

// checkReferrers asks for the list of what refers to n, which must have these.
func (v *verification) checkReferrers(n *bundle.Node, list []bundle.Attachment) func(context.Context) ([]report.Problem, error) {
	return func(ctx context.Context) (problems []report.Problem, _ error) {
		got, err := v.referrers(ctx, n.Descriptor.Digest)
		if err != nil && !errors.Is(err, oci.ErrMalformed) {
			return nil, fmt.Errorf("ask what refers to %s: %w", n.Name(), err)
		}
		for _, a := range list {
			if !slices.Contains(got, a.Digest) {
				problems = append(problems, *attachmentProblem(report.Missing, a, n, "the registry does not list it among what refers to its subject"))
			}
		}
		return problems, nil
	}
}

// referrers returns what the target lists for d.
func (v *verification) referrers(ctx context.Context, d v1.Hash) ([]v1.Hash, error) {
	if target, ok := v.target.(referrers); ok {
		list, err := target.Referrers(ctx, d)
		if !errors.Is(err, errors.ErrUnsupported) {
			return list, err
		}
	}
	desc, raw, err := v.target.Manifest(ctx, v.repo.Tag(oci.ReferrersTag(d)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return oci.Referrers(desc, raw)
}
