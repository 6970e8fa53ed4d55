package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/copy"
	"relocate/internal/watchdog"
	"relocate/registry"
)

// How often progress is shown on a terminal, as lines, and as JSON.
const (
	barInterval   = 100 * time.Millisecond
	lineInterval  = 5 * time.Second
	eventInterval = time.Second
)

// progress shows how far a command is: one live line on a terminal, a line every few seconds
// elsewhere.
type progress struct {
	mode progressMode
	out  io.Writer
	dog  *watchdog.Watchdog

	now *phase // of a verb

	mu    sync.Mutex
	waits int       // for registries
	host  string    // of the last wait
	cause error     // of the last wait
	until time.Time // when it ends
}

// progressMode is a value of --progress.
type progressMode string

func addProgress(flags *pflag.FlagSet, m *progressMode) {
	*m = "auto"
	flags.Var(m, "progress", "show progress as `MODE`: auto, tty, plain, json or none")
}

// String implements pflag.Value.
func (m *progressMode) String() string { return string(*m) }

// Set implements pflag.Value.
func (m *progressMode) Set(s string) error {
	switch s {
	case "auto", "tty", "plain", "json", "none":
		*m = progressMode(s)
		return nil
	}
	return fmt.Errorf("must be auto, tty, plain, json or none")
}

// Type implements pflag.Value.
func (m *progressMode) Type() string { return "MODE" }

// newProgress returns the progress of a command, and the context in which its requests are seen.
func newProgress(ctx context.Context, mode progressMode, out io.Writer) (context.Context, *progress) {
	if mode == "auto" {
		mode = "plain"
		if isTerminal(out) && os.Getenv("TERM") != "dumb" {
			mode = "tty"
		}
	}
	p := &progress{mode: mode, out: out, dog: watchdog.In(ctx)}
	return registry.Observe(ctx, registry.Observer{Moved: p.dog.Moved, Retrying: p.retrying}), p
}

// retrying notes a wait for a registry, which the live line shows.
func (p *progress) retrying(host string, cause error, wait time.Duration) {
	p.dog.Moved()
	p.mu.Lock()
	p.waits, p.host, p.cause, p.until = p.waits+1, host, cause, time.Now().Add(wait)
	p.mu.Unlock()
	if p.mode == "json" {
		p.event(struct {
			Event   string  `json:"event"`
			Host    string  `json:"host"`
			Reason  string  `json:"reason"`
			Seconds float64 `json:"seconds"`
		}{"retry", host, line(cause.Error()), wait.Seconds()})
	}
}

// waitingFor says which registry is waited for now, and why; empty when none is.
func (p *progress) waitingFor() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := time.Until(p.until)
	if left <= 0 {
		return ""
	}
	why := "does not answer"
	var answer *registry.Error
	if errors.As(p.cause, &answer) {
		why = fmt.Sprintf("answered %d", answer.Status)
	}
	return fmt.Sprintf("%s %s, will retry in %s", line(p.host), why, seconds(left))
}

// noteWaits says how often registries were waited for.
func (p *progress) noteWaits() {
	p.mu.Lock()
	waits, host, cause := p.waits, p.host, p.cause
	p.mu.Unlock()
	if waits > 0 {
		p.note("waited %s for registries that failed or were busy, the last time for %s: %v", count(waits, "time"), host, cause)
	}
}

// event writes a line of JSON.
func (p *progress) event(e any) {
	if b, err := json.Marshal(e); err == nil {
		fmt.Fprintln(p.out, string(printableJSON(b)))
	}
}

// note tells, beside the progress, what the operator should know.
func (p *progress) note(format string, args ...any) {
	text := line(fmt.Sprintf(format, args...))
	if p.mode != "json" {
		fmt.Fprintln(p.out, "note:", text)
		return
	}
	p.event(struct {
		Event string `json:"event"`
		Text  string `json:"text"`
	}{"note", text})
}

// noteHints say what to do about some notes of a verb, by their codes.
var noteHints = map[string]string{
	"moved":             " (--no-resume takes the new one)",
	"no-longer-refused": " (--no-resume takes it)",
	"tags":              "; " + hintTags,
	"signatures-login": ": login flags are for the registries of -b, -i and --lock only; " +
		"use docker login, or RELOCATE_REGISTRY_HOSTNAME in the environment",
}

// see shows what a verb does.
func (p *progress) see(e relocate.Event) {
	switch {
	case e.Note != "":
		p.note("%s%s", e.Note, noteHints[e.Code])
	case e.Done:
		p.now.end()
		p.now = nil
	case p.now == nil: // the first event of a phase, which comes before all its others
		p.now = p.begin(e.Phase, e.Blobs, e.Bytes)
	default:
		p.now.step(e.Step)
	}
}

// phase is one thing that takes time. Its add may be called concurrently.
type phase struct {
	p      *progress
	name   string
	blobs  int   // in all; 0 when unknown
	bytes  int64 // in all
	start  time.Time
	bar    *progressbar.ProgressBar
	ticker *time.Ticker
	stop   chan struct{}
	wait   sync.WaitGroup

	mu      sync.Mutex
	done    copy.Step // so far
	samples []moment  // of the last moments, oldest first
}

// moment is how much was moved at a time.
type moment struct {
	at    time.Time
	moved int64
}

