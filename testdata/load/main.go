// Command load runs the whole program against registries in memory with content that is generated, and
// never stored but in the archive. It prints the time and the peak memory of each step:
//
//	go run ./testdata/load -relocate bin/relocate -layers 32 -size 512 -dir /mnt/big
//	go run ./testdata/load -relocate bin/relocate -blobs 100000 -twice
//	go run ./testdata/load -relocate bin/relocate -table
//	go run ./testdata/load -relocate bin/relocate -clients 64 -layers 16 -dir /mnt/big
//
// With -twice it does everything a second time with twice as much, and prints how much longer that
// took: 2 is linear. CPU is what the program itself used; the registries run in this process, on the
// same processors. Memory is the kernel's VmHWM, on Linux.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

func main() {
	var s shape
	relocate := flag.String("relocate", "bin/relocate", "the program")
	dir := flag.String("dir", "", "where the archive goes")
	size := flag.Int64("size", 64, "MiB of each of the layers")
	twice := flag.Bool("twice", false, "do it again with twice as much")
	table := flag.Bool("table", false, "run the cases whose figures are promised")
	flag.IntVar(&s.layers, "layers", 0, "layers in one image")
	flag.IntVar(&s.blobs, "blobs", 0, "layers of 1 KiB, 100 in an image")
	flag.IntVar(&s.locks, "locks", 0, "images of one layer, in the locks of the nested bundles")
	flag.IntVar(&s.nesting, "nesting", 1, "bundles in one another")
	flag.IntVar(&s.packages, "packages", 0, "packages, each with a bundle for every version")
	flag.IntVar(&s.versions, "versions", 3, "versions of a package")
	clients := flag.Int("clients", 0, "measure serve, with so many clients at once")
	total := flag.Int64("total", 10<<10, "MiB that these take in all")
	flag.Parse()
	s.size = *size << 20
	if s.layers+s.blobs+s.locks+s.packages == 0 {
		s.layers = 8
	}
	if *clients > 0 {
		if err := serving(*relocate, *dir, s, *clients, *total<<20); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	cases := []shape{s}
	if *table {
		*twice = true
		cases = []shape{
			{name: "100,000 blobs of 1 KiB", blobs: 100_000},
			{name: "5,000 lock entries in one bundle", locks: 5_000}, // 16,000 are the most that 4 MiB of YAML hold
			{name: "10,000 lock entries in 5 nested bundles", locks: 10_000, nesting: 5},
			{name: "2,500 packages of 3 versions", packages: 2500, versions: 3},
			{name: "16 layers of 256 MiB", layers: 16, size: 256 << 20},
		}
	}
	for _, s := range cases {
		if err := compare(*relocate, *dir, s, *twice); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
	}
}

// compare prints what each step took for s, and for twice as much.
func compare(relocate, dir string, s shape, twice bool) error {
	once, err := run(relocate, dir, s)
	if err != nil {
		return err
	}
	again := make([]cost, len(once))
	if twice {
		if again, err = run(relocate, dir, s.twice()); err != nil {
			return err
		}
	}
	fmt.Printf("\n%s\n%-24s %9s %9s %9s", s, "", "wall s", "CPU s", "peak MiB")
	if twice {
		fmt.Printf("  twice as much: %9s %9s %9s %9s %9s", "wall s", "CPU s", "peak MiB", "wall ×", "CPU ×")
	}
	fmt.Println()
	for i, c := range once {
		fmt.Printf("%-24s %9.2f %9.2f %9d", c.step, c.Wall, c.CPU, c.Peak)
		if b := again[i]; twice {
			fmt.Printf("  %14s %9.2f %9.2f %9d %9.2f %9.2f", "", b.Wall, b.CPU, b.Peak, b.Wall/c.Wall, b.CPU/c.CPU)
		}
		fmt.Println()
	}
	return nil
}

// run takes s from one registry to another by way of an archive in a folder of its own in dir.
func run(relocate, dir string, s shape) ([]cost, error) {
	tmp, err := os.MkdirTemp(dir, "relocate-load-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	source := newGenerator()
	host, stop, err := serve(source)
	if err != nil {
		return nil, err
	}
	defer stop()
	ref, err := s.push(host, source)
	if err != nil {
		return nil, err
	}
	destination := &generator{small: maps.Clone(source.small), large: source.large, got: map[digest]bool{}}
	to, stopTo, err := serve(destination)
	if err != nil {
		return nil, err
	}
	defer stopTo()
	file, repo := filepath.Join(tmp, "load.tar"), to+"/airgap/load"
	var costs []cost
	for _, step := range []struct {
		name string
		args []string
	}{
		{"plan", []string{"plan", "-b", ref}},
		{"export", []string{"-b", ref, "--to-tar", file}},
		{"verify", []string{"verify", file}},
		{"import", []string{"--from-tar", file, "--to-repo", repo}},
		{"import again", []string{"--from-tar", file, "--to-repo", repo}},
		{"verify --repo", []string{"verify", "--repo", repo, file}},
		{"verify --repo, deep", []string{"verify", "--repo", repo, file, "--level", "deep"}},
		{"rehearse", []string{"rehearse", file}},
	} {
		c, err := measure(relocate, step.args)
		if err != nil {
			return nil, err
		}
		c.step = step.name
		costs = append(costs, c)
		if step.name == "verify" { // the cached file, by one core and without anything else: the limit, for each core
			c, err := hashAlone(file)
			if err != nil {
				return nil, err
			}
			costs = append(costs, c)
		}
	}
	return costs, nil
}
