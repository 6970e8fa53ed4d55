package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"relocate/testdata/measured"
)

// printMachine says where and with what the figures were taken.
func printMachine(tools []tool) {
	fmt.Printf("%s, %d × %s, %s of memory, %s %s/%s\n\n", time.Now().Format("2006-01-02"), runtime.NumCPU(),
		field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"), firstLine("uname", "-sr"),
		runtime.GOOS, runtime.GOARCH)
	fmt.Printf("```\ngo run ./testdata/bench %s\n```\n", strings.Join(os.Args[1:], " "))
	for _, t := range tools {
		if t.name != floorName {
			fmt.Printf("\n- %s: %s", t.name, firstLine(t.program, "version"))
		}
	}
	fmt.Println()
}

// field returns a field of a file of the kernel, which other systems do not have.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}

func firstLine(program string, args ...string) string {
	out, _ := exec.Command(program, args...).Output() // what is not known is not worth an error
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// print prints a table of medians.
func (c *crossing) print(title string) {
	p := c.pushed
	fmt.Printf("\n### %s\n\n%d bundles, %d images, %d manifests, %d blobs of %.3f GB; medians of %d\n\n", title,
		p.Bundles, p.Images, p.Manifests, len(p.Blobs), float64(p.Bytes)/1e9, c.rounds)
	fmt.Println("| stage | tool | wall s | least–most | CPU s | peak MiB | requests | writes" +
		" | relocate ÷ it: wall | CPU | requests |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, stage := range c.stages {
		ours := c.medians(measurement{stage, "relocate"})
		for _, t := range c.tools {
			what := measurement{stage, t.name}
			if len(c.costs[what]) == 0 {
				continue
			}
			m, requests := c.medians(what), c.requests[what]
			walls := sorted(c.costs[what], func(c measured.Cost) float64 { return c.Wall })
			fmt.Printf("| %s | %s | %.2f | %.2f–%.2f | %.2f | %d | %d | %d |", stage, t.name,
				m.Wall, walls[0], walls[len(walls)-1], m.CPU, m.Peak, requests[0], requests[1])
			if t.name == "relocate" || ours.Wall == 0 {
				fmt.Println(" | | |")
				continue
			}
			fmt.Printf(" %s | %s | %s |\n", ratio(ours.Wall, m.Wall), ratio(ours.CPU, m.CPU),
				ratio(float64(c.requests[measurement{stage, "relocate"}][0]), float64(requests[0])))
		}
	}
	fmt.Print("\nArchive ÷ bytes of the blobs:")
	for _, t := range c.tools {
		if size := c.sizes[t.name]; size > 0 && t.name != floorName {
			fmt.Printf(" %s %.4f", t.name, float64(size)/float64(p.Bytes))
		}
	}
	fmt.Println()
}

// medians returns what a stage of a tool takes; zero where it was not run.
func (c *crossing) medians(what measurement) measured.Cost {
	costs := c.costs[what]
	if len(costs) == 0 {
		return measured.Cost{}
	}
	median := func(of func(measured.Cost) float64) float64 {
		values := sorted(costs, of)
		n := len(values)
		return (values[(n-1)/2] + values[n/2]) / 2
	}
	return measured.Cost{
		Wall: median(func(c measured.Cost) float64 { return c.Wall }),
		CPU:  median(func(c measured.Cost) float64 { return c.CPU }),
		Peak: int(median(func(c measured.Cost) float64 { return float64(c.Peak) })),
	}
}

func sorted(costs []measured.Cost, of func(measured.Cost) float64) (values []float64) {
	for _, c := range costs {
		values = append(values, of(c))
	}
	slices.Sort(values)
	return values
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}
