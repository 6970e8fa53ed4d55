package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate/report"
	"relocate/verify"
	"relocate/verify/cluster"
)

// clusterHelp is the part of verify's help about objects.
const clusterHelp = `verify --repo REPO -f OBJECTS checks objects of a cluster, in kubectl's YAML or
JSON: each PackageRepository, Package and App must fetch from REPO by digest,
each image of a workload must be in REPO, and each Pod must run the image that
it names. --allow HOST[/PATH] accepts images elsewhere, without contacting the
host.`

// clusterFlags are the flags of verify about objects of the cluster.
type clusterFlags struct {
	file string
}

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "filename", "f", "", "check the cluster objects in `FILE` (kubectl get … -o yaml); - is standard input")
}

// clusterReport is what verify -f prints.
type clusterReport struct {
	Version int    `json:"version"`
	Subject string `json:"subject"` // the file
	Repo    string `json:"repository"`
	OK      bool   `json:"ok"`
	cluster.Result
}

// checkCluster rejects flags that do not go with -f.
func (f *verifyFlags) checkCluster(args []string) error {
	roots := len(args) > 0 || len(f.roots) > 0 || f.seal != ""
	imported := f.tag != "" || f.noTag || f.repoTags || f.level != string(verify.Manifests)
	return errors.Join(firstWrong(
		check{f.repo == "", "-f: name the private repository to compare the objects with: --repo REPO"},
		check{roots || imported, "-f goes with --repo and --allow only; verify the archive and the repository in runs of their own"},
		check{f.known.accept != "", "--accept takes findings of packages, not of objects: give --allow HOST[/PATH]"},
		check{f.cluster.file == stream && f.flags.Changed("registry-password-stdin"), "--registry-password-stdin: standard input is the objects"},
	), f.known.check(), f.output.check(), checkJobs(f.jobs))
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
	objects, err := f.cluster.read(cmd.InOrStdin())
	if err != nil {
		return err
	}
	r, err := f.objects(cmd.Context(), objects, repo, cluster.Options{Jobs: f.jobs, Allow: places})
	if err != nil {
		return err
	}
	whole := &verifyReport{
		Subject: r.Subject, OK: r.OK, Problems: []verify.Problem{}, leaks: leaks{Findings: r.asFindings()},
		told: r.verdict(), repo: r.Repo, level: verify.Manifests, strict: true, hint: "each finding says what to do",
	}
	if r.OK {
		whole.Proved = []string{r.looked()}
	}
	return f.output.print(cmd.OutOrStdout(), r, whole)
}

// name is the file, for people.
func (f *clusterFlags) name() string {
	if f.file == "-" {
		return "standard input"
	}
	return f.file
}

// read reads the file, or standard input.
func (f *clusterFlags) read(stdin io.Reader) (*cluster.Objects, error) {
	in := stdin
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // nothing was written
		in = file
	}
	objects, err := cluster.Read(in)
	if err != nil {
		return nil, fmt.Errorf("read objects of %s: %w", f.name(), err)
	}
	return objects, nil
}

// objects compares objects with the repository.
func (f *verifyFlags) objects(ctx context.Context, objects *cluster.Objects, repo name.Repository, opt cluster.Options) (*clusterReport, error) {
	client, err := f.destination(repo)
	if err != nil {
		return nil, err
	}
	result, err := objects.Verify(ctx, client.Reader(repo), repo, opt)
	if err != nil {
		return nil, fmt.Errorf("verify objects of %s: %w", f.cluster.name(), err)
	}
	return &clusterReport{Version: reportVersion, Subject: f.cluster.name(), Repo: repo.Name(), OK: result.OK(), Result: *result}, nil
}

// asFindings returns the findings as those of packages are; in the place of a package is the object.
func (r *clusterReport) asFindings() []report.Finding {
	var list []report.Finding
	for _, f := range r.Findings {
		list = append(list, report.Finding{
			Code: report.Code(f.Code), Level: f.Level, Package: f.Object.String(), File: r.Subject, Line: f.Line, Reference: f.Reference,
			Message: f.Path + ": " + f.Message, Action: f.Action,
		})
	}
	return list
}

func (r *clusterReport) verdict() string {
	of, need, names := fmt.Sprintf("%s in %s", count(r.Objects, "object"), r.Subject), "need", "name"
	if r.Objects == 1 {
		need, names = "needs", "names"
	}
	bad := len(slices.DeleteFunc(slices.Clone(r.Findings), func(f cluster.Finding) bool { return f.Level == report.Warning }))
	switch {
	case !r.OK:
		return fmt.Sprintf("not all that %s %s comes from %s: %s", of, need, r.Repo, count(bad, "problem"))
	case r.References == 0:
		return fmt.Sprintf("OK: %s %s no image", of, names)
	case r.Allowed > 0:
		return fmt.Sprintf("OK: all that %s %s is in %s, or allowed to be elsewhere", of, names, r.Repo)
	}
	return fmt.Sprintf("OK: all that %s %s is in %s", of, names, r.Repo)
}

// looked says what was looked at.
func (r *clusterReport) looked() string {
	return fmt.Sprintf("%s: %d in the repository, %d allowed elsewhere; %s compared with what the nodes run",
		count(r.References, "reference"), r.Inside, r.Allowed, count(r.Running, "container"))
}

func (r *clusterReport) text(w io.Writer) {
	verdict := r.verdict()
	if !r.OK {
		verdict = "NOT OK: " + verdict
	}
	fmt.Fprintln(w, line(verdict))
	fmt.Fprintf(w, "  %s\n", r.looked())
	var last *cluster.Object
	shown := 0
	for _, f := range r.worstFirst() {
		if shown++; shown > mostProblems {
			fmt.Fprintf(w, "  … and %d more; -o json has them all\n", len(r.Findings)-mostProblems)
			return
		}
		if f.Object != last {
			fmt.Fprintf(w, "  %s\n", line(f.Object.String()))
			last = f.Object
		}
		at := []string{string(f.Level), fmt.Sprintf("line %d", f.Line)}
		for _, s := range []string{f.Path, f.Reference} {
			if s != "" {
				at = append(at, line(s))
			}
		}
		fmt.Fprintf(w, "    %s\n      %s\n", strings.Join(at, ", "), line(f.Message))
		if f.Action != "" {
			fmt.Fprintf(w, "      → %s\n", line(f.Action))
		}
	}
}

// worstFirst returns the findings with the warnings last.
func (r *clusterReport) worstFirst() []cluster.Finding {
	isWarning := func(f cluster.Finding) bool { return f.Level == report.Warning }
	hurt := slices.DeleteFunc(slices.Clone(r.Findings), isWarning)
	return append(hurt, slices.DeleteFunc(slices.Clone(r.Findings), func(f cluster.Finding) bool { return !isWarning(f) })...)
}
