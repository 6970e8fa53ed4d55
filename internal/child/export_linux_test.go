package child

import (
	"os"
	"runtime"
)

const RaceDetector = raceDetector

var Environment = environment

// Filters reports whether the kernel has filters of system calls.
func Filters() bool {
	_, err := os.Stat("/proc/sys/kernel/seccomp")
	return err == nil && architectures[runtime.GOARCH] != 0
}

// Namespaces reports whether the kernel allows namespaces, once another program has run.
func Namespaces() bool { return !refused.Load() }

// RefuseNamespaces does as if the kernel allowed none, until what it returns is called.
func RefuseNamespaces() (undo func()) {
	before := refused.Swap(true)
	return func() { refused.Store(before) }
}
