// Package measured runs a program and says what it took.
package measured

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Cost is what a run took. CPU is that of the program and its children.
type Cost struct {
	Wall, CPU float64 // seconds
	Peak      int     // MiB of the largest process, the program or a child of it; 0 where the system does not tell
}

// Run runs a program once, in this process's environment.
func Run(program string, args ...string) (Cost, error) {
	cmd := exec.Command(program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Cost{}, err
	}
	// The memory that wait4 reports is also that of this process, from which the program was forked. So
	// the kernel is asked while the program runs.
	ended, peak := make(chan struct{}), make(chan int)
	go func() { peak <- Watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	close(ended)
	c := Cost{Wall: time.Since(start).Seconds(), Peak: <-peak >> 10}
	if err != nil {
		text := out.String()
		return c, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, text[:min(len(text), 2000)])
	}
	c.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return c, nil
}

// Watch returns the most memory, in KiB, that a process or one of its children had until shortly before it
// ended, as Linux tells (VmHWM in proc(5)); 0 elsewhere.
func Watch(pid int, ended <-chan struct{}) int {
	peak := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		peak = max(peak, peakOf(pid))
		for _, child := range children(pid) {
			peak = max(peak, peakOf(child))
		}
		select {
		case <-ended:
			return peak
		case <-tick.C:
		}
	}
}

func peakOf(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, ok := strings.Cut(string(text), "VmHWM:")
	if !ok {
		return 0
	}
	n, _ := strconv.Atoi(strings.Fields(rest)[0])
	return n
}

// children returns the children that any thread of a process has started.
func children(pid int) (pids []int) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, thread := range threads {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		for _, field := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(field); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
