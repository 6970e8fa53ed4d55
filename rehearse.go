package relocate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/digest"
	"relocate/internal/text"
	"relocate/registry"
	"relocate/registry/rehearsal"
	"relocate/report"
	"relocate/tarball"
	"relocate/verify/cluster"
)

// Rehearse imports an archive into a registry of its own, and verifies there what the disconnected
// side would: everything is present, the PackageRepository and what it leads to resolves inside,
// and no other host is contacted. Only this process can connect to the registry, which ends with the
// call.
//
// as is the destination of the archive: the zero Destination means the path that the root has at
// its origin. Its Client is not used, and its registry is not contacted. Only the Options, the Accept
// and the Bases of opt are used.
//
// Errors: as Import.
func Rehearse(ctx context.Context, archive *tarball.Archive, as Destination, opt VerifyOptions) (*report.Verdict, error) {
	for _, a := range append([]*tarball.Archive{archive}, opt.Bases...) {
		if err := a.Complete(); err != nil {
			return nil, err
		}
	}
	if err := opt.checkValues(ctx, archive); err != nil {
		return nil, err
	}
	listener := rehearsal.Listen()
	joined := &tarball.Joined{Archive: archive, Bases: opt.Bases}
	s := &stage{archive: archive, joined: joined, at: as, opt: opt, reg: rehearsal.New(joined), listener: listener}
	has, _ := joined.Sort() // the import says what is missing
	err := s.leaveOut(ctx)
	if err == nil {
		err = s.checkBases(ctx, has)
	}
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", archive.Name(), err)
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.reg.Serve(serving, listener)
	}()
	defer func() { stop(); <-ended }()
	if err := s.furnish(); err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", archive.Name(), err)
	}
	for _, a := range has {
		s.reg.Assume(s.at.Repository.RepositoryStr(), a.Digest, a.Size)
	}
	return opt.proveSigner(s.perform(ctx))
}

// stage is where an archive is rehearsed: the embedded registry, and a client that reaches nothing
// else.
type stage struct {
	archive *tarball.Archive
	joined  *tarball.Joined
	at      Destination
	opt     VerifyOptions
	plan    *bundle.Plan // what was imported, without layers
	reg     *rehearsal.Registry

	listener *rehearsal.Local

	mu    sync.Mutex
	hosts []string
}

// embeddedHost is the name of the embedded registry where the Destination gives it none. No host
// has it (RFC 2606).
const embeddedHost = "embedded-registry.invalid"

// furnish names the repository, unless the Destination does, and makes the client: it reaches the
// embedded registry, under the name that the repository has, and nothing else. It has no
// credentials, and asks no helper for any.
func (s *stage) furnish() (err error) {
	if s.at.Repository == (name.Repository{}) {
		roots, err := s.archive.Roots()
		if err != nil {
			return err
		}
		if len(roots) == 0 {
			return errors.New("the archive has no roots")
		}
		if s.at.Repository, err = name.NewRepository(embeddedHost + "/" + roots[0].Context().RepositoryStr()); err != nil {
			return err
		}
	}
	s.at.Client, err = registry.New(registry.Options{
		Jobs: s.opt.jobs(), UserAgent: "relocate", Anonymous: true, Insecure: true,
		Only: map[string]string{s.at.Repository.RegistryStr(): "this process"}, Dial: s.listener.Dial,
		Dialed: func(host string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !slices.Contains(s.hosts, host) {
				s.hosts = append(s.hosts, host)
			}
		},
	})
	return err
}

// leaveOut lets the embedded registry take indexes without the children that the archive, or the part of
// it that is selected, leaves out. The import asks that first, with a child that no archive has.
func (s *stage) leaveOut(ctx context.Context) error {
	omitted := s.archive.Omitted()
	if len(s.opt.Selection.sparse()) > 0 {
		p, plan, err := s.opt.checkedPart(ctx, s.archive)
		if err != nil {
			return err
		}
		defer p.close()
		omitted = plan.Omitted
	}
	without := bundle.LeftOut(omitted)
	if len(without) > 0 {
		without[registry.Nothing()] = true
	}
	s.reg.LeaveOut(func(d v1.Hash) bool { return without[d] })
	return nil
}

// checkBases hashes what the bases have of the layers that the archive assumes.
func (s *stage) checkBases(ctx context.Context, has []bundle.Assumed) error {
	if len(has) == 0 {
		return nil
	}
	bytes := int64(0)
	for _, a := range has {
		bytes += a.Size
	}
	ph := s.opt.begin("verify", len(has), bytes)
	defer ph.end()
	return s.joined.CheckBases(ctx, s.opt.jobs(), ph.add)
}

