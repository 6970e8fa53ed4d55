package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/registry"
	"relocate/testdata/hostileregistry"
)

// longest is how long one run may take, whatever the registries do.
const longest = 10 * time.Minute

// TestChaos exports, imports and copies while both registries fail at random places, at any concurrency.
// A run that ends with 0 has done its work; any other says why, and the same command does it when the
// registries behave again. What others have at the destination stays as it was. Each round is a seed:
//
//	RELOCATE_TEST_SEED=N go test ./cmd/relocate -run TestChaos/rounds/N$
func TestChaos(t *testing.T) {
	skipShort(t)
	t.Parallel()
	first := uint64(1) // make soak takes others each time
	if isSoak() || os.Getenv("RELOCATE_TEST_SEED") != "" {
		first = anySeed(t)
	}
	var figures chaosFigures
	t.Run("rounds", func(t *testing.T) {
		for i := range rounds(12, 600) {
			seed := first + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				newChaosRound(t, seed, &figures).run()
			})
		}
	})
	t.Log(figures.String())
}

// chaosFigures counts what happened in all rounds.
type chaosFigures struct {
	mu       sync.Mutex
	runs     map[string]int // by what was done
	statuses map[int]int
	faults   map[string]int
	slowest  time.Duration
}

func (f *chaosFigures) add(what string, status int, took time.Duration, faults map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.runs == nil {
		f.runs, f.statuses, f.faults = map[string]int{}, map[int]int{}, map[string]int{}
	}
	f.runs[what]++
	f.statuses[status]++
	f.slowest = max(f.slowest, took)
	for name, n := range faults {
		f.faults[name] += n
	}
}

func (f *chaosFigures) String() string {
	return fmt.Sprintf("runs %v; statuses %v; the slowest took %v; faults %v", f.runs, f.statuses, f.slowest.Round(time.Millisecond), f.faults)
}

// chaosRound is one source, one destination, and what is done with them.
type chaosRound struct {
	t         *testing.T
	seed      uint64
	rnd       *rand.Rand
	figures   *chaosFigures
	src, dst  *hostileregistry.Registry // one and the same when it is copied within a registry
	mild      bool                      // each fault passes before a request was tried as often as it may be
	faults    []hostileregistry.Fault
	rate      float64
	args      []string // that all runs have
	root      string   // reference of the package repository
	archive   string   // an export of it while all was well
	repo      string   // destination
	rehearses bool     // exports
	refused   bool     // in the last run: the source may not have shown all attachments
	report    string   // of the last copy or import

	others     map[string]string // what others have at the destination, by path
	signed     string            // path of a signature to which others have added theirs
	signatures []string          // layers that it had then
}

func newChaosRound(t *testing.T, seed uint64, figures *chaosFigures) *chaosRound {
	r := &chaosRound{t: t, seed: seed, figures: figures, rnd: rand.New(rand.NewPCG(seed, 1))}
	r.src = r.open(0)
	if r.dst = r.src; r.rnd.IntN(4) > 0 {
		r.dst = r.open(1)
	}
	r.repo = r.dst.Addr + "/inside/repository"
	r.mild = r.rnd.IntN(3) == 0
	r.rate = []float64{0.01, 0.03, 0.1, 0.3}[r.rnd.IntN(4)]
	kinds := hostileregistry.Passing
	if !r.mild {
		kinds = slices.Concat(kinds, hostileregistry.Grave)
	}
	for _, f := range kinds {
		if r.rnd.IntN(3) == 0 {
			r.faults = append(r.faults, f)
		}
	}
	wait := []string{"1ms", "5ms", "20ms"}[r.rnd.IntN(3)]
	r.args = []string{"--concurrency", fmt.Sprint(1 + r.rnd.IntN(16)), "--registry-retry-wait", wait,
		"--registry-response-header-timeout", "3s", "--registry-idle-timeout", "3s"}
	if r.rnd.IntN(5) == 0 {
		r.args = append(r.args, "--keep-going")
	}
	r.rehearses = r.rnd.IntN(2) == 0
	return r
}

