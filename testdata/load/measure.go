package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// cost is what a step took.
type cost struct {
	step      string
	wall, cpu float64 // seconds
	peak      int     // MiB
}

// measure runs the program once.
func measure(relocate string, args []string) (cost, error) {
	cmd := exec.Command(relocate, append(args, "--progress", "none")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	// The memory that wait4 reports is also that of this process, from which the program was forked. So
	// the kernel is asked while the program runs.
	ended, peak := make(chan struct{}), make(chan int)
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	close(ended)
	c := cost{wall: time.Since(start).Seconds(), peak: <-peak >> 10}
	if err != nil {
		text := out.String()
		return c, fmt.Errorf("relocate %v: %w\n%s", args, err, text[:min(len(text), 2000)])
	}
	c.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return c, nil
}

// hashAlone reads a file once with one goroutine, and hashes it.
func hashAlone(path string) (cost, error) {
	f, err := os.Open(path)
	if err != nil {
		return cost{}, err
	}
	defer f.Close()
	start := time.Now()
	_, err = io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	wall := time.Since(start).Seconds()
	return cost{step: "SHA-256 alone, one core", wall: wall, cpu: wall}, err
}

// watch returns the most memory, in KiB, that a process had until shortly before it ended; 0 where the
// system does not tell.
func watch(pid int, ended <-chan struct{}) int {
	peak := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
			if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
				peak = max(peak, n)
			}
		}
		select {
		case <-ended:
			return peak
		case <-tick.C:
		}
	}
}
