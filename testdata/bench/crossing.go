package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"relocate/testdata/generated"
	"relocate/testdata/measured"
)

// stages are what is measured, in this order.
var stages = []string{
	"plan", "export", "verify", "verify --no-render", "rehearse --no-render", "import", "import again",
}

// tool is a program that carries repositories.
type tool struct {
	name, program string
	call          func(stage string, at places) []string // nil where the tool has no such stage
}

// places are what a call is about.
type places struct {
	source      string // the repository, by digest
	archive     string // a file
	destination string // a repository
	from, to    string // the registries' addresses
	blobs       string // a file with the blobs of the source, in JSON
}

func toolsOf(opt options) ([]tool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	tools := []tool{{"relocate", opt.relocate, relocateCall}, {floorName, self, floorCall}}
	for _, text := range opt.against {
		name, program, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("-against %s: want NAME=PATH", text)
		}
		call := relocateCall
		if strings.HasPrefix(name, "imgpkg") {
			call = imgpkgCall
		}
		tools = append(tools, tool{name, program, call})
	}
	return tools, nil
}

func relocateCall(stage string, at places) []string {
	args := map[string][]string{
		"plan":                 {"plan", "-b", at.source},
		"export":               {"-b", at.source, "--to-tar", at.archive},
		"verify":               {"verify", at.archive},
		"verify --no-render":   {"verify", at.archive, "--no-render"},
		"rehearse --no-render": {"rehearse", at.archive, "--no-render"},
		"import":               {"--from-tar", at.archive, "--to-repo", at.destination},
		"import again":         {"--from-tar", at.archive, "--to-repo", at.destination},
	}[stage]
	return append(args, "--progress", "none")
}

func imgpkgCall(stage string, at places) []string {
	return map[string][]string{
		"export":       {"copy", "-b", at.source, "--to-tar", at.archive},
		"import":       {"copy", "--tar", at.archive, "--to-repo", at.destination},
		"import again": {"copy", "--tar", at.archive, "--to-repo", at.destination},
	}[stage]
}

const floorName = "floor"

func floorCall(stage string, at places) []string {
	return map[string][]string{
		"export": {"floor", "export", at.from, at.blobs, at.archive},
		"import": {"floor", "import", at.to, at.blobs, at.archive},
		"verify": {"floor", "verify", at.archive},
	}[stage]
}

// crossing measures one repository on registries of one kind.
type crossing struct {
	tools  []tool
	stages []string
	rounds int
	kind   string
	delay  time.Duration // of each request

	dir      string
	source   *registry
	pushed   *generated.Repository
	costs    map[measurement][]measured.Cost
	requests map[measurement][2]int64 // all, writes
	sizes    map[string]int64         // of the archives, by tool
}

// measurement is a stage of a tool.
type measurement struct{ stage, tool string }

// run pushes the repository to a registry below dir, and does all rounds.
func (c *crossing) run(ctx context.Context, shape generated.Shape, dir string) (err error) {
	if c.dir, err = os.MkdirTemp(dir, "relocate-bench-*"); err != nil {
		return err
	}
	defer os.RemoveAll(c.dir)
	c.costs, c.requests, c.sizes = map[measurement][]measured.Cost{}, map[measurement][2]int64{}, map[string]int64{}
	if c.source, err = newRegistry(c.kind, filepath.Join(c.dir, "source")); err != nil {
		return err
	}
	if err := c.source.start(false, 0); err != nil {
		return err
	}
	c.pushed, err = generated.Push(ctx, c.source.address, shape)
	c.source.stop()
	if err != nil {
		return err
	}
	list, err := json.Marshal(c.pushed.Blobs)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "blobs.json"), list, 0o600); err != nil {
		return err
	}
	for round := range c.rounds + 1 { // the first one counts requests
		if err := c.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// round lets each tool do its stages.
func (c *crossing) round(ctx context.Context, round int) error {
	counted := round == 0
	if err := c.source.start(counted || c.delay > 0, c.delay); err != nil {
		return err
	}
	defer c.source.stop()
	first := round % len(c.tools)
	for _, t := range slices.Concat(c.tools[first:], c.tools[:first]) {
		if t.name == floorName && c.delay > 0 { // where round trips are all, it has no say
			continue
		}
		if err := c.tool(ctx, t, counted); err != nil {
			return err
		}
	}
	return nil
}

// tool does the stages of one tool. An export or import that others need is done in any case.
func (c *crossing) tool(ctx context.Context, t tool, counted bool) (err error) {
	destination, err := newRegistry(c.kind, filepath.Join(c.dir, "destination"))
	if err != nil {
		return err
	}
	if err := destination.start(counted || c.delay > 0, c.delay); err != nil {
		return err
	}
	defer func() {
		destination.stop()
		err = errors.Join(err, os.RemoveAll(destination.dir))
	}()
	at := places{
		source: c.pushed.Root.Name(), archive: filepath.Join(c.dir, "archive.tar"), blobs: filepath.Join(c.dir, "blobs.json"),
		destination: destination.address + "/bench/private/repository", from: c.source.address, to: destination.address,
	}
	defer os.Remove(at.archive)
	for _, stage := range stages {
		args := t.call(stage, at)
		if args == nil || (stage != "export" && !slices.Contains(c.stages, stage)) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.stage(measurement{stage, t.name}, t.program, args, counted, destination); err != nil {
			return err
		}
		switch {
		case stage == "export":
			info, err := os.Stat(at.archive)
			if err != nil {
				return err
			}
			c.sizes[t.name] = info.Size()
		case stage == "import" && t.name != floorName:
			if err := destination.holds("bench/private/repository", c.pushed.Root.DigestStr()); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	return nil
}

// stage runs a program once, with nothing left to write by what ran before.
func (c *crossing) stage(what measurement, program string, args []string, counted bool, destination *registry) error {
	if err := exec.Command("sync").Run(); err != nil {
		return err
	}
	counts := func() [2]int64 {
		return [2]int64{
			c.source.requests.Load() + destination.requests.Load(),
			c.source.writes.Load() + destination.writes.Load(),
		}
	}
	before := counts()
	cost, err := measured.Run(program, args...)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%-20s %-10s %8.2f s %8.2f CPU s %5d MiB\n",
		what.stage, what.tool, cost.Wall, cost.CPU, cost.Peak)
	if counted {
		after := counts()
		c.requests[what] = [2]int64{after[0] - before[0], after[1] - before[1]}
		return nil
	}
	c.costs[what] = append(c.costs[what], cost)
	return nil
}