// open runs a registry at an address that the seed gives, so that references, and with them all digests,
// are those of the seed.
func (r *chaosRound) open(port uint64) *hostileregistry.Registry {
	r.t.Helper()
	behind := ""
	switch r.rnd.IntN(8) {
	case 0:
		behind = startReal(r.t).Addr
	case 1:
		behind = realRegistries["debian"](r.t).Addr
	case 2, 3:
		behind = startReferrers(r.t)
	}
	// Below the ports that systems give to whoever asks for any, so that this one stays ours when it restarts.
	addr := fmt.Sprintf("127.0.0.1:%d", 10_000+2*(r.seed%10_000)+port)
	return hostileregistry.StartAt(r.t, addr, behind)
}

func (r *chaosRound) run() {
	r.prepare()
	r.report = filepath.Join(r.t.TempDir(), "report.json")
	fill := []string{"--to-repo", r.repo, "--report", r.report, "--trust-registry", []string{"manifests", "manifests", "blobs", "nothing"}[r.rnd.IntN(4)]}
	copies, exports, streams := r.rnd.IntN(3) == 0, r.rnd.IntN(2) == 0, r.rnd.IntN(3) == 0
	switch {
	case r.src == r.dst:
		r.try(chaosRun{what: "copy within a registry", args: append(fill, "-b", r.root), check: r.checkCopy})
		return
	case copies:
		r.try(chaosRun{what: "copy", args: append(fill, "-b", r.root), check: r.checkCopy})
		return
	}
	file := r.archive
	if exports {
		file = filepath.Join(r.t.TempDir(), "r.tar")
		check := func(result) { r.checkArchive(file) }
		r.try(chaosRun{what: "export", args: []string{"-b", r.root, "--to-tar", file}, check: check})
	}
	check := func(got result) { r.checkImport(file, got) }
	if streams {
		r.try(chaosRun{what: "import of a stream", args: append(fill, "--from-tar", "-"), stdin: file, check: check})
	} else {
		r.try(chaosRun{what: "import", args: append(fill, "--from-tar", file), check: check})
	}
}

// chaosRun is a run of the program.
type chaosRun struct {
	what  string
	args  []string
	stdin string       // file for standard input; "": nothing
	check func(result) // after a run that ended with 0
}

// try runs the program while the registries fail. When it does not end with 0, it runs once more while
// they do not.
func (r *chaosRound) try(run chaosRun) {
	r.t.Helper()
	run.args = append(run.args, r.args...)
	began := time.Now()
	got, faults := r.underChaos(run)
	r.figures.add(run.what, got.status, time.Since(began), faults)
	about := fmt.Sprintf("seed %d: relocate %s\nfaults: %v\nstatus %d\n%s", r.seed, strings.Join(run.args, " "), faults, got.status, got.stderr)
	documented := []int{0, statusFailed, statusUsage, statusPermission, statusDamage, statusMissing, statusNoSpace}
	switch {
	case r.mild:
		documented = []int{0}
	case slices.Contains(r.args, "--keep-going"):
		documented = append(documented, statusPartly)
	}
	require.Contains(r.t, documented, got.status, about)
	require.NotContains(r.t, got.stderr, "goroutine ", about)
	r.t.Logf("%s: status %d after %v", run.what, got.status, faults)
	r.checkOthers(about)
	if got.status == 0 {
		r.within(about, func() { run.check(got) })
		return
	}
	require.Contains(r.t, got.stderr, "relocate: ", about)
	require.Empty(r.t, got.stdout, about)
	again := r.start(run)
	about += fmt.Sprintf("\nonce more, while all is well: status %d\n%s", again.status, again.stderr)
	require.Zero(r.t, again.status, about)
	r.checkOthers(about)
	r.within(about, func() { run.check(again) })
}

// within prints what a check that fails is about.
func (r *chaosRound) within(about string, check func()) {
	r.t.Helper()
	defer func() {
		if r.t.Failed() {
			r.t.Log(about)
		}
	}()
	check()
}

