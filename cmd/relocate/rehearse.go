package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// rehearsalReport is what rehearse prints.
type rehearsalReport struct {
	Version     int              `json:"version"`
	Subject     string           `json:"subject"` // the archive
	Repository  string           `json:"repository"`
	OK          bool             `json:"ok"`
	Import      *copy.Result     `json:"import"`
	Registry    rehearsal.Counts `json:"registry"`    // what it holds after the import
	Verify      *verifyReport    `json:"verify"`      // of the repository
	Objects     *clusterReport   `json:"objects"`     // of the PackageRepository; nil when the archive has none
	Connections []string         `json:"connections"` // hosts that were asked for, by name

	archive *archiveReport
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
			ctx, show := newProgress(cmd.Context(), f.progress, cmd.ErrOrStderr())
			r, err := f.run(ctx, args[0], show)
			if err != nil {
				return err
			}
			return f.output.print(cmd.OutOrStdout(), r, r.whole())
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

func (f *rehearseFlags) run(ctx context.Context, file string, show *progress) (*rehearsalReport, error) {
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
func (s *stage) perform(ctx context.Context, a *tarball.Archive) (*rehearsalReport, error) {
	r := &rehearsalReport{Version: reportVersion, Subject: s.file, archive: archiveOf(s.file, a)}
	objects, err := s.imports(ctx, a, r)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // the plan is gone
	// Level blobs would ask for what the registry has refused every manifest without, and hold all of it.
	v := &verifyFlags{repo: s.repo.Name(), level: string(verify.Manifests), tag: s.tag, noTag: s.noTag, known: s.known, output: s.output, opened: a}
	v.jobs, v.connect = s.jobs, s.connect
	if r.Verify, err = v.repository(ctx, s.file, nil, s.show); err != nil {
		return nil, err
	}
	if len(objects) > 0 {
		v.cluster.file = "the PackageRepository"
		read, err := cluster.Read(bytes.NewReader(objects))
		if err != nil {
			return nil, fmt.Errorf("verify the PackageRepository: %w", err)
		}
		if r.Objects, err = v.objects(ctx, read, s.repo, cluster.Options{Jobs: s.jobs}); err != nil {
			return nil, err
		}
	}
	slices.Sort(s.hosts)
	r.Registry, r.Connections = s.reg.Counts(), slices.Compact(s.hosts)
	r.OK = r.Verify.OK && (r.Objects == nil || r.Objects.OK)
	return r, nil
}

// imports imports the archive as the root command does, and returns the PackageRepositories that it would print.
func (s *stage) imports(ctx context.Context, a *tarball.Archive, r *rehearsalReport) ([]byte, error) {
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
	blobs, bytes := copy.Total(plan, "")
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
	return name.NewRepository(s.addr + "/" + roots[0].Reference.Context().RepositoryStr())
}

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

// rehearsalAct is the kind of a page.
const rehearsalAct = "Rehearsal"

// whole is the report as one verification, for pages and pipelines.
func (r *rehearsalReport) whole() *verifyReport {
	whole := *r.Verify
	whole.act, whole.Subject, whole.Archive, whole.repo, whole.told = rehearsalAct, r.Subject, r.archive, r.Repository, r.verdict()
	whole.OK, whole.hint, whole.pinned = r.OK, "mend what is named, or carry what is missing, and export again", true
	if len(whole.Problems) == 0 && leading(whole.Findings) > 0 {
		whole.hint = hintFindings
	}
	whole.Proved, whole.level = r.proved(), verify.Deep // by the import
	if r.Objects != nil {
		whole.Findings = append(slices.Clone(whole.Findings), r.Objects.asFindings()...)
	}
	return &whole
}

func (r *rehearsalReport) verdict() string {
	if r.OK {
		s := fmt.Sprintf("OK: %s can be imported into %s", r.Subject, r.Repository)
		if r.Verify.Scan == nil || r.Verify.Scan.Bundles == 0 {
			return s + "; it has no bundle, so what it needs from elsewhere is not known"
		}
		s += ", and needs nothing from elsewhere"
		accepted := map[bool]string{true: "finding accepted", false: "findings accepted"}[len(r.Verify.Accepted) == 1]
		if but := r.Verify.excepted(accepted); but != "" {
			s += ", but for " + but
		}
		return s
	}
	var why []string
	if n := len(r.Verify.Problems); n > 0 {
		why = append(why, count(n, "problem"))
	}
	if leading(r.Verify.Findings) > 0 {
		why = append(why, "findings: "+findingsCount(r.Verify.Findings))
	}
	if r.Objects != nil && !r.Objects.OK {
		why = append(why, "the PackageRepository")
	}
	return fmt.Sprintf("%s would not do at %s: %s", r.Subject, r.Repository, strings.Join(why, "; "))
}

// proved says what was proved, whatever the verdict is.
func (r *rehearsalReport) proved() []string {
	list := []string{
		fmt.Sprintf("imported %s and %s: every byte was hashed on arrival, no manifest taken without what it names",
			count(r.Registry.Manifests, "manifest"), count(r.Registry.Blobs, "blob")),
		"no host but the registry, which is in this program, was asked for anything: " + strings.Join(r.Connections, ", "),
	}
	if s := r.Verify.Scan; s != nil {
		list = append(list, fmt.Sprintf("%d of %s in %s and their files end in it, by the rules of kapp-controller, imgpkg and kbld",
			s.Inside, count(s.References, "reference"), count(s.Packages, "package version")))
	}
	if r.Objects != nil && r.Objects.OK {
		list = append(list, "the PackageRepository fetches from it, by digest")
	}
	return list
}

func (r *rehearsalReport) text(w io.Writer) {
	if !r.OK {
		fmt.Fprintf(w, "NOT OK: %s\n", r.verdict())
	} else {
		fmt.Fprintln(w, r.verdict())
	}
	if c := r.Verify.Contents; c != nil {
		fmt.Fprintf(w, "  %s: %s, %s\n", c, count(c.Blobs, "blob"), size(c.Bytes))
	}
	for _, proved := range r.proved() {
		fmt.Fprintf(w, "  %s\n", line(proved))
	}
	r.Verify.textWrong(w)
	if r.Objects != nil && !r.Objects.OK {
		fmt.Fprintln(w)
		r.Objects.text(w)
	}
}
