package main

import (
	"fmt"
	"io"

	"relocate/bundle"
	"relocate/report"
	"relocate/tarball"
)

// servingReport is what serve prints when it listens.
type servingReport struct {
	Version      int             `json:"version"`
	URL          string          `json:"url"`
	Repositories int             `json:"repositories"`
	Archives     []servedArchive `json:"archives"`
	Fingerprint  string          `json:"certificateSha256,omitempty"`
	CA           string          `json:"ca,omitempty"` // file
}

// servedArchive is an archive that is served.
type servedArchive struct {
	report.Archive
	Signature *report.Signature `json:"signature,omitempty"` // who signed it; where that was asked for
	Roots     []servedRoot      `json:"roots"`
}

// servedRoot is a root, and its reference at this registry.
type servedRoot struct {
	Reference string `json:"reference"`
	Tag       string `json:"tag,omitempty"`
	Origin    string `json:"origin"`
}

// add adds an archive, who signed it, and the references at which its roots are.
func (r *servingReport) add(file string, a *tarball.Archive, signature *report.Signature, at []string) error {
	origins, err := a.Roots()
	if err != nil {
		return err
	}
	served := servedArchive{Archive: *archiveOf(file, a), Signature: signature}
	for i, reference := range at {
		root := bundle.Root{Reference: origins[i]}
		served.Roots = append(served.Roots, servedRoot{reference, root.Tag(), origins[i].Name()})
	}
	r.Archives = append(r.Archives, served)
	return nil
}

func (r *servingReport) text(w io.Writer) {
	repositories := fmt.Sprintf("%d repositories", r.Repositories)
	if r.Repositories == 1 {
		repositories = "1 repository"
	}
	fmt.Fprintf(w, "serving %s at %s, read-only\n", repositories, r.URL)
	for _, a := range r.Archives {
		fmt.Fprintf(w, "  %s, %s\n", line(a.File), size(a.Size))
		if a.Signature != nil {
			fmt.Fprintf(w, "    %s\n", line(signerLine(a.Signature)))
		}
		for _, root := range a.Roots {
			tagged := ""
			if root.Tag != "" {
				tagged = ", tagged " + root.Tag
			}
			fmt.Fprintf(w, "    %s%s\n", line(root.Reference), line(tagged))
		}
	}
	if r.Fingerprint != "" {
		fmt.Fprintf(w, "  certificate sha256:%s\n", r.Fingerprint)
	}
	if r.CA != "" {
		fmt.Fprintf(w, "  its CA, for clients to trust: %s\n", line(r.CA))
	}
	fmt.Fprintln(w, "Ctrl-C stops it")
}
