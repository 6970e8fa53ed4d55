package cluster

import (
	"github.com/google/go-containerregistry/pkg/name"

	"relocate/report"
)

// Verdict judges the result of Verify. subject names the objects, and repo is the repository they
// were compared with.
func (r *Result) Verdict(subject string, repo name.Repository) *report.Verdict {
	v := &report.Verdict{Act: "Verification", Subject: subject, Repository: repo.Name(), Objects: &r.ObjectCounts, Findings: r.Findings}
	return v.Judge()
}
