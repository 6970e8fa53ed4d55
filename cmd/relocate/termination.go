package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/report"
	"relocate/rewrite"
)

// mostTermination is how much Kubernetes reads of the termination message of a container, in bytes.
const mostTermination = 4096

// termination is the result of a run for the status of its Pod. It is written where the environment names a
// file: rewrite.TerminationVariable.
type termination struct {
	Version string `json:"version"` // of the program
	Status  int    `json:"status"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`

	Result  *copied `json:"result,omitempty"`  // of a copy; nil: there is none
	Verdict *judged `json:"verdict,omitempty"` // of a verification; nil: there is none
}

// copied is what a copy did, also in part.
type copied struct {
	Action     string          `json:"action"`
	Repository string          `json:"repository,omitempty"`
	Roots      []v1.Hash       `json:"roots"` // at most mostTerminationRoots
	Seal       *v1.Hash        `json:"seal,omitempty"`
	Shard      *relocate.Shard `json:"shard,omitempty"`
	Uploaded   amount          `json:"uploaded"`
	Present    amount          `json:"present"`
	Lacked     *copy.Lacked    `json:"lacked,omitempty"`
	Failures   int             `json:"failures,omitempty"`
	Seconds    float64         `json:"seconds"`
}

// judged is what a verification found.
type judged struct {
	OK       bool      `json:"ok"`
	Subject  string    `json:"subject"` // archive or repository
	Level    string    `json:"level,omitempty"`
	Roots    []v1.Hash `json:"roots"` // at most mostTerminationRoots
	Seal     *v1.Hash  `json:"seal,omitempty"`
	Problems int       `json:"problems"`
	First    string    `json:"first,omitempty"` // of the problems
}

// amount is a number of things in a repository.
type amount struct {
	Blobs     int   `json:"blobs"` // layers and configs
	Bytes     int64 `json:"bytes"` // of these
	Manifests int   `json:"manifests"`
}

// Limits of what a termination has beside its error.
const (
	mostTerminationRoots = 10
	mostName             = 300 // bytes
)

type terminationKey struct{}

// withTermination returns a context with a termination, which a copy fills in.
func withTermination(ctx context.Context) (context.Context, *termination) {
	t := &termination{Version: version}
	return context.WithValue(ctx, terminationKey{}, t), t
}

// terminationIn returns the one in a context.
func terminationIn(ctx context.Context) *termination {
	t, _ := ctx.Value(terminationKey{}).(*termination)
	return t
}

// see keeps what a copy did.
func (t *termination) see(r *copyReport) {
	if t == nil || r.Result == nil {
		return
	}
	t.Result = &copied{
		Action: r.Action, Repository: r.Repository, Roots: rootDigests(r.Roots), Seal: archiveSeal(r.Archive),
		Shard: r.Shard, Lacked: r.Result.Lacked, Failures: len(r.Failures), Seconds: r.Seconds,
		Uploaded: amount{r.Result.Blobs, r.Result.Bytes, r.Result.Manifests},
		Present:  amount{r.Result.BlobsPresent, r.Result.BytesPresent, r.Result.ManifestsPresent},
	}
}

// judge keeps what a verification found.
func (t *termination) judge(v *report.Verdict) {
	if t == nil {
		return
	}
	t.Verdict = &judged{
		OK: v.OK, Subject: text.Clip(printable(v.Subject), mostName), Level: v.Level,
		Roots: rootDigests(v.Roots), Seal: archiveSeal(v.Archive), Problems: len(v.Problems),
	}
	if len(v.Problems) > 0 {
		p := v.Problems[0]
		t.Verdict.First = text.Clip(printable(p.Kind+" "+p.What+": "+p.Reason), mostName)
	}
}

func rootDigests(roots []report.Root) (list []v1.Hash) {
	for _, root := range roots[:min(len(roots), mostTerminationRoots)] {
		list = append(list, root.Digest)
	}
	return list
}

func archiveSeal(a *report.Archive) *v1.Hash {
	if a == nil || a.Seal == (v1.Hash{}) {
		return nil
	}
	return &a.Seal
}

// write writes the result to the file that the environment names, if it does. The run has ended: that it cannot
// be written is said, and changes no status.
func (t *termination) write(stderr io.Writer, status int, problem, hint string) {
	path := os.Getenv(rewrite.TerminationVariable)
	if path == "" {
		return
	}
	t.Status = status
	if err := os.WriteFile(path, t.encode(problem, hint), 0o644); err != nil {
		fmt.Fprintf(stderr, "relocate: write $%s: %v\n", rewrite.TerminationVariable, err)
	}
}

// encode returns the JSON. It cuts the texts until everything is short enough.
func (t *termination) encode(problem, hint string) []byte {
	for most := mostTermination; ; most /= 2 {
		t.Error, t.Hint = text.Clip(problem, most), text.Clip(hint, most)
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(t); err != nil || most == 0 || out.Len() <= mostTermination {
			return out.Bytes()
		}
	}
}
