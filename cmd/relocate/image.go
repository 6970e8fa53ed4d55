package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/internal/inputfile"
	"relocate/internal/outfile"
	"relocate/internal/selfimage"
)

// imageFlags are the flags of image.
type imageFlags struct {
	toRepo, toTar, tag string
	binaries           []string
	common
}

const imageHelp = `image makes a container image of relocate, for Linux on amd64 or arm64. It has
only the program and an empty /tmp, and runs as user 65532. The same programs
give the same digest.

--to-repo uploads the image, tagged with the program's version, and prints its
reference by digest, for --job-image of relocate emit. --to-tar writes an OCI
image layout in a tar, for ctr, podman and skopeo, and prints the digest.

By default the image has the program that is running. --binary names other
relocate programs of the same version: one for each architecture, or one for
Linux if this is another system.

`

func newImage() *cobra.Command {
	f := &imageFlags{}
	cmd := &cobra.Command{
		Use:   "image (--to-repo REPO | --to-tar FILE)",
		Short: "Make a container image of this program",
		Long:  imageHelp + statusHelp,
		Example: `  relocate image --to-repo registry.airgap.internal/tools/relocate
  relocate image --to-repo registry.airgap.internal/tools/relocate \
    --binary relocate-linux-amd64 --binary relocate-linux-arm64
  relocate image --to-tar - | ctr -n k8s.io images import --digests \
    --base-name registry.airgap.internal/tools/relocate -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.toRepo, "to-repo", "", "upload to the repository `REPO`: registry/path, without a tag")
		flags.StringVar(&f.tag, "tag", "", "tag the image as `TAG` (default: the program's version)")
		flags.StringVar(&f.toTar, "to-tar", "", "write the tar `FILE`; - is standard output")
		flags.StringArrayVar(&f.binaries, "binary", nil, "use the program in `FILE` instead of this one (repeatable)")
	})
	f.addRegistries(cmd)
	return cmd
}

func (f *imageFlags) check() error {
	toRepo, toTar := f.toRepo != "", f.toTar != ""
	return firstWrong(
		check{!toRepo && !toTar, "name a repository with --to-repo, or a file with --to-tar"},
		exclusive("--to-repo", toRepo, "--to-tar", toTar),
		check{f.tag != "" && !toRepo, "--tag needs --to-repo"},
	)
}

func (f *imageFlags) run(cmd *cobra.Command) error {
	index, err := f.build(cmd.Context())
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	switch f.toTar {
	case "":
		return f.push(cmd.Context(), stdout, stderr, index, digest)
	case stream:
		if isTerminal(stdout) {
			return usagef("--to-tar -: standard output is a terminal; send it to a pipe or a file")
		}
		if err := selfimage.WriteLayout(stdout, index, version); err != nil {
			return err
		}
		stdout = stderr
	default:
		if err := f.write(index); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "wrote %s for %s\n", line(f.toTar), imagePlatforms(index))
	}
	_, err = fmt.Fprintln(stdout, digest)
	return err
}

// build makes the image of the programs.
//
// Errors: selfimage.ErrProgram.
func (f *imageFlags) build(ctx context.Context) (v1.ImageIndex, error) {
	files := f.binaries
	if len(files) == 0 {
		if runtime.GOOS != "linux" {
			return nil, usagef("this program is for %s: name one for Linux with --binary FILE", builtFor)
		}
		own, err := executable()
		if err != nil {
			return nil, err
		}
		files = []string{own}
	}
	var programs []selfimage.Program
	for _, file := range files {
		p, err := readProgram(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if slices.ContainsFunc(programs, func(other selfimage.Program) bool { return other.Architecture == p.Architecture }) {
			return nil, usagef("--binary %s: another file is for %s, too", file, p.Architecture)
		}
		programs = append(programs, p)
	}
	index, err := selfimage.Build(programs, selfimage.About{Version: version, Created: time.Unix(0, 0)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(files, ", "), err)
	}
	return index, nil
}

// maxProgram is the size in bytes of the largest program that is read.
const maxProgram = 256 << 20

// readProgram reads a file of relocate.
//
// Errors: selfimage.ErrProgram.
func readProgram(ctx context.Context, file string) (selfimage.Program, error) {
	binary, err := inputfile.Read(ctx, file, maxProgram)
	if err != nil {
		return selfimage.Program{}, err
	}
	p, err := selfimage.NewProgram(binary)
	if err != nil {
		return p, err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil || info.Path != "relocate/cmd/relocate" {
		return p, fmt.Errorf("%w: it is not relocate", selfimage.ErrProgram)
	}
	return p, nil
}

// push uploads the image, and prints its reference.
func (f *imageFlags) push(ctx context.Context, stdout, stderr io.Writer, index v1.ImageIndex, digest v1.Hash) error {
	repo, err := parseRepo("--to-repo", f.toRepo)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(repo.Name() + ":" + cmp.Or(f.tag, version))
	if err != nil {
		return usagef("%s is not a tag: name one with --tag", cmp.Or(f.tag, version))
	}
	client, err := f.destination(repo)
	if err != nil {
		return err
	}
	if err := relocate.PushImage(ctx, client, index, tag); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "uploaded %s for %s\n", tag.Name(), imagePlatforms(index))
	_, err = fmt.Fprintln(stdout, repo.Digest(digest.String()).Name())
	return err
}

// write writes the image to a file.
func (f *imageFlags) write(index v1.ImageIndex) error {
	path, err := checkOutput("--to-tar", f.toTar)
	if err != nil {
		return err
	}
	var tar bytes.Buffer
	if err := selfimage.WriteLayout(&tar, index, version); err != nil {
		return err
	}
	return outfile.Write(path, tar.Bytes())
}

// imagePlatforms names the platforms of an image.
func imagePlatforms(index v1.ImageIndex) string {
	manifest, err := index.IndexManifest()
	if err != nil {
		return ""
	}
	var names []string
	for _, child := range manifest.Manifests {
		names = append(names, child.Platform.String())
	}
	return strings.Join(names, ", ")
}
