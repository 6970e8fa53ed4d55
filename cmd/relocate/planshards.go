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
	flags.Var(&f.assume, "assume", "with --shards, estimate times for machines with a network of `RATE`, and for what"+
		" the registry takes and the source gives: 1Gbps,registry=800MBps,source=10Gbps")
}

func (f *shardsFlags) checks() []check {
	return []check{
		{f.n < 0 || f.n > relocate.MostShards, fmt.Sprintf("--shards %d: must be between 1 and %d", f.n, relocate.MostShards)},
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
	Largest float64 `json:"largest"` // of the largest layer
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
		r.Estimate = f.assume.estimate(float64(total), float64(fullest), float64(r.Largest))
	}
	return r
}

// estimate computes T(n) = max(A/(n·w), A/R, A/S, L/w) of docs/shards.md, where the fullest shard stands for A/n and L.
func (r *rates) estimate(total, fullest, largest float64) *estimate {
	shared, useful := 0.0, math.Ceil(total/max(largest, 1))
	for _, rate := range []float64{r.registry, r.source} {
		if rate > 0 {
			shared, useful = max(shared, total/rate), min(useful, math.Ceil(rate/r.worker))
		}
	}
	return &estimate{
		One: max(total/r.worker, shared), Shards: max(fullest/r.worker, shared),
		Useful: int(max(useful, 1)), Largest: largest / r.worker,
	}
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
	e := r.Estimate
	if e == nil {
		return
	}
	took := func(seconds float64) string {
		return progress.Seconds(time.Duration(min(seconds, 1e9) * float64(time.Second)))
	}
	fmt.Fprintf(w, "estimate   one machine uploads everything in %s, %s in %s, and then an import completes it\n",
		took(e.One), count(len(r.Shards), "shard"), took(e.Shards))
	switch {
	case e.Useful == 1:
		fmt.Fprintf(w, "           no gain: one machine is as fast as everything else\n")
	case e.Useful < len(r.Shards):
		fmt.Fprintf(w, "           more than %s gain nothing\n", count(e.Useful, "shard"))
	}
	fmt.Fprintf(w, "           the largest layer takes %s: --await-blobs must be longer\n", took(e.Largest))
}