// perform imports the archive, and verifies the result.
func (s *stage) perform(ctx context.Context) (*report.Verdict, error) {
	v := &report.Verdict{Act: "Rehearsal", Subject: s.archive.Name(), Archive: archiveOf(s.archive), Repository: s.at.Repository.Name()}
	objects, err := s.imports(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", s.archive.Name(), err)
	}
	debug.FreeOSMemory() // most of the plan is not needed any longer
	// Level blobs would only ask for blobs that the registry requires before it accepts a manifest,
	// and hold all of them.
	c := &verifying{VerifyOptions: VerifyOptions{Options: s.opt.Options, Accept: s.opt.Accept}, archive: s.archive, at: s.at, plan: s.plan}
	if v.Verify, err = c.verifyRepository(ctx); err != nil {
		return nil, err
	}
	if len(objects) > 0 {
		if v.PackageRepository, err = s.verifyObjects(ctx, objects); err != nil {
			return nil, err
		}
	}
	slices.Sort(s.hosts)
	counts := s.reg.Counts()
	v.Registry, v.Connections = counts, slices.Compact(s.hosts)
	v.Proved = []string{
		fmt.Sprintf("imported %s and %s: every byte was hashed on arrival, and no manifest was accepted before what it names",
			text.Count(counts.Manifests, "manifest"), text.Count(counts.Blobs, "blob")),
		"no host was contacted except the registry inside this program: " + strings.Join(v.Connections, ", ") + s.servers(),
	}
	return v.Judge(), nil
}

// servers names the archives that were read from servers.
func (s *stage) servers() string {
	var b strings.Builder
	for _, a := range append([]*tarball.Archive{s.archive}, s.opt.Bases...) {
		if a.IsRanged() {
			fmt.Fprintf(&b, "; %s was read from its server", a.Name())
		}
	}
	return b.String()
}

// imports imports the archive, and returns the PackageRepositories for the cluster.
func (s *stage) imports(ctx context.Context, v *report.Verdict) ([]byte, error) {
	opt, at := s.opt.Options, s.at
	opt.Content = nil // Content is for what is verified
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.reg.OnWrong(func(d v1.Hash) { stop(&wrongError{d}) })
	at.hashes = true
	r, err := importArchive(running, s.archive, at, opt)
	if wrong, ok := errors.AsType[*wrongError](context.Cause(running)); ok {
		return nil, s.damage(ctx, wrong.digest)
	}
	if lacks, ok := errors.AsType[*copy.AssumedError](err); ok {
		lacks.Bases, lacks.Missing = s.joined.Trace(lacks.Missing)
		return nil, lacks
	}
	if err != nil {
		return nil, err
	}
	opt.noteForeign(r.Plan.Graph)
	opt.noteSparse(r.Plan.Graph)
	v.Import, v.Bases, s.plan = r.Copied, r.Plan.Given(), r.Plan
	withoutLayers(s.plan)
	return r.PackageRepository, nil
}

// wrongError says that a blob arrived at the embedded registry with other content.
type wrongError struct{ digest v1.Hash }

func (e *wrongError) Error() string { return e.digest.String() + " arrived with other content" }

// damage says what is wrong with a blob of the archive that did not arrive as it is.
//
// Errors: digest.ErrMismatch; those of reading the archive.
func (s *stage) damage(ctx context.Context, d v1.Hash) error {
	content, err := s.archive.Content(d)
	if err != nil {
		return err
	}
	blob, err := s.archive.Blob(ctx, s.at.Repository, v1.Descriptor{Digest: d, Size: content.Size()})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, blob)
	if err = errors.Join(err, blob.Close()); err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	return fmt.Errorf("%w: blob %s: it arrived with other bytes, and the next read gave the right ones: the medium or this machine is unstable", digest.ErrMismatch, d)
}

// verifyObjects verifies the PackageRepositories.
func (s *stage) verifyObjects(ctx context.Context, objects []byte) (*report.Verdict, error) {
	const subject = "the PackageRepository"
	read, err := cluster.Read(bytes.NewReader(objects))
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", subject, err)
	}
	result, err := read.Verify(ctx, s.at.Client.Reader(s.at.Repository), s.at.Repository, cluster.Options{Jobs: s.opt.jobs(), Renderer: s.opt.Renderer})
	if err != nil {
		return nil, fmt.Errorf("verify objects of %s: %w", subject, err)
	}
	return result.Verdict(subject, s.at.Repository), nil
}
