package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"relocate/internal/outfile"
)

// isStream reports whether an archive goes to path from its beginning to its end.
func isStream(path string) bool { return path == stream || outfile.IsStream(path) }

// checkOutput refuses a file that cannot be written, and returns its absolute path.
func checkOutput(flag, file string) (string, error) {
	at := flag + " " + file + ": "
	path, err := filepath.Abs(file)
	if err != nil {
		return "", usagef("%s%w", at, err)
	}
	info, err := os.Lstat(path)
	isOther := err == nil && !info.Mode().IsRegular() // a link, too
	if err := firstWrong(
		check{strings.Contains(file, "://"), at + "is a URL; name a file"},
		check{!isFolder(filepath.Dir(path)), at + "no such folder: " + filepath.Dir(file)},
		check{file == stream, flag + " -: name a file"},
		check{flag == "--to-tar" && isOther, at + "is not a regular file"}, // a rename would replace it
	); err != nil {
		return "", err
	}
	if flag == "--to-tar" { // written beside it, from the start
		return path, nil
	}
	err = outfile.Check(path)
	if errors.Is(err, outfile.ErrNotRegular) {
		return "", usagef("%s%w", at, err)
	}
	if err != nil {
		return "", fmt.Errorf("%s%w", at, err)
	}
	return path, nil
}
