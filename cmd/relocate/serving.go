package main

import (
	"fmt"
	"io"
	"net"
	"os"

	"relocate/bundle"
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
	archiveReport
	Roots []servedRoot `json:"roots"`
}

// servedRoot is a root, and its reference at this registry.
type servedRoot struct {
	Reference string `json:"reference"`
	Tag       string `json:"tag,omitempty"`
	Origin    string `json:"origin"`
}

// holds takes over an archive; the registry in its references is not known yet.
func (r *servingReport) holds(file string, a *tarball.Archive, plan *bundle.Plan, as string) {
	served := servedArchive{archiveReport: *archiveOf(file, a)}
	for _, root := range plan.Graph.Roots {
		served.Roots = append(served.Roots, servedRoot{servedPath(root, as) + "@" + root.Digest.String(), root.Tag(), root.Reference.Name()})
	}
	r.Archives = append(r.Archives, served)
}

// locate says where all of it is: at the address that is listened at, by the name that was asked for where it is one.
func (r *servingReport) locate(addr net.Addr, asked string, isTLS bool) {
	host, _, _ := net.SplitHostPort(asked) // it was checked
	_, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		if host, _ = os.Hostname(); host == "" {
			host = "localhost"
		}
	}
	at := net.JoinHostPort(host, port)
	r.URL = "http://" + at
	if isTLS {
		r.URL = "https://" + at
	}
	for _, a := range r.Archives {
		for i := range a.Roots {
			a.Roots[i].Reference = at + "/" + a.Roots[i].Reference
		}
	}
}

func (r *servingReport) text(w io.Writer) {
	repositories := fmt.Sprintf("%d repositories", r.Repositories)
	if r.Repositories == 1 {
		repositories = "1 repository"
	}
	fmt.Fprintf(w, "serving %s at %s, read-only\n", repositories, r.URL)
	for _, a := range r.Archives {
		fmt.Fprintf(w, "  %s, %s\n", line(a.File), size(a.Size))
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
		fmt.Fprintf(w, "  clients trust it with %s\n", line(r.CA))
	}
	fmt.Fprintln(w, "Ctrl-C stops it")
}
