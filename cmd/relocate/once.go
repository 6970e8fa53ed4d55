package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"relocate/internal/watchdog"
	"relocate/tarball"
)

// isOnce reports whether an archive at path can be read only once: standard input, a FIFO, a tape.
func isOnce(path string) bool {
	info, err := os.Stat(path)
	return path == stream || err == nil && tarball.IsOnce(info)
}

// once is an archive in a FIFO or on a tape.
type once struct {
	*os.File
	in io.Reader // waits like standard input
}

// Read implements io.Reader.
func (o *once) Read(p []byte) (int, error) { return o.in.Read(p) }

// openOnce opens an archive that can be read only once. It waits until something is written to a FIFO. The
// caller calls stop at the end.
func openOnce(ctx context.Context, path string, stdin io.Reader) (from io.Reader, stop func(), err error) {
	if path == stream {
		return stdin, func() {}, nil
	}
	dog := watchdog.In(ctx)
	var f *os.File
	opened := make(chan error, 1)
	go func() {
		_, err := dog.Waiting(func() (_ int, err error) { f, err = os.Open(path); return 0, err })
		opened <- err
	}()
	select {
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("wait for a writer of %s: %w", path, context.Cause(ctx))
	case err := <-opened:
		return &once{f, dog.Input(f)}, func() { _ = f.Close() }, err
	}
}
