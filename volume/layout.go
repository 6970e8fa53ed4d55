package volume

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Limits of a set.
const (
	Block      = 512            // sizes are multiples of it
	MinSize    = 8 * Block      // bytes of a volume
	maxVolumes = 2000           // with parity; each is an open file
	maxFile    = int64(1 << 62) // bytes
)

// ErrLayout says that a file cannot be cut in this way.
var ErrLayout = errors.New("cannot be cut into volumes")

// Layout says how a file is cut into volumes. Volumes are counted from 0, parity volumes after the
// others.
type Layout struct {
	Size   int64 // bytes of the file
	Volume int64 // bytes of each volume but the last
	Parity int   // volumes
}

// Check refuses a layout that breaks a limit.
//
// Errors: ErrLayout.
func (l Layout) Check() error {
	switch {
	case l.Size <= 0 || l.Size > maxFile || l.Size%Block != 0:
		return fmt.Errorf("a file of %d bytes %w", l.Size, ErrLayout)
	case l.Volume < MinSize || l.Volume%Block != 0:
		return fmt.Errorf("a file %w of %d bytes: use a multiple of %d, at least %d", ErrLayout, l.Volume, Block, MinSize)
	case l.Parity < 0 || l.Parity > maxVolumes:
		return fmt.Errorf("a file %w with %d parity volumes", ErrLayout, l.Parity)
	case (l.Size-1)/l.Volume+1 > int64(maxVolumes-l.Parity):
		return fmt.Errorf("a file of %d bytes %w of %d bytes with %d for parity: a set has at most %d", l.Size, ErrLayout, l.Volume, l.Parity, maxVolumes)
	}
	return nil
}

// Volumes returns how many volumes hold the file.
func (l Layout) Volumes() int { return int((l.Size-1)/l.Volume) + 1 }

// All returns how many volumes there are, with parity.
func (l Layout) All() int { return l.Volumes() + l.Parity }

// SizeOf returns the size of volume i in bytes.
func (l Layout) SizeOf(i int) int64 {
	if i >= l.Volumes() {
		return l.shard()
	}
	return min(l.Volume, l.Size-int64(i)*l.Volume)
}

// shard returns the size of the largest volume, which all have for parity.
func (l Layout) shard() int64 { return min(l.Volume, l.Size) }

// Name returns the name of volume i of the file.
func (l Layout) Name(file string, i int) string {
	digits := 3
	if max(l.Volumes(), l.Parity) > 999 {
		digits = 4
	}
	parity := ""
	if n := l.Volumes(); i >= n {
		i, parity = i-n, "p"
	}
	return fmt.Sprintf("%s.%s%0*d", file, parity, digits, i+1)
}

// span is a part of a volume.
type span struct {
	volume int
	at     int64 // of the volume
	n      int   // bytes
}

// spans returns where n bytes of the file from offset on are, at most up to the end of the file.
func (l Layout) spans(offset int64, n int) []span {
	var list []span
	for n > 0 && offset < l.Size {
		i, at := int(offset/l.Volume), offset%l.Volume
		part := int(min(int64(n), l.SizeOf(i)-at))
		list = append(list, span{i, at, part})
		offset, n = offset+int64(part), n-part
	}
	return list
}

// Of returns the numbers of the volumes that hold n bytes of the file from offset on: first to last.
func (l Layout) Of(offset, n int64) (first, last int) {
	return int(offset / l.Volume), int((offset + max(n, 1) - 1) / l.Volume)
}

// ListName returns the name of the list of the file.
func ListName(file string) string { return file + ".volumes" }

var volumeName = regexp.MustCompile(`^(.+)\.p?[0-9]{3,4}$`)

// File returns the name of the file that a volume is of, by its own name; "" when it is not the name of
// a volume.
func File(name string) string {
	m := volumeName.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	return m[1]
}

// number returns the number of the volume with that name; -1 when the set has none.
func (l Layout) number(file, name string) int {
	rest, ok := strings.CutPrefix(name, file+".")
	digits, parity := strings.CutPrefix(rest, "p")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 {
		return -1
	}
	if n--; parity {
		n += l.Volumes()
	}
	if n >= l.All() || l.Name(file, n) != name {
		return -1
	}
	return n
}
