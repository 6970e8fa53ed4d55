package child

import (
	"os/exec"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaces are those of another program: no network, and no processes but its own, which end with
// it. A namespace of users makes them possible without privileges. Modes need none: see confine.
const namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID

// nobody is the user that a program is in its namespace.
const nobody = 65534

// refused says that the kernel refuses namespaces.
var refused atomic.Bool

// start starts what makes returns: another program in namespaces, where the kernel allows them.
func start(makes func() *exec.Cmd, other bool) (*exec.Cmd, error) {
	if other && !refused.Load() {
		cmd := makes()
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Setpgid:     true,
			Pdeathsig:   syscall.SIGKILL,
			Cloneflags:  namespaces,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: syscall.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: syscall.Getegid(), Size: 1}},
		}
		if cmd.Start() == nil {
			return cmd, nil
		}
	}
	cmd := makes()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if other {
		refused.Store(true)
	}
	return cmd, nil
}

// limit limits this process, and those that it becomes. RLIMIT_AS is of no use: a Go program maps
// more than a GiB that it never touches.
func limit(memory int64) error {
	if err := limitFiles(); err != nil || raceDetector {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(memory), Max: uint64(memory)})
}
