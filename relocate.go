// Package relocate carries Carvel package repositories, with all that their packages need, across
// an air gap. Digests never change.
//
// The verbs are what the command of the same name does, without its flags and its text. Export
// writes an archive, which holds a package repository and everything below it; Import fills a
// private registry from it, and returns the PackageRepository for the cluster; Copy does both at
// once, from registry to registry. Verify proves that an archive, or what was imported, is complete
// and closed; Rehearse tries an import without a registry. Render returns what a package would
// deploy. Plan says what an export would move, Diff what an upgrade changes, and Serve answers as a
// registry from archives. Inventory lists what a repository has, so that the next export can leave it
// out. Prune deletes what only old versions need. Begin with Export and Import.
//
// Callers pass in sources and destinations: a Source and a Destination hold a *registry.Client and
// names, an archive is a *tarball.Archive. A nil client is one with the zero registry.Options. Each
// verb takes Options, whose zero value works.
//
// What the package promises: it prints nothing, reads no flags or environment but what
// registry.Client reads, and leaves nothing behind but what it was asked for and, after an
// interruption, what a later call continues with. A result beside an error says what was done all
// the same.
package relocate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/registry"
	"relocate/render"
	"relocate/report"
)

// Errors that a caller can act on.
var (
	// ErrOptions says that the options do not go together, or not with what was found.
	ErrOptions = errors.New("the options cannot be used together")
	// ErrTags is an ErrOptions: the roots cannot have their tags at one destination, or the one
	// that Destination.Tag gives them.
	ErrTags = errors.New("the tags of the roots")
	// ErrSeal says that an archive does not have Options.Seal: it is another one.
	ErrSeal = errors.New("is another archive")
	// ErrHeld says that another run works on the same archive or repository.
	ErrHeld = errors.New("is locked")
)

// optionsError is an ErrOptions with its own message.
type optionsError struct{ error }

func optionsf(format string, args ...any) error { return optionsError{fmt.Errorf(format, args...)} }

func (e optionsError) Unwrap() error { return e.error }

func (e optionsError) Is(target error) bool { return target == ErrOptions }

// Options say how a verb runs.
type Options struct {
	Jobs      int         // requests, or blobs, at once; less than 1 means 8, and 32 as MostJobs
	MostJobs  int         // requests to a registry at once whose answers take long; less than Jobs means Jobs
	TempDir   string      // for scratch files; empty: beside the archive that is written, else os.TempDir
	KeepGoing bool        // of Export to a file, Import and Copy: try everything, even after a blob fails
	Progress  func(Event) // called with what is done, if not nil; must be safe for concurrent use

	// Selection is what Export, Plan, Copy, Import and Verify carry of the roots; zero: everything.
	Selection Selection

	Renderer       *render.Renderer // runs the templates of repositories and packages; nil: none are rendered
	RenderPackages bool             // also render packages, and examine what they deploy
	Values         render.Values    // of packages; *render.UnusedValuesError where one is not found

	// Seal is what an archive that Import, ImportStream, Verify or VerifyStream reads must have; zero: any.
	Seal v1.Hash

	// Signed says who must have signed an archive that ImportStream reads; nil: nobody. Archives in files are
	// opened with Signed.Open, and Signature is what that returned: it becomes part of the result.
	Signed    *Signed
	Signature *report.Signature

	// Content, if not nil, is called when everything is copied, while the source of plan can still
	// be read. It has manifests, configs and bundles. When a stream is imported it has nothing, and
	// Content is not called.
	Content func(ctx context.Context, src bundle.Source, plan *bundle.Plan) error
}

// Numbers of jobs unless Options says others.
const (
	defaultJobs = 8
	defaultMost = 32
)

func (o Options) jobs() int {
	if o.Jobs < 1 {
		return defaultJobs
	}
	return o.Jobs
}

// requests is how many requests can wait for a registry at once, of which the client sends as many as it
// chooses.
func (o Options) requests() int {
	if o.Jobs < 1 {
		return max(o.MostJobs, defaultMost)
	}
	return max(o.MostJobs, o.Jobs)
}

// client returns the client that was given, or one with the zero options.
func (o Options) client(given *registry.Client) (*registry.Client, error) {
	if given != nil {
		return given, nil
	}
	return registry.New(registry.Options{Jobs: o.jobs(), MostJobs: o.requests(), UserAgent: "relocate"})
}

func (o Options) content(ctx context.Context, src bundle.Source, plan *bundle.Plan) error {
	if o.Content == nil {
		return nil
	}
	return o.Content(ctx, src, plan)
}

// Event is a step of a phase, or a note.
//
// Phases are read, scan, export, volumes, import, copy, verify, repair, resolve, compare and prune, and follow one another;
// read and scan come more than once where packages are chosen. Each begins with an event without a step,
// which comes before all its others, and ends with one that is Done, which comes after them.
type Event struct {
	Phase string    // of a step
	Blobs int       // in all of the phase; 0 when unknown
	Bytes int64     // in all of the phase
	Step  copy.Step // what was done since the last event; where the total is unknown, a blob is a manifest
	Done  bool

	// Note is what an operator should know, in a sentence. Code says which note it is, where a
	// program may have more to say: resumed, moved, tags, signatures-login, no-longer-refused, platforms, and
	// size, whose Bytes are those of the archive. It is empty for all others.
	Note string
	Code string
}

func (o Options) note(code, format string, args ...any) {
	if o.Progress != nil {
		o.Progress(Event{Code: code, Note: fmt.Sprintf(format, args...)})
	}
}

// phase is one thing that takes time. Its step and read may be called concurrently.
type phase struct {
	tell  func(Event)
	event Event

	mu   sync.Mutex
	done copy.Step
}

// begin begins a phase. Without totals only what was done is counted.
func (o Options) begin(name string, blobs int, bytes int64) *phase {
	p := &phase{tell: o.Progress, event: Event{Phase: name, Blobs: blobs, Bytes: bytes}}
	if p.tell == nil {
		p.tell = func(Event) {}
	}
	p.tell(p.event)
	return p
}

func (p *phase) step(s copy.Step) {
	p.mu.Lock()
	p.done.Blobs += s.Blobs
	p.done.Moved += s.Moved
	p.done.Present += s.Present
	p.done.Reread += s.Reread
	p.mu.Unlock()
	e := p.event
	e.Step = s
	p.tell(e)
}

// read reports a manifest that was read.
func (p *phase) read() { p.add(1, 0) }

// add reports what was done, by moving it.
func (p *phase) add(blobs int, bytes int64) { p.step(copy.Step{Blobs: blobs, Moved: bytes}) }

// end ends the phase, and returns what was done.
func (p *phase) end() copy.Step {
	e := p.event
	e.Done = true
	p.tell(e)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}
