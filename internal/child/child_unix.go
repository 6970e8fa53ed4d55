//go:build unix

package child

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// canExec says that a process can become another program.
const canExec = true

// maxFiles is the limit of open files of a child.
const maxFiles = 64

func become(path string, args, env []string) error { return syscall.Exec(path, args, env) }

// end ends a child with its group.
func end(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// limitFiles limits how many files this process opens, lets it write none, and leave no core.
func limitFiles() error {
	for resource, n := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: maxFiles} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	return nil
}
