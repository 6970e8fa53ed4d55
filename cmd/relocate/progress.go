package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
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
}

// progressMode is a value of --progress.
type progressMode string

func addProgress(flags *pflag.FlagSet, m *progressMode) {
	*m = "auto"
	flags.Var(m, "progress", "auto, tty, plain, json or none")
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

func newProgress(mode progressMode, out io.Writer) *progress {
	if mode == "auto" {
		mode = "plain"
		if f, ok := out.(*os.File); ok && os.Getenv("TERM") != "dumb" {
			if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				mode = "tty"
			}
		}
	}
	return &progress{mode, out}
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

	mu        sync.Mutex
	doneBlobs int
	doneBytes int64
}

// begin starts a phase. Without totals only what was done is counted.
func (p *progress) begin(name string, blobs int, bytes int64) *phase {
	ph := &phase{p: p, name: name, blobs: blobs, bytes: bytes, start: time.Now(), stop: make(chan struct{})}
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
		progressbar.OptionShowBytes(ph.blobs > 0), progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(ph.blobs > 0), progressbar.OptionSpinnerType(14), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own: show draws
		progressbar.OptionSetElapsedTime(true))
}

// add tells what became done.
func (ph *phase) add(blobs int, bytes int64) {
	ph.mu.Lock()
	ph.doneBlobs += blobs
	ph.doneBytes += bytes
	ph.mu.Unlock()
}

// end ends the phase.
func (ph *phase) end() {
	if ph.ticker == nil {
		return
	}
	ph.ticker.Stop()
	close(ph.stop)
	ph.wait.Wait()
	ph.show(true)
}

func (ph *phase) show(last bool) {
	ph.mu.Lock()
	blobs, bytes := ph.doneBlobs, ph.doneBytes
	ph.mu.Unlock()
	elapsed := time.Since(ph.start)
	switch ph.p.mode {
	case "tty":
		ph.showBar(blobs, bytes, last)
	case "json":
		ph.showEvent(blobs, bytes, elapsed, last)
	case "plain":
		if !last { // the summary tells the end
			fmt.Fprintln(ph.p.out, ph.line(blobs, bytes, elapsed))
		}
	}
}

// showBar draws the live line. The bar's own errors are of the terminal, and no reason to stop.
func (ph *phase) showBar(blobs int, bytes int64, last bool) {
	if ph.blobs == 0 {
		ph.bar.Describe(fmt.Sprintf("%s: %s", ph.name, count(blobs, "manifest")))
		_ = ph.bar.Add(1)
	} else {
		ph.bar.Describe(fmt.Sprintf("%s: %d of %s", ph.name, blobs, count(ph.blobs, "blob")))
		_ = ph.bar.Set64(min(bytes, ph.bytes-1)) // a full bar would be taken away
	}
	if last {
		_ = ph.bar.Clear()
	}
}

func (ph *phase) showEvent(blobs int, bytes int64, elapsed time.Duration, last bool) {
	b, err := json.Marshal(struct {
		Event      string  `json:"event"`
		Phase      string  `json:"phase"`
		Blobs      int     `json:"blobs"`
		BlobsTotal int     `json:"blobsTotal,omitempty"`
		Bytes      int64   `json:"bytes"`
		BytesTotal int64   `json:"bytesTotal,omitempty"`
		Seconds    float64 `json:"seconds"`
		Done       bool    `json:"done"`
	}{"progress", ph.name, blobs, ph.blobs, bytes, ph.bytes, elapsed.Seconds(), last})
	if err == nil {
		fmt.Fprintln(ph.p.out, string(b))
	}
}

func (ph *phase) line(blobs int, bytes int64, elapsed time.Duration) string {
	if ph.blobs == 0 {
		return fmt.Sprintf("%s: %s in %s", ph.name, count(blobs, "manifest"), seconds(elapsed))
	}
	s := fmt.Sprintf("%s: %s of %s, %d of %s, %s/s", ph.name, size(bytes), size(ph.bytes), blobs, count(ph.blobs, "blob"),
		size(int64(float64(bytes)/max(elapsed.Seconds(), 0.001))))
	if bytes > 0 && bytes < ph.bytes {
		left := time.Duration(float64(elapsed) / float64(bytes) * float64(ph.bytes-bytes))
		s += ", " + seconds(left) + " left"
	}
	return s
}

// seconds writes a duration for people.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
