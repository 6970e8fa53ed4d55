// Package progress shows how far a command is: a live line on a terminal, a line every few seconds
// elsewhere, or events in JSON.
//
// Begin with New, and Begin a Phase. What a phase does is also reported to the watchdog of the
// context, and waits for registries are shown.
package progress

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
	"golang.org/x/term"

	"relocate/copy"
	"relocate/internal/text"
	"relocate/internal/watchdog"
	"relocate/registry"
)

// How often progress is shown on a terminal, as lines, and as JSON.
const (
	barInterval   = 100 * time.Millisecond
	lineInterval  = 5 * time.Second
	eventInterval = time.Second
)

// Mode is how progress is shown.
type Mode string

// The modes.
const (
	Live  Mode = "tty"   // one line of a terminal
	Plain Mode = "plain" // a line every few seconds
	JSON  Mode = "json"  // a line of JSON every second
	None  Mode = "none"  // notes only
)

// Progress shows the progress of a command.
type Progress struct {
	mode Mode
	out  io.Writer
	dog  *watchdog.Watchdog

	mu    sync.Mutex
	waits int    // for registries
	host  string // of the last one
	cause error
	until time.Time // when it ends
}

// New returns the progress of a command, and the context in which its requests are seen.
func New(ctx context.Context, mode Mode, out io.Writer) (context.Context, *Progress) {
	p := &Progress{mode: mode, out: out, dog: watchdog.In(ctx)}
	return registry.Observe(ctx, registry.Observer{Moved: p.dog.Moved, Retrying: p.retrying}), p
}

// retrying notes a wait for a registry, which the live line shows.
func (p *Progress) retrying(host string, cause error, wait time.Duration) {
	p.dog.Moved()
	p.mu.Lock()
	p.waits, p.host, p.cause, p.until = p.waits+1, host, cause, time.Now().Add(wait)
	p.mu.Unlock()
	if p.mode == JSON {
		p.event(struct {
			Event   string  `json:"event"`
			Host    string  `json:"host"`
			Reason  string  `json:"reason"`
			Seconds float64 `json:"seconds"`
		}{"retry", host, text.Line(cause.Error()), wait.Seconds()})
	}
}

// waitingFor says which registry is waited for now, and why; empty when none is.
func (p *Progress) waitingFor() string {
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
	return fmt.Sprintf("%s %s, will retry in %s", text.Line(p.host), why, Seconds(left))
}

// NoteWaits says how often registries were waited for.
func (p *Progress) NoteWaits() {
	p.mu.Lock()
	waits, host, cause := p.waits, p.host, p.cause
	p.mu.Unlock()
	if waits > 0 {
		p.Note("waited %s for registries that failed or were busy, the last time for %s: %v", text.Count(waits, "time"), host, cause)
	}
}

// event writes a line of JSON.
func (p *Progress) event(e any) {
	if b, err := json.Marshal(e); err == nil {
		fmt.Fprintln(p.out, string(text.PrintableJSON(b)))
	}
}

// Note writes a note for the operator beside the progress.
func (p *Progress) Note(format string, args ...any) {
	note := text.Line(fmt.Sprintf(format, args...))
	if p.mode != JSON {
		fmt.Fprintln(p.out, "note:", note)
		return
	}
	p.event(struct {
		Event string `json:"event"`
		Text  string `json:"text"`
	}{"note", note})
}

