#!/usr/bin/env bash
# Go 1.26.8, http.ServeContent, which http.FileServer and Caddy's file_server use: "Range: bytes=-5" of an empty file is 206
# with "Content-Range: bytes 0--1/0", which no grammar has; nginx and Apache send 200. "bytes=-0" is 206 with
# "bytes 10-9/10", which RFC 9110 §14.4 calls invalid; §14.1.2 has 416 for it. A range in a unit that the server does not
# know is 416, though §14.2 says that it must be ignored, and so is "Bytes=0-4", though §14.1 makes the names of units
# case-insensitive. A client that counts with Content-Range must check it first. relocate does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8
go mod init example.com/t 2>/dev/null
cat >main.go <<'END'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

func main() {
	for _, c := range [][2]string{
		{"", "bytes=-5"}, {"0123456789", "bytes=-0"}, {"0123456789", "items=0-4"}, {"0123456789", "Bytes=0-4"},
		{"0123456789", "bytes=0-4"},
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("Range", c[1])
		http.ServeContent(w, r, "file.bin", time.Time{}, strings.NewReader(c[0]))
		fmt.Printf("%s of %d bytes: %d %q\n", c[1], len(c[0]), w.Code, w.Header().Get("Content-Range"))
	}
}
END
go run main.go | tee out
diff out - <<'END'
bytes=-5 of 0 bytes: 206 "bytes 0--1/0"
bytes=-0 of 10 bytes: 206 "bytes 10-9/10"
items=0-4 of 10 bytes: 416 ""
Bytes=0-4 of 10 bytes: 416 ""
bytes=0-4 of 10 bytes: 206 "bytes 0-4/10"
END
