package volume

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// ErrList says that a list of volumes is damaged, or is none.
var ErrList = errors.New("is not a whole list of volumes")

// MaxList is the largest list that is read, in bytes: enough for all volumes with the longest names.
const MaxList = 1 << 20

// maxName is the longest name of a file, in bytes: its volumes' names must fit into a folder, too.
const maxName = 240

// List is what lies beside each volume. Nothing but the content of the file proves it.
type List struct {
	File string // base name of the file
	Seal string // "sha256:<hex>", which names the content of the file
	Layout
	Sums [][sha256.Size]byte // of each volume
}

// code returns how parity is computed.
func (l Layout) code() string {
	switch {
	case l.Parity == 0:
		return "none"
	case l.All() <= 256:
		return "rs8"
	}
	return "leopard16"
}

// encode returns the text of the list.
func (l *List) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# relocate volumes 1\n# file %d %s\n# volume %d\n# parity %d %s\n", l.Size, l.Seal, l.Volume, l.Parity, l.code())
	for i, sum := range l.Sums {
		fmt.Fprintf(&b, "%x  %s\n", sum, l.Name(l.File, i))
	}
	fmt.Fprintf(&b, "# list %x\n", sha256.Sum256(b.Bytes()))
	return b.Bytes()
}

var seal = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// CheckName refuses the name of a file that a list cannot hold.
//
// Errors: ErrLayout.
func CheckName(file string) error {
	for _, r := range file {
		if r < ' ' || r == 0x7f || r == '\\' || r == '/' {
			return fmt.Errorf("%q %w: its name has the character %q", file, ErrLayout, r)
		}
	}
	if file == "" || len(file) > maxName {
		return fmt.Errorf("a file %w: its name has %d bytes; at most %d are possible", ErrLayout, len(file), maxName)
	}
	return nil
}

// ParseList parses a list.
//
// Errors: ErrList.
func ParseList(text []byte) (*List, error) {
	l := &List{}
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) < 6 || lines[0] != "# relocate volumes 1\n" {
		return nil, ErrList
	}
	var code string
	_, err1 := fmt.Sscanf(lines[1], "# file %d %s\n", &l.Size, &l.Seal)
	_, err2 := fmt.Sscanf(lines[2], "# volume %d\n", &l.Volume)
	_, err3 := fmt.Sscanf(lines[3], "# parity %d %s\n", &l.Parity, &code)
	if err := errors.Join(err1, err2, err3); err != nil || l.Check() != nil || !seal.MatchString(l.Seal) {
		return nil, fmt.Errorf("%w: its first lines are damaged", ErrList)
	}
	for i, line := range lines[4:min(len(lines), 4+l.All())] {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		raw, err := hex.DecodeString(sum)
		if i == 0 {
			l.File = File(name)
		}
		if err != nil || len(raw) != sha256.Size || CheckName(l.File) != nil {
			return nil, fmt.Errorf("%w: line %d is damaged", ErrList, i+5)
		}
		l.Sums = append(l.Sums, [sha256.Size]byte(raw))
	}
	if len(l.Sums) != l.All() || !bytes.Equal(l.encode(), text) {
		return nil, fmt.Errorf("%w: it is not as it was written", ErrList)
	}
	return l, nil
}

// readList reads the list at path.
//
// Errors: ErrList; those of opening a file.
func readList(path string) (*List, error) {
	f, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read only
	text, err := io.ReadAll(io.LimitReader(f, MaxList+1))
	if err != nil {
		return nil, err
	}
	l, err := ParseList(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return l, nil
}

// errKind says that something is in the place of a file.
var errKind = errors.New("it is not a regular file")

// openFile opens a regular file to read.
func openFile(path string) (*os.File, os.FileInfo, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a FIFO would block
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: errKind}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errKind}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}
