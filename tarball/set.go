package tarball

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/volume"
)

// ErrVolume says that a file is a volume, or the list of a set, and not the name of the archive.
var ErrVolume = errors.New("is a part of an archive in volumes")

// openSet opens the archive in volumes at path; nil when there is none.
func openSet(path string, folders []string) (*Archive, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, checkWhole(path, folders)
	}
	if !volume.Exists(path, folders) {
		return nil, nil
	}
	set, err := volume.Open(path, folders...)
	if err != nil {
		return nil, err
	}
	a, err := OpenSet(set)
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return a, nil
}

// checkWhole refuses a volume, or a list, in place of the archive.
func checkWhole(path string, folders []string) error {
	file := volume.File(path)
	if name, isList := strings.CutSuffix(path, volume.ListName("")); isList {
		file = name
	}
	if file != "" && volume.Exists(file, folders) {
		return fmt.Errorf("%s %w: %s", path, ErrVolume, file)
	}
	return nil
}

// OpenSet opens the archive that is in the volumes of set, as Open does. Closing it closes the set.
func OpenSet(set *volume.Set) (*Archive, error) {
	a, err := NewArchive(set, set.Size)
	if isOfFile(err) {
		return nil, fmt.Errorf("%s %w", set.Path(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", set.Path(), err)
	}
	if seal := a.Seal().String(); seal != set.Seal {
		return nil, fmt.Errorf("%s %w: the list of its volumes has the seal %s, its documents have %s", set.Path(), ErrDamaged, set.Seal, seal)
	}
	a.set = set
	return a, nil
}

// isOfFile reports whether an error says what is wrong with a file.
func isOfFile(err error) bool {
	return errors.Is(err, ErrNotArchive) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrDamaged)
}

// Volumes returns the volumes that Open opened; nil of an archive in one file.
func (a *Archive) Volumes() *volume.Set { return a.set }

// Complete returns an error when the archive is in volumes, and one of them is missing, apart from those
// for parity.
//
// Errors: *volume.MissingError.
func (a *Archive) Complete() error {
	if a.set == nil || a.set.Has(0, a.set.Size) {
		return nil
	}
	return fmt.Errorf("%s is not complete: %w", a.Name(), a.set.Lack(a.set.Missing()[0]))
}

// Has reports whether the content of a blob is in volumes that are there. Of an archive in one file it
// reports whether the blob is a member.
func (a *Archive) Has(d v1.Hash) bool {
	i, ok := a.index[d]
	return ok && !a.lacks(a.l.offsets[i]+blockSize, a.l.blobs[i].Size)
}

// lacks reports whether one of n bytes from offset on is in a missing volume.
func (a *Archive) lacks(offset, n int64) bool { return a.set != nil && !a.set.Has(offset, n) }

// In returns the digests of the blobs, in file order, that are in volume i, in whole or in part. It is for
// an archive in volumes.
func (a *Archive) In(i int) (list []v1.Hash) {
	for at, b := range a.l.blobs {
		if first, last := a.set.Of(a.l.offsets[at], blockSize+b.Size); first <= i && i <= last {
			list = append(list, b.Digest)
		}
	}
	return list
}

// VolumesOf names the volumes in which damage is; empty where the archive is in one file.
func (a *Archive) VolumesOf(d Damage) string {
	if a.set == nil {
		return ""
	}
	return a.set.Where(d.Offset, a.extent(d))
}

// extent returns how many bytes damage may have: of a blob only its digest is known to be wrong.
func (a *Archive) extent(d Damage) int64 {
	if i, ok := a.index[d.Digest]; ok {
		return a.l.blobs[i].Size
	}
	return 1
}

// Numbers returns the numbers of the volumes in which damage is, in order.
func (a *Archive) Numbers(damage []Damage) (list []int) {
	for _, d := range damage {
		first, last := a.set.Of(d.Offset, a.extent(d))
		for i := first; i <= last; i++ {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// volumesUnchanged is Unchanged of an archive in volumes.
func (a *Archive) volumesUnchanged() error {
	name, err := a.set.Changed()
	if err == nil && name != "" {
		err = fmt.Errorf("%s %w: it was changed while it was read", name, ErrDamaged)
	}
	return err
}