// Phase is one thing that takes time. Its methods but End may be called concurrently.
type Phase struct {
	p      *Progress
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

// moment is how much had been moved at a time.
type moment struct {
	at    time.Time
	moved int64
}

// rateOver is the time over which the rate is measured, and minRate the shortest time that shows
// one.
const (
	rateOver = 15 * time.Second
	minRate  = 2 * time.Second
)

// Begin starts a phase. Without totals only what was done is counted; without blobs, bytes alone.
func (p *Progress) Begin(name string, blobs int, bytes int64) *Phase {
	ph := &Phase{p: p, name: name, blobs: blobs, bytes: bytes, start: time.Now(), stop: make(chan struct{})}
	p.dog.Start()
	interval := lineInterval
	switch p.mode {
	case None:
		return ph
	case JSON:
		interval = eventInterval
	case Live:
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

func (ph *Phase) newBar() *progressbar.ProgressBar {
	total := ph.bytes
	if ph.blobs == 0 && ph.bytes == 0 {
		total = -1
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(ph.p.terminal()), progressbar.OptionSetDescription(ph.name),
		progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetSpinnerChangeInterval(0)) // no goroutine of its own: show draws
}

// terminal returns what a live line is drawn on. The bar fits a terminal only where it sees the file, so it
// writes past what colours notes.
func (p *Progress) terminal() io.Writer {
	if w, ok := p.out.(interface{ Terminal() io.Writer }); ok {
		return w.Terminal()
	}
	return p.out
}

// fit cuts a line so that it, a percentage and the ends of a bar fit on the terminal.
func (p *Progress) fit(line string) string {
	const ends = 10
	f, ok := p.terminal().(*os.File)
	if !ok {
		return line
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if runes := []rune(line); err == nil && ends < columns && columns-ends < len(runes) {
		return string(runes[:columns-ends-1]) + "…"
	}
	return line
}

// Add says what was done.
func (ph *Phase) Add(blobs int, bytes int64) { ph.Step(copy.Step{Blobs: blobs, Moved: bytes}) }

// Step says what was done: what was moved, and what was already present.
func (ph *Phase) Step(s copy.Step) {
	ph.p.dog.Moved()
	ph.mu.Lock()
	ph.done.Blobs += s.Blobs
	ph.done.Moved += s.Moved
	ph.done.Present += s.Present
	ph.done.Reread += s.Reread
	ph.mu.Unlock()
}

// End ends the phase, and returns what was done.
func (ph *Phase) End() copy.Step {
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

func (ph *Phase) show(last bool) {
	ph.mu.Lock()
	done := ph.done
	ph.mu.Unlock()
	now := time.Now()
	for len(ph.samples) > 1 && now.Sub(ph.samples[0].at) > rateOver {
		ph.samples = ph.samples[1:]
	}
	ph.samples = append(ph.samples, moment{now, done.Moved})
	switch ph.p.mode {
	case Live:
		ph.showBar(done, last)
	case JSON:
		ph.showEvent(done, last)
	case Plain:
		if !last { // the summary shows the end
			fmt.Fprintln(ph.p.out, ph.line(done))
			if waiting := ph.p.waitingFor(); waiting != "" {
				fmt.Fprintln(ph.p.out, ph.name+": "+waiting)
			}
		}
	}
}

// showBar draws the live line. Errors of the bar come from the terminal, and are not a reason to
// stop.
func (ph *Phase) showBar(done copy.Step, last bool) {
	line := ph.line(done)
	if waiting := ph.p.waitingFor(); waiting != "" {
		line = ph.name + ": " + waiting // both would not fit into a line
	}
	ph.bar.Describe(ph.p.fit(line))
	if ph.blobs == 0 && ph.bytes == 0 {
		_ = ph.bar.Add(1)
	} else {
		_ = ph.bar.Set64(min(done.Moved+done.Present, ph.bytes-1)) // a full bar would disappear
	}
	if last {
		_ = ph.bar.Clear()
	}
}

func (ph *Phase) showEvent(done copy.Step, last bool) {
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

func (ph *Phase) line(done copy.Step) string {
	if ph.blobs == 0 && ph.bytes == 0 {
		return fmt.Sprintf("%s: %s in %s", ph.name, text.Count(done.Blobs, "manifest"), Seconds(time.Since(ph.start)))
	}
	bytes := done.Moved + done.Present
	s := fmt.Sprintf("%s: %s of %s", ph.name, text.Size(bytes), text.Size(ph.bytes))
	if ph.blobs > 0 {
		s += fmt.Sprintf(", %d of %s", done.Blobs, text.Count(ph.blobs, "blob"))
	}
	first, last := ph.samples[0], ph.samples[len(ph.samples)-1]
	if over := last.at.Sub(first.at); over >= minRate {
		rate := float64(last.moved-first.moved) / over.Seconds()
		s += fmt.Sprintf(", %s/s", text.Size(int64(rate)))
		if left := float64(ph.bytes - bytes); rate > 0 && left > 0 && left/rate < maxLeft.Seconds() {
			s += ", " + Seconds(time.Duration(left/rate*float64(time.Second))) + " left"
		}
	}
	return s
}

// maxLeft is the longest remaining time that is shown; a longer one is not a useful estimate.
const maxLeft = 100 * time.Hour

// Seconds formats a duration for people.
func Seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
