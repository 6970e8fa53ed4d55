package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"relocate"
)

// shardFlags are the flags of an import that several machines do together.
type shardFlags struct {
	shard shard
	await time.Duration
}

func (f *shardFlags) add(flags *pflag.FlagSet) {
	flags.Var(&f.shard, "shard", "upload only the layers and configs of shard I of N, such as 0/4 for the first of four;"+
		" auto/N takes I from a Kubernetes Indexed Job")
	flags.DurationVar(&f.await, "await-blobs", 0, "before uploading, wait for shards to upload layers and configs, until"+
		" none has appeared for `TIME`, such as 5m")
}

// awaitNeeds is why nothing is awaited.
const awaitNeeds = "--await-blobs needs --from-tar FILE and --to-repo: a stream brings everything itself"

// checks are about an import, from a file or not, into a registry.
func (f *shardFlags) checks(isFile, toRepo bool) []check {
	given := f.shard.given()
	return []check{
		{given && !(isFile && toRepo), "--shard needs --from-tar FILE and --to-repo: a stream has no shards"},
		{f.await != 0 && !(isFile && toRepo), awaitNeeds},
		{f.await < 0, fmt.Sprintf("--await-blobs %v: must not be negative", f.await)},
		exclusive("--shard", given, "--await-blobs", f.await != 0),
	}
}

// concurrency is how many requests a shard sends at once, unless the command line says: all shards together as many
// as one import, but at least four each. More were measured to be slower: the network in front of the registry drops
// what it cannot take.
func (f *shardFlags) concurrency(given concurrency) concurrency {
	if !f.shard.given() || given != automatic {
		return given
	}
	most := max(4, (automatic.most+f.shard.Of-1)/f.shard.Of)
	return concurrency{min(automatic.least, most), most}
}

// shard is the value of --shard; zero: not given.
type shard relocate.Shard

func (s *shard) given() bool { return s.Of > 0 }

// indexVariable has the index of a pod of an indexed Job (batch/v1, completionMode: Indexed).
const indexVariable = "JOB_COMPLETION_INDEX"

// Set implements pflag.Value.
func (s *shard) Set(text string) error {
	index, of, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(of)
	if err != nil || n < 1 || n > relocate.MostShards {
		return fmt.Errorf("must be I/N or auto/N, with N from 1 to %d", relocate.MostShards)
	}
	from := ""
	if index == "auto" {
		if index = os.Getenv(indexVariable); index == "" {
			return errors.New(indexVariable + " is not set: auto is for a Kubernetes Job with completionMode: Indexed")
		}
		from = indexVariable + " is " + strconv.Quote(index) + ": "
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= n {
		return fmt.Errorf("%sthe shards are 0/%d to %d/%d", from, n, n-1, n)
	}
	*s = shard{Index: i, Of: n}
	return nil
}

// String implements pflag.Value.
func (s *shard) String() string {
	if !s.given() {
		return ""
	}
	return relocate.Shard(*s).String()
}

// Type implements pflag.Value.
func (s *shard) Type() string { return "I/N" }

// shardChecks are about flags that mean nothing to a shard, which puts no manifests and no tags.
func (f *copyFlags) shardChecks() (checks []check) {
	isShard := f.shard.shard.given()
	flags := append(f.ofManifests(), given{"--lock-output", f.lockOutput != ""},
		given{"--receipt-key and --receipts", f.receipts.given()})
	for _, g := range flags {
		message := g.flag + " cannot be used with --shard: give it to the import that completes the shards"
		checks = append(checks, check{isShard && g.given, message})
	}
	message := "--report " + f.report + " with --shard: a shard has no page; name a file for JSON"
	return append(checks, check{isShard && isPage(f.report), message})
}

// summarizeShard writes the report of a shard for people.
func (r *copyReport) summarizeShard(w io.Writer) {
	res := r.Result
	fmt.Fprintf(w, "shard %s: uploaded %s (%s), %d already present (%s), in %s; an import without --shard completes it\n",
		r.Shard, count(res.Blobs, "layer and config"), size(res.Bytes), res.BlobsPresent, size(res.BytesPresent), r.elapsed())
	if r.Source != nil {
		r.Source.summarize(w)
	}
	r.summarizeReread(w)
}

// summarizeLacked says what shards had not uploaded.
func (r *copyReport) summarizeLacked(w io.Writer) {
	l := r.Result.Lacked
	if l == nil {
		return
	}
	fmt.Fprintf(w, "  left by shards   %s (%s) of %d", count(l.Blobs, "layer and "+
		"config"), size(l.Bytes), r.Result.Blobs+r.Result.BlobsPresent)
	if l.Shard != "" {
		fmt.Fprintf(w, ": shard %s did not finish?", l.Shard)
	}
	fmt.Fprintln(w)
}
