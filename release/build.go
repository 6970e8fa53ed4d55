package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"relocate/internal/selfimage"
)

// programs builds the program for each platform.
func (r *release) programs() error {
	for _, platform := range r.platforms {
		goos, goarch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("%q is not OS/ARCH", platform)
		}
		err := r.run([]string{"GOOS=" + goos, "GOARCH=" + goarch, "GOAMD64=v1", "GOARM64=v8.0"},
			"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+r.version,
			"-o", r.program(platform), "./cmd/relocate")
		if err != nil {
			return err
		}
	}
	return nil
}

// pages writes completion scripts and man pages into the scratch folder.
func (r *release) pages() error {
	program := r.program(runtime.GOOS + "/" + runtime.GOARCH)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := exec.Command(program, "completion", shell).Output()
		if err == nil {
			err = os.WriteFile(filepath.Join(r.scratch, shell), script, 0o644)
		}
		if err != nil {
			return fmt.Errorf("completion for %s: %w", shell, err)
		}
	}
	man := filepath.Join(r.scratch, "man")
	if err := os.Mkdir(man, 0o755); err != nil {
		return err
	}
	err := r.run([]string{fmt.Sprint("SOURCE_DATE_EPOCH=", r.date.Unix())},
		"test", "-trimpath", "./cmd/relocate", "-count", "1", "-run", "^TestManPages$", "-man", man)
	if err != nil {
		return err
	}
	pages, err := filepath.Glob(filepath.Join(man, "*.1"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		if err := compress(page); err != nil {
			return err
		}
	}
	return nil
}

// compress puts path.gz in place of path.
func compress(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf) // without a name and a time
	if _, err := zw.Write(text); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(path+".gz", buf.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Remove(path)
}

// image writes the container image for Linux, in one file for all architectures.
func (r *release) image() error {
	var programs []selfimage.Program
	for _, arch := range r.linux() {
		binary, err := os.ReadFile(r.program("linux/" + arch))
		if err != nil {
			return err
		}
		programs = append(programs, selfimage.Program{Architecture: arch, Binary: binary})
	}
	index, err := selfimage.Build(programs, selfimage.About{Version: r.version, Created: r.date})
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := selfimage.WriteLayout(&buf, index, r.version); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "relocate-image.tar"), buf.Bytes(), 0o644)
}

// run runs go in the repository, with env added. Settings of the machine do not reach what is built.
func (r *release) run(env []string, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = r.source
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "TZ=UTC"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
