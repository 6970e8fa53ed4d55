package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"relocate/internal/ownfile"
)

// TooManyError says that more volumes are lost or damaged than can be rebuilt.
type TooManyError struct {
	Wrong  int // volumes
	Parity int // volumes that the set has
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("%d volumes are lost or damaged; with %d for parity, at most %d can be rebuilt", e.Wrong, e.Parity, e.Parity)
}

// ErrRebuilt says that a volume was rebuilt to other bytes than its list says.
var ErrRebuilt = errors.New("was not rebuilt: the list, or another volume, was changed")

// repairSuffix ends the name of a volume that is being rebuilt.
const repairSuffix = ".repair"

// Rebuilding is a set of which some volumes were rebuilt. Accept or Discard ends it.
type Rebuilding struct {
	set     *Set
	numbers []int
	old     []*os.File // that were damaged; nil for lost ones
}

// Rebuild computes volumes from all others, in files beside the list, and compares them with the list.
// From then on the set is read with them. They get their names by Accept, once the caller has checked
// that the file is what it should be: the list proves nothing. progress is as for Check.
//
// Errors: *TooManyError, ErrRebuilt; those of files; that of ctx.
func (s *Set) Rebuild(ctx context.Context, numbers []int, progress func(bytes int64)) (_ *Rebuilding, err error) {
	if len(numbers) > s.Parity {
		return nil, &TooManyError{len(numbers), s.Parity}
	}
	r := &Rebuilding{set: s, numbers: numbers}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Discard())
		}
	}()
	from, into := s.files(), make([]*os.File, s.All())
	for _, i := range numbers {
		from[i] = nil
		if into[i], err = createOwn(s.Name(s.path, i) + repairSuffix); err != nil {
			return nil, err
		}
		r.old = append(r.old, s.volumes[i].file)
		s.volumes[i].file = into[i]
	}
	if err := s.rebuild(ctx, from, into, progress); err != nil {
		return nil, err
	}
	return r, nil
}

// files returns the volumes that were found; nil for the others.
func (s *Set) files() []*os.File {
	var list []*os.File
	for _, v := range s.volumes {
		list = append(list, v.file)
	}
	return list
}

// rebuild computes into from from: volumes, nil where there is none.
func (s *Set) rebuild(ctx context.Context, from, into []*os.File, progress func(int64)) error {
	st, err := newStripes(s.Layout)
	if err != nil {
		return err
	}
	err = st.each(ctx, func(at int64, size int) error {
		if err := st.read(from, at, size, progress); err != nil {
			return err
		}
		if err := st.compute(size, st.code.Reconstruct); err != nil {
			return err
		}
		return st.write(into, 0, at, size)
	})
	if err != nil {
		return err
	}
	for i, sum := range st.sums() {
		if into[i] == nil {
			continue
		}
		if sum != s.Sums[i] {
			return fmt.Errorf("%s %w", s.VolumeName(i), ErrRebuilt)
		}
		if s.volumes[i].info, err = into[i].Stat(); err != nil {
			return err
		}
	}
	return nil
}

// Accept makes what was rebuilt durable and gives it its names, in place of what was damaged in the
// folder of the list.
func (r *Rebuilding) Accept() error {
	for at, i := range r.numbers {
		f := r.set.volumes[i].file
		if err := errors.Join(f.Sync(), ownfile.CheckSame(f)); err != nil {
			return err
		}
		if r.old[at] != nil {
			_ = r.old[at].Close() // Windows does not replace a file that is open
		}
		name := r.set.Name(r.set.path, i)
		if err := os.Rename(name+repairSuffix, name); err != nil {
			return err
		}
	}
	return ownfile.SyncDir(filepath.Dir(r.set.path))
}

// Discard removes what was rebuilt and has no name yet.
func (r *Rebuilding) Discard() error {
	var errs []error
	for at := range r.old {
		v := &r.set.volumes[r.numbers[at]]
		errs = append(errs, v.file.Close(), os.Remove(r.set.Name(r.set.path, r.numbers[at])+repairSuffix))
		v.file = r.old[at]
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, fs.ErrNotExist) })
	return errors.Join(errs...)
}

// WriteList writes the list into the folder of the file, where it is missing or damaged.
func (s *Set) WriteList() error {
	path := ListName(s.path)
	if _, err := readList(path); err == nil {
		return nil
	}
	if err := writeDurable(path+repairSuffix, s.encode()); err != nil {
		return err
	}
	if err := os.Rename(path+repairSuffix, path); err != nil {
		return err
	}
	return ownfile.SyncDir(filepath.Dir(path))
}
