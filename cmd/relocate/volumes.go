package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"relocate/tarball"
	"relocate/volume"
)

// cutFlags say how an archive is cut into volumes.
type cutFlags struct {
	size   byteSize
	parity int
}

func (f *cutFlags) add(flags *pflag.FlagSet) {
	flags.Var(&f.size, "volume-size", "cut the archive into volumes FILE.001, FILE.002, … of at most `SIZE`, such as 4000MiB")
	flags.IntVar(&f.parity, "parity", 0, "add `N` volumes, from which relocate repair rebuilds any N lost or damaged ones")
}

// checks are about an export. isFile says that it goes to a file.
func (f *cutFlags) checks(isFile bool, form tarFormat) []check {
	isCut := f.size > 0
	return []check{
		{isCut && !isFile, "--volume-size needs --to-tar FILE: a stream is not cut into volumes"},
		{f.parity != 0 && !isCut, "--parity needs --volume-size"},
		{f.parity < 0, "--parity " + strconv.Itoa(f.parity) + ": must not be negative"},
		{isCut && form.Format == tarball.Imgpkg, "--volume-size cannot be used with --tar-format imgpkg, which has no seal to check volumes with"},
	}
}

// byteSize is a flag's value: bytes, rounded down to a whole number of blocks.
type byteSize int64

// units are what a size may end in, long ones first.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// Set implements pflag.Value.
func (s *byteSize) Set(text string) error {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n <= 0 || n > (1<<62)/unit.bytes {
			break
		}
		if *s = byteSize(n * unit.bytes / volume.Block * volume.Block); *s < volume.MinSize {
			return errors.New("must be at least " + strconv.Itoa(volume.MinSize) + " bytes")
		}
		return nil
	}
	return errors.New("must be a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 4000MiB")
}

// String implements pflag.Value.
func (s *byteSize) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type implements pflag.Value.
func (s *byteSize) Type() string { return "SIZE" }

// addFolders adds the flag for further folders of volumes.
func addFolders(flags *pflag.FlagSet, folders *[]string) {
	flags.StringArrayVar(folders, "volumes", nil, "also look for the archive's volumes in the folder `DIR`, or at a "+
		"URL (repeatable)")
}

// isVolume reports whether a file is a volume whose list is in its folder, or in another one.
func isVolume(path string, folders []string) bool {
	file := volume.File(path)
	return file != "" && isFile(path) && (volume.Exists(file, folders) && !volume.Exists(path, folders))
}
