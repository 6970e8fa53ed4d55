package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"relocate/internal/extract"
	"relocate/internal/inspect"
)

// extractReport is what inspect --extract prints.
type extractReport struct {
	Version   int     `json:"version"`
	Bundle    string  `json:"bundle"` // reference
	Digest    v1.Hash `json:"digest"`
	Directory string  `json:"directory"`
	Files     int     `json:"files"`
	Bytes     int64   `json:"bytes"`
	Skipped   int     `json:"skipped"` // links, devices and the like
}

// showExtracted extracts a bundle, and prints what it wrote.
func (f *inspectFlags) showExtracted(cmd *cobra.Command, s *inspect.Subject, view []string) error {
	digest, err := f.digestToExtract(s, strings.Join(view[min(1, len(view)):], ""))
	if err != nil {
		return err
	}
	ref, err := s.Locate(digest)
	if err != nil {
		return err
	}
	got, err := extract.Bundle(cmd.Context(), s.Source, ref, f.extract)
	if errors.Is(err, extract.ErrFolder) {
		return usagef("--extract %s: %w", f.extract, err)
	}
	if err != nil {
		return err
	}
	r := extractReport{inspect.Version, ref.Name(), digest, f.extract, got.Files, got.Bytes, got.Skipped}
	return f.format.print(cmd.OutOrStdout(), r, func(w io.Writer) {
		fmt.Fprintf(w, "extracted %s (%s) of %s to %s\n", count(r.Files, "file"), size(r.Bytes), line(r.Bundle), line(r.Directory))
		if r.Skipped > 0 {
			fmt.Fprintf(w, "skipped: %s (links, devices and the like)\n", count(r.Skipped, "member"))
		}
	})
}

// digestToExtract returns the digest of the bundle that --bundle names, of the one that a version
// of a package fetches, or of the only root.
func (f *inspectFlags) digestToExtract(s *inspect.Subject, pkg string) (v1.Hash, error) {
	switch {
	case pkg != "":
		return s.FetchedBundle(pkg)
	case f.bundle == "" && len(s.Graph.Roots) > 1:
		return v1.Hash{}, usagef("%s has %d roots: name the bundle to extract with --bundle", s.Name, len(s.Graph.Roots))
	case f.bundle == "":
		return s.Graph.Roots[0].Digest, nil
	}
	if d, err := v1.NewHash(f.bundle); err == nil {
		return d, nil
	}
	ref, err := parseReference("--bundle", f.bundle)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := s.Digest(ref)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("--bundle %w; --tree shows its references", err)
	}
	return digest, nil
}
