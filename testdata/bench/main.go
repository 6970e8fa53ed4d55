// Command bench times a whole crossing: a generated package repository goes from a real registry into an
// archive, and out of it into another, with relocate and in turn with other tools. It prints tables for
// docs/performance.md:
//
//	make bench-crossing
//	go run ./testdata/bench -relocate bin/relocate -against imgpkg=/usr/bin/imgpkg -rounds 5
//	go run ./testdata/bench -relocate bin/relocate -against before=/tmp/relocate -shapes small -stages export
//	go run ./testdata/bench -relocate bin/relocate -registries /opt/zot -scale 0.1
//
// A tool whose name begins with imgpkg is called as imgpkg, any other as relocate. The tools take turns,
// and each round another begins. Before the rounds goes one whose times do not count: it fills the
// caches, and a proxy counts its requests. Wall time is only worth something on a machine that does
// nothing else; ratios of tools in one run hold on others, too.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"relocate/testdata/generated"
)

// repository is what is carried.
type repository struct {
	name, title string
	generated.Shape
	delay time.Duration // of each request
}

var repositories = []repository{
	{"tce", "Like Tanzu Community Edition", generated.TCE, 0},
	{"small", "Many small blobs", generated.Small, 0},
	{"big", "Few big blobs", generated.Big, 0},
	{"delay", "Like Tanzu Community Edition with small layers, 20 ms a request", generated.Delay, 20 * time.Millisecond},
}

type options struct {
	relocate                   string
	against                    []string // NAME=PATH
	registries, shapes, stages string   // separated by commas
	rounds                     int
	scale                      float64
	dir                        string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		exit(floor(os.Args[2:]))
	}
	var opt options
	flag.StringVar(&opt.relocate, "relocate", "bin/relocate", "the program")
	flag.Func("against", "another `NAME=PATH` to compare with; may be repeated", func(text string) error {
		opt.against = append(opt.against, text)
		return nil
	})
	flag.StringVar(&opt.registries, "registries", "docker-registry,distribution",
		"docker-registry, distribution (version 3, built from testdata/registry), paths of zot")
	flag.StringVar(&opt.shapes, "shapes", "tce,small,big,delay", "of the repositories")
	flag.StringVar(&opt.stages, "stages", strings.Join(stages, ","), "what is measured")
	flag.IntVar(&opt.rounds, "rounds", 5, "how often; medians are printed")
	flag.Float64Var(&opt.scale, "scale", 1, "how many packages, or how large layers, as a factor")
	flag.StringVar(&opt.dir, "dir", "", "`folder` for registries and archives, 15 GB at scale 1; empty: a temporary one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, opt))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run measures every shape on every registry.
func run(ctx context.Context, opt options) error {
	tools, err := toolsOf(opt)
	if err != nil {
		return err
	}
	chosen := strings.Split(opt.stages, ",")
	for _, stage := range chosen {
		if !slices.Contains(stages, stage) {
			return fmt.Errorf("-stages: %q is none of %s", stage, strings.Join(stages, ","))
		}
	}
	printMachine(tools)
	for _, kind := range strings.Split(opt.registries, ",") {
		for _, name := range strings.Split(opt.shapes, ",") {
			i := slices.IndexFunc(repositories, func(r repository) bool { return r.name == name })
			if i < 0 {
				return fmt.Errorf("there is no shape %q", name)
			}
			c := &crossing{tools: tools, stages: chosen, rounds: opt.rounds, kind: kind, delay: repositories[i].delay}
			if err := c.run(ctx, repositories[i].Scale(opt.scale), opt.dir); err != nil {
				return fmt.Errorf("%s, %s: %w", kind, name, err)
			}
			c.print(fmt.Sprintf("%s, %s", repositories[i].title, filepath.Base(kind)))
		}
	}
	return nil
}
