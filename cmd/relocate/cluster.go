package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

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
it names. With PackageInstalls, and the Secrets that they name, in the input,
each package is rendered with those very values, and each image that comes out
must be in REPO; no value of a Secret is printed. --allow HOST[/PATH] accepts
images elsewhere, without contacting the host.`

// clusterFlags are the flags of verify about objects of the cluster.
type clusterFlags struct {
	file string
}

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "filename", "f", "", "check the cluster objects in `FILE` (kubectl get … -o yaml); - is standard input")
}

// checkCluster rejects flags that do not go with -f.
func (f *verifyFlags) checkCluster(ctx context.Context, args []string) error {
	roots := len(args) > 0 || len(f.roots) > 0 || f.seal != "" || f.selection.given()
	imported := f.tag != "" || f.noTag || f.repoTags || f.level != string(verify.Manifests)
	return errors.Join(firstWrong(
		check{f.repo == "", "-f: name the private repository to compare the objects with: --repo REPO"},
		check{roots || imported, "-f can be used only with --repo and --allow; verify the archive and the repository in separate runs"},
		check{f.known.accept != "", "--accept takes findings of packages, not of cluster objects: use --allow HOST[/PATH]"},
		check{len(f.rendering.files) > 0, "--values-file gives values to packages of an archive or a repository; with -f, the values are those of the PackageInstalls"},
		check{f.cluster.file == stream && f.flags.Changed("registry-password-stdin"), "--registry-password-stdin: standard input already has the objects"},
	), f.known.check(), f.rendering.check(ctx, !f.rendering.off), f.output.check())
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
	opt := cluster.Options{Jobs: f.jobs.least, Allow: places, Renderer: f.rendering.renderer, RenderPackages: f.rendering.renders}
	defer opt.Renderer.Close()
	v, err := f.objects(cmd.Context(), objects, repo, opt)
	if err != nil {
		return err
	}
	f.output.command, f.output.ended = commandLine(cmd, nil), terminationIn(cmd.Context())
	return f.output.print(cmd.OutOrStdout(), &verified{Verdict: v})
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
func (f *verifyFlags) objects(ctx context.Context, objects *cluster.Objects, repo name.Repository, opt cluster.Options) (*report.Verdict, error) {
	client, err := f.destination(repo)
	if err != nil {
		return nil, err
	}
	result, err := objects.Verify(ctx, client.Reader(repo), repo, opt)
	if err != nil {
		return nil, fmt.Errorf("verify objects of %s: %w", f.cluster.name(), err)
	}
	return result.Verdict(f.cluster.name(), repo), nil
}
