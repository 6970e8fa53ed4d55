package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"relocate"
	"relocate/bundle"
	"relocate/internal/printer"
	"relocate/internal/progress"
)

// shardsFlags let plan show the shards of an import.
type shardsFlags struct {
	n      int
	assume rates
}

func (f *shardsFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.n, "shards", 0, "also show what each of `N` shards of an import would upload (see --shard)")
	flags.Var(&f.assume, "assume", "with --shards, estimate times for machines of this `RATE`, and of the registry and the"+
		" source if they are given: 1Gbps,registry=800MBps,source=10Gbps")
}

func (f *shardsFlags) checks() []check {
	return []check{
		{f.n < 0 || f.n > relocate.MostShards,
			fmt.Sprintf("--shards %d: must be between 1 and %d", f.n, relocate.MostShards)},
		{f.assume.worker > 0 && f.n == 0, "--assume needs --shards"},
	}
}

// rates are the value of --assume, in bytes a second; 0: not known.
type rates struct {
	text                     string
	worker, registry, source float64
}

// payload is the part of a network's bits that is content: 1448 of 1514 bytes of a full Ethernet frame carry it, and
// answers and retransmissions take some.
const payload = 0.94

// Set implements pflag.Value.
func (r *rates) Set(text string) (err error) {
	*r = rates{text: text}
	for i, part := range strings.Split(text, ",") {
		to, rate := &r.worker, part
		if name, other, _ := strings.Cut(part, "="); i > 0 {
			to, rate = map[string]*float64{"registry": &r.registry, "source": &r.source}[name], other
		}
		if to == nil {
			return fmt.Errorf("%q: must be registry=RATE or source=RATE", part)
		}
		if *to, err = parseRate(rate); err != nil {
			return err
		}
	}
	return nil
}

// parseRate reads a rate: bits of a network (1Gbps) or bytes of content (800MBps), each second.
func parseRate(text string) (float64, error) {
	digits, factor := text, 1.0
	if bytes, ok := strings.CutSuffix(text, "Bps"); ok {
		digits = bytes
	} else if bits, ok := strings.CutSuffix(text, "bps"); ok {
		digits, factor = bits, payload/8
	} else {
		digits = ""
	}
	for i, unit := range []string{"k", "M", "G", "T"} {
		if n, ok := strings.CutSuffix(digits, unit); ok {
			digits, factor = n, factor*math.Pow(1000, float64(i+1))
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if rate := n * factor; err == nil && rate >= 1 && rate <= 1e15 {
		return rate, nil
	}
	return 0, errors.New("must be a rate such as 1Gbps (bits of a network) or 800MBps (bytes)")
}

// String implements pflag.Value.
func (r *rates) String() string { return r.text }

// Type implements pflag.Value.
func (r *rates) Type() string { return "RATE" }

// shardsReport is what plan says of shards.
type shardsReport struct {
	Shards   []shardSize `json:"shards"`
	Largest  int64       `json:"largest"` // bytes of the largest layer: no shard has less than one layer
	Estimate *estimate   `json:"estimate,omitempty"`
}

// shardSize is what a shard uploads.
type shardSize struct {
	Blobs int   `json:"blobs"` // layers and configs
	Bytes int64 `json:"bytes"`
}

// estimate is how long the uploads take at some rates, in seconds, without the import that completes them.
type estimate struct {
	One     float64 `json:"one"`     // without shards
	Shards  float64 `json:"shards"`  // with all of them
	Useful  int     `json:"useful"`  // more shards than these gain nothing
	Limit   string  `json:"limit"`   // why: limitRegistry, limitSource or limitLayer
	Largest float64 `json:"largest"` // of the largest layer, at most: while all shards share the registry and the source
}

// What a number of shards is limited by.
const (
	limitRegistry = "registry"
	limitSource   = "source"
	limitLayer    = "layer"
)

// limits say what a limit means.
var limits = map[string]string{
	limitRegistry: "the registry is the limit",
	limitSource:   "the source is the limit",
	limitLayer:    "the largest layer is the limit",
}

// shards says what n shards of the plan upload, and how long that takes.
func (f *shardsFlags) shards(plan *bundle.Plan) *shardsReport {
	if f.n == 0 {
		return nil
	}
	r := &shardsReport{}
	total, fullest := int64(0), int64(0)
	for _, shard := range plan.Shards(f.n) {
		s := shardSize{len(shard.Blobs), shard.Size()}
		r.Shards = append(r.Shards, s)
		total, fullest = total+s.Bytes, max(fullest, s.Bytes)
		for _, b := range shard.Blobs {
			r.Largest = max(r.Largest, b.Descriptor.Size)
		}
	}
	if f.assume.worker > 0 {
		r.Estimate = f.assume.estimate(f.n, float64(total), float64(fullest), float64(r.Largest))
	}
	return r
}

// estimate computes T(n) = max(A/(n·w), A/R, A/S, L/w) of docs/shards.md, where the fullest shard stands for A/n and L.
func (r *rates) estimate(n int, total, fullest, largest float64) *estimate {
	e := &estimate{Limit: limitLayer, Largest: largest / r.worker}
	shared, useful := 0.0, math.Ceil(total/max(largest, 1))
	limit := func(by string, rate float64) {
		if rate == 0 {
			return
		}
		shared, e.Largest = max(shared, total/rate), max(e.Largest, float64(n)*largest/rate)
		if most := math.Ceil(rate / r.worker); most < useful {
			useful, e.Limit = most, by
		}
	}
	limit(limitRegistry, r.registry)
	limit(limitSource, r.source)
	e.One, e.Shards, e.Useful = max(total/r.worker, shared), max(fullest/r.worker, shared), int(max(useful, 1))
	e.Largest = min(e.Largest, e.Shards)
	return e
}

// text writes the shards for people.
func (r *shardsReport) text(w io.Writer) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "shards     %d; the largest layer has %s\n", len(r.Shards), size(r.Largest))
	var lines []string
	for i, s := range r.Shards {
		lines = append(lines, fmt.Sprintf("  %d/%d  %s, %s", i, len(r.Shards), count(s.Blobs, "layer and config"), size(s.Bytes)))
	}
	fmt.Fprintln(w, printer.First(lines, mostLines, "; -o json lists them all"))
	if r.Estimate != nil {
		r.Estimate.text(w, len(r.Shards))
	}
}

// text writes the estimate for n shards for people.
func (e *estimate) text(w io.Writer, n int) {
	took := func(seconds float64) string {
		if seconds < 0.1 {
			return "less than 0.1 s"
		}
		return progress.Seconds(time.Duration(min(seconds, 1e9) * float64(time.Second)))
	}
	fmt.Fprintf(w, "estimate   one machine: %s; %s: %s; then an import completes them\n",
		took(e.One), count(n, "shard"), took(e.Shards))
	switch {
	case e.Useful == 1:
		fmt.Fprintf(w, "           shards gain nothing: %s\n", limits[e.Limit])
	case e.Useful < n:
		fmt.Fprintf(w, "           more than %s gain nothing: %s\n", count(e.Useful, "shard"), limits[e.Limit])
	}
	if n > 1 {
		fmt.Fprintf(w, "           the largest layer takes up to %s: choose a longer "+
			"--await-blobs\n", strings.TrimPrefix(took(e.Largest), "less than "))
	}
}