// rateOver is the time over which the rate is taken, and minRate the least for which one is shown.
const (
	rateOver = 15 * time.Second
	minRate  = 2 * time.Second
)

// begin starts a phase. Without totals only what was done is counted.
func (p *progress) begin(name string, blobs int, bytes int64) *phase {
	ph := &phase{p: p, name: name, blobs: blobs, bytes: bytes, start: time.Now(), stop: make(chan struct{})}
	p.dog.Start()
	interval := lineInterval
	switch p.mode {
	case "none":
		return ph
	case "json":
		interval = eventInterval
	case "tty":
		interval = barInterval
		ph.bar = ph.newBar()
	}
	ph.samples = []moment{{at: ph.start}}
	ph.ticker = time.NewTicker(interval)
	ph.wait.Go(func() {
		for {
			select {
			case <-ph.ticker.C:
				ph.show(false)
			case <-ph.stop:
				return
			}
		}
	})
	return ph
}

func (ph *phase) newBar() *progressbar.ProgressBar {
	total := ph.bytes
	if ph.blobs == 0 {
		total = -1
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(ph.p.out), progressbar.OptionSetDescription(ph.name),
		progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetSpinnerChangeInterval(0)) // no goroutine of its own: show draws
}

// add tells what became done.
func (ph *phase) add(blobs int, bytes int64) { ph.step(copy.Step{Blobs: blobs, Moved: bytes}) }

// step tells what became done, by moving it or because it was there.
func (ph *phase) step(s copy.Step) {
	ph.p.dog.Moved()
	ph.mu.Lock()
	ph.done.Blobs += s.Blobs
	ph.done.Moved += s.Moved
	ph.done.Present += s.Present
	ph.done.Reread += s.Reread
	ph.mu.Unlock()
}

// end ends the phase, and returns what became done.
func (ph *phase) end() copy.Step {
	if ph.ticker != nil {
		ph.ticker.Stop()
		close(ph.stop)
		ph.wait.Wait()
		ph.show(true)
	}
	ph.mu.Lock()
	defer ph.mu.Unlock()
	return ph.done
}

func (ph *phase) show(last bool) {
	ph.mu.Lock()
	done := ph.done
	ph.mu.Unlock()
	now := time.Now()
	for len(ph.samples) > 1 && now.Sub(ph.samples[0].at) > rateOver {
		ph.samples = ph.samples[1:]
	}
	ph.samples = append(ph.samples, moment{now, done.Moved})
	switch ph.p.mode {
	case "tty":
		ph.showBar(done, last)
	case "json":
		ph.showEvent(done, last)
	case "plain":
		if !last { // the summary tells the end
			fmt.Fprintln(ph.p.out, ph.line(done))
			if waiting := ph.p.waitingFor(); waiting != "" {
				fmt.Fprintln(ph.p.out, ph.name+": "+waiting)
			}
		}
	}
}

// showBar draws the live line. The bar's own errors are of the terminal, and no reason to stop.
func (ph *phase) showBar(done copy.Step, last bool) {
	text := ph.line(done)
	if waiting := ph.p.waitingFor(); waiting != "" {
		text = ph.name + ": " + waiting // both would not fit into a line
	}
	ph.bar.Describe(text)
	if ph.blobs == 0 {
		_ = ph.bar.Add(1)
	} else {
		_ = ph.bar.Set64(min(done.Moved+done.Present, ph.bytes-1)) // a full bar would be taken away
	}
	if last {
		_ = ph.bar.Clear()
	}
}

func (ph *phase) showEvent(done copy.Step, last bool) {
	ph.p.event(struct {
		Event      string  `json:"event"`
		Phase      string  `json:"phase"`
		Blobs      int     `json:"blobs"`
		BlobsTotal int     `json:"blobsTotal,omitempty"`
		Bytes      int64   `json:"bytes"`
		BytesTotal int64   `json:"bytesTotal,omitempty"`
		BytesThere int64   `json:"bytesThere"`
		Seconds    float64 `json:"seconds"`
		Done       bool    `json:"done"`
	}{"progress", ph.name, done.Blobs, ph.blobs, done.Moved + done.Present, ph.bytes, done.Present, time.Since(ph.start).Seconds(), last})
}

func (ph *phase) line(done copy.Step) string {
	if ph.blobs == 0 {
		return fmt.Sprintf("%s: %s in %s", ph.name, count(done.Blobs, "manifest"), seconds(time.Since(ph.start)))
	}
	bytes := done.Moved + done.Present
	s := fmt.Sprintf("%s: %s of %s, %d of %s", ph.name, size(bytes), size(ph.bytes), done.Blobs, count(ph.blobs, "blob"))
	first, last := ph.samples[0], ph.samples[len(ph.samples)-1]
	if over := last.at.Sub(first.at); over >= minRate {
		rate := float64(last.moved-first.moved) / over.Seconds()
		s += fmt.Sprintf(", %s/s", size(int64(rate)))
		if left := float64(ph.bytes - bytes); rate > 0 && left > 0 && left/rate < maxLeft.Seconds() {
			s += ", " + seconds(time.Duration(left/rate*float64(time.Second))) + " left"
		}
	}
	return s
}

// maxLeft is the longest time that is shown as left; more is no estimate.
const maxLeft = 100 * time.Hour

// seconds writes a duration for people.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
