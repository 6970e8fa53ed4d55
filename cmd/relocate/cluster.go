package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/bundle"
	"relocate/verify"
	"relocate/verify/cluster"
)

// clusterHelp is the part of verify's help about objects.
const clusterHelp = `verify --repo REPO -f OBJECTS looks at objects as the cluster has them, kubectl's YAML or JSON: every
PackageRepository, Package and App must fetch from REPO by digest, every image of every workload must be
there, and Pods must run what they name. --allow HOST[/PATH] says what may be elsewhere; nobody is asked there.`

// clusterFlags are the flags of verify about objects of the cluster.
type clusterFlags struct {
	file string
}

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "filename", "f", "", "`FILE` with objects as the cluster has them (kubectl get … -o yaml); - for standard input")
}

// clusterReport is what verify -f prints.
type clusterReport struct {
	Version int    `json:"version"`
	Subject string `json:"subject"` // the file
	Repo    string `json:"repository"`
	OK      bool   `json:"ok"`
	cluster.Result
}

// checkCluster checks the flags that go with -f.
func (f *verifyFlags) checkCluster(args []string) error {
	switch {
	case f.repo == "":
		return usagef("-f: name the private repository that the objects are compared with, with --repo")
	case len(args) > 0 || len(f.roots) > 0 || f.seal != "" || f.tag != "" || f.noTag || f.repoTags || f.level != string(verify.Manifests):
		return usagef("-f goes with --repo and --allow; verify the archive, and the repository, in a run of their own")
	case f.cluster.file == "-" && f.flags.Changed("registry-password-stdin"):
		return usagef("--registry-password-stdin: standard input is the objects")
	}
	return checkJobs(f.jobs)
}

// runCluster verifies the objects of -f.
func (f *verifyFlags) runCluster(cmd *cobra.Command) error {
	repo, err := parseRepo("--repo", f.repo)
	if err != nil {
		return err
	}
	places, err := f.known.places()
	if err != nil {
		return err
	}
	objects, err := readObjects(f.cluster.file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	r, err := f.objects(cmd.Context(), objects, repo, cluster.Options{Jobs: f.jobs, Allow: places})
	if err != nil {
		return err
	}
	if err := f.output.format.print(cmd.OutOrStdout(), r, r.text); err != nil || r.OK {
		return err
	}
	return problemsError{statusMissing, r.verdict(), "each finding says what to do; -o json has them all"}
}

// readObjects reads a file with objects, or standard input.
func readObjects(file string, stdin io.Reader) (_ *cluster.Objects, err error) {
	what, in := "standard input", stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		what, in = file, opened
	}
	objects, err := cluster.Read(in)
	switch {
	case errors.Is(err, cluster.ErrNotObjects):
		return nil, usagef("read %s: %w", what, err)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return objects, nil
}

func (f *verifyFlags) objects(ctx context.Context, objects *cluster.Objects, repo name.Repository, opt cluster.Options) (*clusterReport, error) {
	client, err := f.destination(repo)
	if err != nil {
		return nil, err
	}
	result, err := objects.Verify(ctx, client.Reader(repo), repo, opt)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", f.cluster.file, err)
	}
	return &clusterReport{Version: reportVersion, Subject: f.cluster.file, Repo: repo.Name(), OK: result.OK(), Result: *result}, nil
}

func (r *clusterReport) verdict() string {
	of := fmt.Sprintf("%s in %s", count(r.Objects, "object"), r.Subject)
	bad := len(slices.DeleteFunc(slices.Clone(r.Findings), func(f cluster.Finding) bool { return f.Level == bundle.Warning }))
	switch {
	case !r.OK:
		return fmt.Sprintf("not all that %s need comes from %s: %s", of, r.Repo, count(bad, "problem"))
	case r.Allowed > 0:
		return fmt.Sprintf("OK: all that %s name is in %s, or allowed to be elsewhere", of, r.Repo)
	}
	return fmt.Sprintf("OK: all that %s name is in %s", of, r.Repo)
}

func (r *clusterReport) text(w io.Writer) {
	verdict := r.verdict()
	if !r.OK {
		verdict = "NOT OK: " + verdict
	}
	fmt.Fprintln(w, line(verdict))
	fmt.Fprintf(w, "  %s: %d in the repository, %d allowed elsewhere; %s compared with what the nodes run\n",
		count(r.References, "reference"), r.Inside, r.Allowed, count(r.Running, "container"))
	var last *cluster.Object
	shown := 0
	for _, level := range []bool{false, true} { // what hurts first
		for _, f := range r.Findings {
			if (f.Level == bundle.Warning) != level {
				continue
			}
			if shown++; shown > mostProblems {
				fmt.Fprintf(w, "  … and %d more; -o json has them all\n", len(r.Findings)-mostProblems)
				return
			}
			if f.Object != last {
				fmt.Fprintf(w, "  %s\n", line(f.Object.String()))
				last = f.Object
			}
			fmt.Fprintf(w, "    %s, line %d: %s: %s\n", f.Level, f.Line, line(f.Path), line(f.Reference))
			fmt.Fprintf(w, "      %s\n", line(f.Message))
			if f.Action != "" {
				fmt.Fprintf(w, "      → %s\n", line(f.Action))
			}
		}
	}
}
