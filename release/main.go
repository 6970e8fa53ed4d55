// Command release builds the files of a release in a folder: static programs for six platforms, Debian and
// RPM packages, a container image, an SBOM and SHA256SUMS; with a key, also a signature of SHA256SUMS.
// "make release" calls it in the root of the repository. Everything comes from the sources, the release of Go
// and the modules that go.sum and .ci/nfpm.sum pin: the same ones give the same bytes in any folder, but for
// the signature.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is what is built.
type release struct {
	version   string
	date      time.Time // of the commit: the only time in the files
	platforms []string  // such as linux/amd64
	source    string    // root of the repository
	out       string    // folder
	key       string    // file of the key that signs; empty: nothing is signed
	scratch   string    // folder for what is only on the way
}

func main() {
	var r release
	var platforms, date string
	flag.StringVar(&r.version, "version", "", "version of the release (required)")
	flag.StringVar(&date, "date", "", "time of the commit, in `seconds` since 1970 (required)")
	flag.StringVar(&platforms, "platforms", "", "platforms, separated by spaces (required)")
	flag.StringVar(&r.out, "out", "dist", "`folder` for the files, which must not exist or be empty")
	flag.StringVar(&r.key, "key", "", "sign with the key in `file`, its password in COSIGN_PASSWORD; empty: do not sign")
	flag.Parse()
	seconds, err := strconv.ParseInt(date, 10, 64)
	r.date, r.platforms = time.Unix(seconds, 0).UTC(), strings.Fields(platforms)
	if err == nil {
		err = r.build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// build builds everything.
func (r *release) build() (err error) {
	if r.version == "" {
		return errors.New("-version is required")
	}
	host := runtime.GOOS + "/" + runtime.GOARCH
	if !slices.Contains(r.platforms, host) {
		return fmt.Errorf("-platforms lacks %s, whose program prints the completion scripts", host)
	}
	if r.source, err = filepath.Abs(r.source); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if entries, err := os.ReadDir(r.out); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", r.out)
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if r.scratch, err = os.MkdirTemp("", "relocate-release-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.scratch)) }()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"programs", r.programs},
		{"completion and man pages", r.pages},
		{"packages", r.packages},
		{"container image", r.image},
		{"SBOM", r.sbom},
		{"SHA256SUMS", r.sums},
	} {
		fmt.Println("release:", step.name)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// program returns the path of the program for a platform.
func (r *release) program(platform string) string {
	path := filepath.Join(r.out, "relocate-"+strings.ReplaceAll(platform, "/", "-"))
	if strings.HasPrefix(platform, "windows/") {
		path += ".exe"
	}
	return path
}

// linux returns the architectures that there are of Linux.
func (r *release) linux() (arches []string) {
	for _, platform := range r.platforms {
		if arch, ok := strings.CutPrefix(platform, "linux/"); ok {
			arches = append(arches, arch)
		}
	}
	return arches
}
