// Command demo carries the sample package repository across an air gap on one machine: two
// registries in this process, one relocate command after the other, nothing beyond loopback.
//
//	go run ./testdata/demo -relocate bin/relocate
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"relocate/testdata/sample"
)

func main() {
	program := flag.String("relocate", "bin/relocate", "the relocate `program`")
	keep := flag.String("keep", "", "keep the tarball in `folder`; without it nothing stays")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo(ctx, *program, *keep)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

const tarball = "simple.tar"

// demo is the whole story. What it starts has ended, and what it wrote is gone, when it returns.
func demo(ctx context.Context, program, keep string) (err error) {
	relocate := runner{}
	if program, err = exec.LookPath(program); err != nil {
		return err
	}
	if relocate.program, err = filepath.Abs(program); err != nil { // it runs in another folder
		return err
	}
	if relocate.home, err = os.MkdirTemp("", "relocate-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(relocate.home)) }()
	relocate.dir = cmp.Or(keep, relocate.home)
	if err := os.MkdirAll(relocate.dir, 0o755); err != nil {
		return err
	}
	pushed, err := connectedSide(ctx, relocate)
	if err != nil {
		return err
	}
	return disconnectedSide(ctx, relocate, pushed)
}

// connectedSide makes the tarball and returns the digest of the package repository in it.
func connectedSide(ctx context.Context, relocate runner) (pushed v1.Hash, err error) {
	host, stop, err := startRegistry()
	if err != nil {
		return pushed, err
	}
	defer stop()
	say("a public registry starts on %s; the sample is compiled and pushed", host)
	root, err := sample.Push(ctx, host, sample.Compile(ctx, relocate.home))
	if err != nil {
		return pushed, err
	}
	desc, err := remote.Head(root, remote.WithContext(ctx))
	if err != nil {
		return pushed, err
	}
	if _, err := relocate.run(ctx, "-b", root.Name(), "--to-tar", tarball); err != nil {
		return pushed, err
	}
	if _, err := relocate.run(ctx, "inspect", tarball); err != nil {
		return pushed, err
	}
	if _, err := relocate.run(ctx, "rehearse", tarball); err != nil {
		return pushed, err
	}
	say("the air gap: the public registry stops")
	stop()
	conn, err := net.DialTimeout("tcp", host, time.Second)
	if err == nil {
		return pushed, errors.Join(fmt.Errorf("%s still answers", host), conn.Close())
	}
	fmt.Println("as it should be:", err)
	return desc.Digest, nil
}

// disconnectedSide has nothing but the tarball.
func disconnectedSide(ctx context.Context, relocate runner, pushed v1.Hash) error {
	host, stop, err := startRegistry()
	if err != nil {
		return err
	}
	defer stop()
	say("a private registry starts on %s; it is empty", host)
	repository := host + "/airgap/repository"
	applied, err := relocate.run(ctx, "--from-tar", tarball, "--to-repo", repository)
	if err != nil {
		return err
	}
	if want := repository + "@" + pushed.String(); !strings.Contains(applied, want) {
		return fmt.Errorf("the PackageRepository does not name %s", want)
	}
	if _, err := relocate.run(ctx, "verify", tarball); err != nil {
		return err
	}
	if _, err := relocate.run(ctx, "verify", "--repo", repository, tarball, "--level", "deep"); err != nil {
		return err
	}
	say("done: %d packages in %d versions, with everything they need, crossed to", sample.Packages, sample.Versions)
	fmt.Printf("%s@%s\n", repository, pushed)
	fmt.Println("The digest is the one that was pushed. A cluster applies the PackageRepository above, as in")
	fmt.Println("relocate --from-tar … --to-repo … | kubectl apply -f -")
	return nil
}

// runner runs relocate in dir, with a home in which no setting of the user's is found.
type runner struct{ program, dir, home string }

// run passes through what relocate prints, and returns what it printed to stdout.
func (r runner) run(ctx context.Context, args ...string) (string, error) {
	fmt.Printf("\n$ relocate %s\n", strings.Join(args, " "))
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, r.program, args...)
	cmd.Dir = r.dir
	cmd.Env = []string{"HOME=" + r.home, "TMPDIR=" + r.home, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, &out), os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up after itself
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("relocate %s: %w", args[0], err)
	}
	return out.String(), nil
}

// startRegistry starts a registry in this process, on a free port of the loopback interface.
func startRegistry() (host string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	silent := log.New(io.Discard, "", 0)
	server := &http.Server{Handler: registry.New(registry.Logger(silent)), ErrorLog: silent, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // its error is that of stop
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

func say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }
