package selfimage

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
)

// ErrProgram says that a program cannot run in an image that has nothing else; the message says why.
var ErrProgram = errors.New("not a program that runs on its own")

// machines are the architectures, as ELF calls them.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// NewProgram returns the program in an ELF file, whose header has the architecture. Build checks the rest.
//
// Errors: ErrProgram.
func NewProgram(binary []byte) (Program, error) {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return Program{}, fmt.Errorf("%w: it is not a Linux executable: %w", ErrProgram, err)
	}
	for architecture, machine := range machines {
		if f.Machine == machine {
			return Program{architecture, binary}, nil
		}
	}
	return Program{}, fmt.Errorf("%w: unsupported processor %s", ErrProgram, f.Machine)
}

// check says whether a program runs from scratch: a static executable for the platform.
func check(p Program) error {
	machine, ok := machines[p.Architecture]
	if !ok {
		return fmt.Errorf("%w: unsupported architecture %q", ErrProgram, p.Architecture)
	}
	f, err := elf.NewFile(bytes.NewReader(p.Binary))
	if err != nil {
		return fmt.Errorf("%w: it is not a Linux executable: %w", ErrProgram, err)
	}
	if f.Machine != machine {
		return fmt.Errorf("%w: it is for another processor (%s)", ErrProgram, f.Machine)
	}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%w: it is dynamically linked; build it with CGO_ENABLED=0", ErrProgram)
		}
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN { // ET_DYN: position-independent
		return fmt.Errorf("%w: it is no executable (%s)", ErrProgram, f.Type)
	}
	return nil
}
