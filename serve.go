package relocate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry/serve"
	"relocate/render"
	"relocate/rewrite"
	"relocate/tarball"
)

// ServeOptions say how archives are served. The zero value listens for this machine alone.
type ServeOptions struct {
	Listen    string // HOST:PORT; empty: 127.0.0.1:5000; port 0 takes a free one
	Path      string // the repository that answers as if everything was imported; empty: the path of each root at its origin
	NoOrigins bool   // answer in that repository only, and not where images came from
	Insecure  bool   // listen for other machines without TLS

	// Server has what the registry needs beside the archives: Passwords, Certificates, Log and
	// Fault. Its Store and Health are set by Serve.
	Server serve.Server

	Ready func(Serving) error // called when it listens, if not nil; an error ends it
	Jobs  int                 // blobs that are checked at once; less than 1 means 8

	Renderer *render.Renderer // as Options.Renderer; closed before it listens

	// Bases have what deltas among the archives assume, beside the other archives. They are not
	// served themselves.
	Bases []*tarball.Archive
}

// Serving is a registry that listens.
type Serving struct {
	URL          string
	Repositories int        // number of repositories
	Roots        [][]string // by archive: the references of its roots at this registry, by digest
}

// Serve answers as a read-only registry that has what open archives hold, until ctx ends; then it
// lets requests finish, for a limited time, and returns nil. Before it listens it has checked
// everything but the content of layers, which are hashed while they are sent.
//
// Errors: ErrOptions where other machines could connect without TLS; tarball.ErrDamaged;
// *copy.AssumedError where neither Bases nor the other archives have what a delta assumes;
// serve.ErrConflict; *net.OpError.
func Serve(ctx context.Context, archives []*tarball.Archive, opt ServeOptions) error {
	listen := cmp.Or(opt.Listen, "127.0.0.1:5000")
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return optionsf("listen at %s: write HOST:PORT, as in 127.0.0.1:5000", listen)
	}
	if len(opt.Server.Certificates) == 0 && !opt.Insecure && !isLoopback(host) {
		return optionsf("listen at %s: other machines could connect without TLS", listen)
	}
	serving, err := opt.add(ctx, archives)
	opt.Renderer.Close()
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // the plans are not needed any longer
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", listen, err)
	}
	defer func() { _ = listener.Close() }() // which the server does, too
	serving.locate(listener.Addr(), host, len(opt.Server.Certificates) > 0)
	if opt.Ready != nil {
		if err := opt.Ready(*serving); err != nil {
			return err
		}
	}
	if err := opt.Server.Serve(ctx, listener); err != nil {
		return fmt.Errorf("serve at %s: %w", listen, err)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// add lets the server answer from the archives, which it checks.
func (o *ServeOptions) add(ctx context.Context, archives []*tarball.Archive) (*Serving, error) {
	store, serving := serve.NewArchives(), &Serving{}
	for _, a := range slices.Concat(archives, o.Bases) {
		if err := a.Complete(); err != nil {
			return nil, err
		}
	}
	for _, a := range archives {
		plan, err := a.CheckedPlan(ctx, Options{Jobs: o.Jobs}.jobs(), o.Renderer)
		if err != nil {
			return nil, err
		}
		joined := &tarball.Joined{Archive: a, Bases: slices.Concat(archives, o.Bases)}
		imports, err := o.imports(plan.Graph.Roots)
		if _, lacks := joined.Sort(); err == nil {
			err = copy.Lacking(plan, lacks)
		}
		if e, ok := errors.AsType[*copy.AssumedError](err); ok {
			e.Bases, e.Missing = joined.Trace(e.Missing)
		}
		if err == nil {
			err = store.Add(joined, plan.Whole(), imports, !o.NoOrigins)
		}
		if err != nil {
			return nil, fmt.Errorf("serve %s: %w", a.Name(), err)
		}
		var roots []string
		for _, root := range plan.Graph.Roots {
			roots = append(roots, o.pathOf(root)+"@"+root.Digest.String())
		}
		serving.Roots = append(serving.Roots, roots)
	}
	repos, _, err := store.Repositories(ctx, "", math.MaxInt)
	serving.Repositories = len(repos)
	o.Server.Store = store
	o.Server.Health = func() error {
		var all []error
		for _, a := range slices.Concat(archives, o.Bases) {
			all = append(all, a.Unchanged())
		}
		return errors.Join(all...)
	}
	return serving, err
}

// imports says where an archive answers as if it had been imported, with which tags: at Path, or
// where its roots came from, for each registry that they came from.
func (o *ServeOptions) imports(roots []bundle.Root) ([]serve.Import, error) {
	type place struct{ host, path string }
	byPlace := map[place][]bundle.Root{}
	for _, root := range roots {
		at := place{path: o.pathOf(root)}
		if o.Path == "" {
			at.host = root.Reference.Context().RegistryStr()
		}
		if byPlace[at] == nil {
			byPlace[at] = []bundle.Root{}
		}
		if !strings.HasPrefix(root.Tag(), "sha256-") { // which it has by its digest
			byPlace[at] = append(byPlace[at], root)
		}
	}
	var list []serve.Import
	for at, roots := range byPlace {
		tags, err := rewrite.Tags(roots, "")
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w: %w", at.path, serve.ErrConflict, err)
		}
		list = append(list, serve.Import{Repository: at.path, Host: at.host, Tags: tags})
	}
	slices.SortFunc(list, func(a, b serve.Import) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Host, b.Host))
	})
	return list, nil
}

func (o *ServeOptions) pathOf(root bundle.Root) string {
	return cmp.Or(o.Path, root.Reference.Context().RepositoryStr())
}

// locate sets the URL, and completes the references: with the port of addr, and with host unless it
// is empty or means all addresses.
func (s *Serving) locate(addr net.Addr, host string, isTLS bool) {
	_, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		if host, _ = os.Hostname(); host == "" {
			host = "localhost"
		}
	}
	at := net.JoinHostPort(host, port)
	s.URL = "http://" + at
	if isTLS {
		s.URL = "https://" + at
	}
	for _, roots := range s.Roots {
		for i := range roots {
			roots[i] = at + "/" + roots[i]
		}
	}
}
