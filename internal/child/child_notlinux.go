//go:build unix && !linux

package child

import (
	"os/exec"
	"syscall"
)

func start(makes func() *exec.Cmd, _ bool) (*exec.Cmd, error) {
	cmd := makes()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, cmd.Start()
}

func confine() {}

func limit(int64) error { return limitFiles() }
