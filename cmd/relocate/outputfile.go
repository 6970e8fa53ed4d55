package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	if what := carriedIn(path); what != "" {
		return "", usagef("%sis %s, which would be replaced; name another file", at, what)
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

// carriedIn says which file that crosses the gap is at path, as an input of this command or of a later one;
// "" for none. No report is one.
func carriedIn(path string) string {
	const magic = 257 // of a tar's header, POSIX.1-1988
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	switch head = head[:n]; {
	case len(head) > magic && bytes.HasPrefix(head[magic:], []byte("ustar")):
		return "an archive"
	case bytes.HasPrefix(head, []byte("relocate inventory ")):
		return "an inventory"
	}
	return ""
}
