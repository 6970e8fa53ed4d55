// Package inputfile reads small files that the user names. They may be FIFOs, as those of a shell's <(command), whose
// writers take their time. Read promises to end with its context, whatever the file is.
package inputfile

import (
	"context"
	"fmt"
	"io"
	"os"

	"relocate/internal/watchdog"
)

// Read returns the first bytes of a file, limit at most. For a FIFO, it waits until it has a writer, and for what that
// writes.
//
// Errors: that of ctx, when it ends first. The file then stays open until the program ends.
func Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	var content []byte
	done := make(chan error, 1)
	go func() {
		_, err := watchdog.In(ctx).Waiting(func() (n int, err error) {
			content, err = read(path, limit)
			return len(content), err
		})
		done <- err
	}()
	select {
	case err := <-done:
		return content, err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for %s: %w", path, context.Cause(ctx))
	}
}

func read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()            // it was only read
	return io.ReadAll(io.LimitReader(f, limit)) // of limited length
}
