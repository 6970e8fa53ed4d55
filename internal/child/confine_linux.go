package child

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// architectures are those of the system calls that a program of relocate makes.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// refusedCalls are the system calls that no mode needs: for a network, for processes and programs,
// and to look into other processes.
var refusedCalls = []uint32{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_IO_URING_SETUP, unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
}

const (
	fork, vfork = 57, 58  // on amd64; arm64 has none
	otherABI    = 1 << 30 // and above, on amd64: the calls of another ABI
)

// confine has the kernel refuse a mode the system calls that it does not need. A kernel without
// filters refuses nothing. A namespace would cost more: the parent's memory is copied for it.
func confine() {
	arch, known := architectures[runtime.GOARCH]
	if !known {
		return
	}
	filter := filterOf(arch)
	runtime.LockOSThread() // the two calls are of one thread; the second one is for all
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil {
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		_, _, _ = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	}
}

// filterOf returns the filter of system calls. Its data is the kernel's struct seccomp_data: number,
// architecture, instruction pointer, arguments.
func filterOf(arch uint32) (filter []unix.SockFilter) {
	add := func(code uint16, k uint32, jumpTrue, jumpFalse uint8) {
		filter = append(filter, unix.SockFilter{Code: code, Jt: jumpTrue, Jf: jumpFalse, K: k})
	}
	load := func(offset uint32) { add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
	// returns ends the filter where the test is true, or where it is false.
	returns := func(test uint16, k uint32, when bool, action uint32) {
		if when {
			add(unix.BPF_JMP|test|unix.BPF_K, k, 0, 1)
		} else {
			add(unix.BPF_JMP|test|unix.BPF_K, k, 1, 0)
		}
		add(unix.BPF_RET|unix.BPF_K, action, 0, 0)
	}
	const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	load(4)
	returns(unix.BPF_JEQ, arch, false, refuse)
	load(0)
	calls := refusedCalls
	if arch == unix.AUDIT_ARCH_X86_64 {
		returns(unix.BPF_JGE, otherABI, true, refuse)
		calls = append(calls[:len(calls):len(calls)], fork, vfork)
	}
	for _, call := range calls {
		returns(unix.BPF_JEQ, call, true, refuse)
	}
	// clone3 has its flags in memory, where a filter cannot see them. Without it programs use clone.
	returns(unix.BPF_JEQ, unix.SYS_CLONE3, true, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))
	returns(unix.BPF_JEQ, unix.SYS_CLONE, false, unix.SECCOMP_RET_ALLOW)
	load(16) // the flags: the lower half of the first argument
	returns(unix.BPF_JSET, unix.CLONE_THREAD, true, unix.SECCOMP_RET_ALLOW)
	add(unix.BPF_RET|unix.BPF_K, refuse, 0, 0)
	return filter
}
