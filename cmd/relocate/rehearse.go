package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/copy"
	"relocate/oci"
	"relocate/registry"
	"relocate/registry/rehearsal"
	"relocate/report"
	"relocate/rewrite"
	"relocate/tarball"
	"relocate/verify"
	"relocate/verify/cluster"
)

// rehearseFlags are the flags of rehearse.
type rehearseFlags struct {
	as       string
	tag      string
	noTag    bool
	jobs     int
	progress progressMode
	known    tolerance
	output   reportFlags
}

func newRehearse() *cobra.Command {
	f := &rehearseFlags{}
	cmd := &cobra.Command{
		Use:   "rehearse FILE",
		Short: "Try the import of an archive without a registry, and verify the result",
		Long: `rehearse imports an archive into a registry inside relocate, and verifies the
result as the disconnected side would: everything is present, each reference
ends in the registry, and no other host is contacted. The registry accepts a
manifest only when everything that it names is present, and hashes every blob.
It listens on loopback only, stores no second copy of the data, and ends with
the command.

--as REPO is the repository that the archive is meant for. Only its name is
used; rehearse does not contact it.

` + statusHelp,
		Example: `  relocate rehearse tce.tar
  relocate rehearse tce.tar --as registry.airgap.internal/tce/main`,
		Args: archiveArgs(oneFile),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.output.command = commandLine(cmd, args)
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, args[0], show)
			if err != nil {
				return err
			}
			return f.output.print(cmd.OutOrStdout(), r)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.as, "as", "", "rehearse the import into `REPO`: registry/path (default: the path of the root at its source)")
		flags.StringVar(&f.tag, "tag", "", "tag the root as `TAG`, not as at its source")
		flags.BoolVar(&f.noTag, "no-tag", false, "do not tag the roots")
		f.known.add(flags)
		f.output.add(flags)
	})
	group(cmd, "Running", func(flags *pflag.FlagSet) {
		flags.IntVar(&f.jobs, "concurrency", defaultJobs, "send `N` requests at once")
		addProgress(flags, &f.progress)
	})
	return cmd
}

// stage is where an archive is rehearsed: the embedded registry, and a client that reaches nothing else.
type stage struct {
	*rehearseFlags
	file string
	show *progress
	reg  *rehearsal.Registry
	addr string
	repo name.Repository

	mu    sync.Mutex
	hosts []string
}

func (f *rehearseFlags) run(ctx context.Context, file string, show *progress) (*verified, error) {
	if f.tag != "" && f.noTag {
		return nil, usagef("--tag and --no-tag exclude each other")
	}
	if err := errors.Join(f.known.check(), f.output.check(), checkJobs(f.jobs)); err != nil {
		return nil, err
	}
	a, err := tarball.Open(file)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", file, err)
	}
	s := &stage{rehearseFlags: f, file: file, show: show, reg: rehearsal.New(a), addr: listener.Addr().String()}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.reg.Serve(serving, listener)
	}()
	defer func() { stop(); <-ended }()
	return s.perform(ctx, a)
}

// perform imports the archive, and verifies what is there then.
func (s *stage) perform(ctx context.Context, a *tarball.Archive) (*verified, error) {
	r := &verified{Verdict: &report.Verdict{Act: "Rehearsal", Subject: s.file, Archive: archiveOf(s.file, a)}}
	objects, err := s.imports(ctx, a, r.Verdict)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // the plan is gone
	// Level blobs would ask for what the registry has refused every manifest without, and hold all of it.
	v := &verifyFlags{repo: s.repo.Name(), level: string(verify.Manifests), tag: s.tag, noTag: s.noTag, known: s.known, output: s.output, opened: a}
	v.jobs, v.connect = s.jobs, s.connect
	of, err := v.repository(ctx, s.file, nil, s.show)
	if err != nil {
		return nil, err
	}
	r.Verify, r.plan, r.platforms = of.Verdict, of.plan, of.platforms
	if len(objects) > 0 {
		v.cluster.file = "the PackageRepository"
		read, err := cluster.Read(bytes.NewReader(objects))
		if err != nil {
			return nil, fmt.Errorf("verify the PackageRepository: %w", err)
		}
		if r.PackageRepository, err = v.objects(ctx, read, s.repo, cluster.Options{Jobs: s.jobs}); err != nil {
			return nil, err
		}
	}
	slices.Sort(s.hosts)
	counts := s.reg.Counts()
	r.Registry, r.Connections = counts, slices.Compact(s.hosts)
	r.Proved = []string{
		fmt.Sprintf("imported %s and %s: every byte was hashed on arrival, no manifest taken without what it names",
			count(counts.Manifests, "manifest"), count(counts.Blobs, "blob")),
		"no host was asked for anything except the registry, which is in this program: " + strings.Join(r.Connections, ", "),
	}
	r.Judge()
	return r, nil
}

