package main

import (
	"fmt"
	"io"
	"strings"
)

// upload has the flags with which a program stores a stream of a known size in an object store.
type upload struct {
	Tool     string   `json:"tool"`
	Flags    []string `json:"flags,omitempty"`    // none: its defaults are enough
	TooLarge bool     `json:"tooLarge,omitempty"` // it cannot store so much
}

// Limits in bytes. docs/objectstore.md has the versions of the programs.
const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
	tebibyte = 1 << 40
	s3Parts  = 10_000 // of 5 GiB at most
	blocks   = 50_000 // of Azure, of 4000 MiB at most
)

// uploaders are the usual programs. most is the largest object that they can store, unflagged the largest without
// flags.
var uploaders = []struct {
	tool, to        string // its destination, on the command line
	most, unflagged int64
	flags           func(size int64) []string
}{
	{"aws s3 cp", "- s3://BUCKET/KEY", s3Parts * 5 * gibibyte, 50e9, func(size int64) []string {
		return []string{"--expected-size", fmt.Sprint(size)}
	}},
	{"rclone rcat", "REMOTE:PATH", s3Parts * 5 * gibibyte, s3Parts * 5 * mebibyte, func(size int64) []string {
		return []string{"--s3-chunk-size", fmt.Sprintf("%dMi", partOf(size, s3Parts))}
	}},
	{"mc pipe", "ALIAS/BUCKET/KEY", 5 * tebibyte, 5 * tebibyte, nil},
	{"azcopy copy", "URL --from-to PipeBlob", blocks * 4000 * mebibyte, blocks * 8 * mebibyte, func(size int64) []string {
		return []string{"--block-size-mb", fmt.Sprint(partOf(size, blocks))}
	}},
}

// uploadsOf says, in the order of uploaders, what each program needs for a stream of size bytes.
func uploadsOf(size int64) (list []upload) {
	for _, u := range uploaders {
		needs := upload{Tool: u.tool, TooLarge: size > u.most}
		if size > u.unflagged && !needs.TooLarge {
			needs.Flags = u.flags(size)
		}
		list = append(list, needs)
	}
	return list
}

// partOf returns the least number of MiB of which so many parts hold size bytes.
func partOf(size, parts int64) int64 {
	return (size + parts*mebibyte - 1) / (parts * mebibyte)
}

// uploadLines say which programs need flags, or cannot store so much.
func uploadLines(list []upload) (lines []string) {
	for i, u := range list {
		switch {
		case u.TooLarge:
			lines = append(lines, u.Tool+" cannot store so much")
		case len(u.Flags) > 0:
			lines = append(lines, u.Tool+" "+uploaders[i].to+" "+strings.Join(u.Flags, " "))
		}
	}
	return lines
}

// writeUploads writes a row for each program whose defaults are not enough.
func writeUploads(w io.Writer, list []upload) {
	for i, line := range uploadLines(list) {
		fmt.Fprintf(w, "%-9s  %s\n", []string{"as object", "or"}[min(i, 1)], line)
	}
}

// uploadHint says what a stream of size bytes needs on its way to an object store; empty: nothing.
func uploadHint(size int64) string {
	lines := uploadLines(uploadsOf(size))
	if lines == nil {
		return ""
	}
	return "; an object store needs one of: " + strings.Join(lines, ", ")
}