// underChaos runs the program while the registries fail, and lets them behave again.
func (r *chaosRound) underChaos(run chaosRun) (result, map[string]int) {
	r.t.Helper()
	faults := map[string]int{}
	var all []*hostileregistry.Chaos
	for i, reg := range slices.Compact([]*hostileregistry.Registry{r.src, r.dst}) {
		c := &hostileregistry.Chaos{Seed: r.seed + uint64(i), Rate: r.rate, Faults: r.faults}
		if r.mild {
			c.Most = registry.Defaults().Tries - 3
		}
		all = append(all, c)
		reg.Behave(c.Manner(reg))
	}
	got := r.start(run)
	for i, reg := range slices.Compact([]*hostileregistry.Registry{r.src, r.dst}) {
		reg.Behave(nil)
		reg.Await()
		for name, n := range all[i].Done() {
			faults[name] += n
		}
	}
	r.refused = faults["missing"] > 0 || faults["refused"] > 0 || faults["flip again"] > 0
	return got, faults
}

// start runs the program, which must end: if not, it prints its goroutines.
func (r *chaosRound) start(run chaosRun) result {
	r.t.Helper()
	p := newProcess(r.t, run.args...)
	if run.stdin != "" {
		file, err := os.Open(run.stdin)
		require.NoError(r.t, err)
		defer file.Close()
		p.cmd.Stdin = file
	}
	p.start(r.t)
	select {
	case <-p.ended:
	case <-time.After(longest):
		p.signal(syscall.SIGQUIT)
		<-p.ended
		require.Fail(r.t, "the program does not end", "seed %d: %v\n%s", r.seed, p.cmd.Args, p.stderr.String())
	}
	return result{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// checkArchive verifies an export, which has the bytes of one while all was well; but where the source
// refused attachments, which an export says. One that is resumed keeps to what the first run saw.
func (r *chaosRound) checkArchive(file string) {
	r.t.Helper()
	mustRun(r.t, "verify", file)
	if !r.refused {
		assert.Equal(r.t, digestOfFile(r.t, r.archive), digestOfFile(r.t, file), "the archive is another than while all was well")
	}
	if r.rehearses {
		mustRun(r.t, "rehearse", file)
	}
}

// checkCopy verifies what was copied; by its root alone where the source did not show all attachments,
// which a copy says.
func (r *chaosRound) checkCopy(got result) {
	r.t.Helper()
	if r.mild || !strings.Contains(got.stderr, "attachments not copied") {
		r.checkImport(r.archive, got)
		return
	}
	root, _ := get(r.t, r.src.Addr, "/v2/corp/repository/manifests/1.0.0")
	r.checkRepository("--root=" + digestOf(root))
}

// checkImport verifies what was imported from file; without the attachments that the destination refused,
// which the import says.
func (r *chaosRound) checkImport(file string, got result) {
	r.t.Helper()
	if !r.mild && strings.Contains(got.stderr, "left out:") {
		r.checkRepository(file, "--accept", r.report)
		return
	}
	r.checkRepository(file)
}

// checkRepository verifies the destination, to the last byte.
func (r *chaosRound) checkRepository(with ...string) {
	r.t.Helper()
	mustRun(r.t, append([]string{"verify", "--repo", r.repo, "--level", "deep"}, with...)...)
}

// checkOthers fails when something that others have put at the destination is not what it was.
func (r *chaosRound) checkOthers(about string) {
	r.t.Helper()
	for _, path := range slices.Sorted(maps.Keys(r.others)) {
		status, body, _ := ask(r.t, http.MethodGet, r.dst.Addr, path)
		require.Equal(r.t, http.StatusOK, status, "%s, of others, is lost\n%s", path, about)
		require.Equal(r.t, r.others[path], string(body), "%s, of others\n%s", path, about)
	}
	if r.signed != "" {
		require.Subset(r.t, digestsOf(layersOf(r.t, r.dst.Addr, r.signed)), r.signatures, "signatures of others\n%s", about)
	}
}