// imports imports the archive as the root command does, and returns the PackageRepositories that it would print.
func (s *stage) imports(ctx context.Context, a *tarball.Archive, r *report.Verdict) ([]byte, error) {
	plan, err := a.CheckedPlan(ctx, s.jobs)
	if err != nil {
		return nil, err
	}
	noteForeign(s.show, plan.Graph)
	if s.repo, err = s.repository(plan.Graph.Roots); err != nil {
		return nil, err
	}
	client, err := s.connect()
	if err != nil {
		return nil, err
	}
	var tags []copy.Tag
	if !s.noTag {
		all, err := rewrite.Tags(plan.Graph.Roots, s.tag)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", relocate.ErrTags, err)
		}
		for name, d := range all {
			tags = append(tags, copy.Tag{Name: name, Digest: d})
		}
	}
	blobs, bytes := copy.Options{}.Total(plan)
	ph := s.show.begin("import", blobs, bytes)
	result, err := copy.ToRepository(ctx, plan, a, client.Writer(s.repo), s.repo, copy.Options{Jobs: s.jobs, Tags: tags, Progress: ph.step})
	ph.end()
	if unchanged := a.Unchanged(); unchanged != nil {
		err = unchanged
	}
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: import to %s: %w", s.file, s.repo.Name(), err)
	}
	r.Import, r.Repository = result, s.repo.Name()
	list, err := rewrite.PackageRepositories(plan.Graph, s.repo, "", "", "")
	if err != nil {
		return nil, usageError{err}
	}
	return rewrite.Encode(list)
}

// noteForeign warns of images that some registries refuse as they are configured by default.
func noteForeign(show *progress, g *bundle.Graph) {
	images := 0
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.Blobs, oci.IsForeign) {
			images++
		}
	}
	if images > 0 {
		show.note("%s with layers from elsewhere, as Windows images have: docker-registry refuses them unless validation.manifests.urls.allow in its configuration allows their URLs", count(images, "image"))
	}
}

// repository returns the one to import into: --as, or the path that the first root has at its origin.
func (s *stage) repository(roots []bundle.Root) (name.Repository, error) {
	if s.as != "" {
		return parseRepo("--as", s.as)
	}
	if len(roots) == 0 {
		return name.Repository{}, errors.New("the archive has no roots")
	}
	return name.NewRepository(embeddedHost + "/" + roots[0].Reference.Context().RepositoryStr())
}

// embeddedHost is the name of the embedded registry in reports, where --as gives it none. No host has it (RFC 2606).
const embeddedHost = "embedded-registry.invalid"

// connect returns a client that reaches the embedded registry, under the name that the repository has, and
// nothing else: it has no credentials, and asks no helper for any.
func (s *stage) connect() (*registry.Client, error) {
	return registry.New(registry.Options{
		Jobs: s.jobs, UserAgent: "relocate/" + version, Anonymous: true, Insecure: true,
		Only: map[string]string{s.repo.RegistryStr(): s.addr},
		Dialed: func(host string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !slices.Contains(s.hosts, host) {
				s.hosts = append(s.hosts, host)
			}
		},
	})
}
