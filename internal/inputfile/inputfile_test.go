//go:build unix

package inputfile_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/inputfile"
)

// TestRead: of a file the limit, of a FIFO what is written to it.
func TestRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	_, err := inputfile.Read(t.Context(), path, 4)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
	got, err := inputfile.Read(t.Context(), path, 4)
	require.NoError(t, err)
	assert.Equal(t, "cont", string(got))

	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	go func() { assert.NoError(t, os.WriteFile(pipe, []byte("piped"), 0o600)) }()
	got, err = inputfile.Read(t.Context(), pipe, 100)
	require.NoError(t, err)
	assert.Equal(t, "piped", string(got))
}

// TestReadEnds: with the context, where nobody opens a FIFO, and where its writer is silent.
func TestReadEnds(t *testing.T) {
	t.Parallel()
	for name, hasWriter := range map[string]bool{"no writer": false, "a silent one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "pipe")
			require.NoError(t, syscall.Mkfifo(pipe, 0o600))
			if hasWriter {
				w, err := os.OpenFile(pipe, os.O_RDWR, 0)
				require.NoError(t, err)
				defer w.Close()
			} else {
				defer func() { // ends the open that waits
					w, err := os.OpenFile(pipe, os.O_RDWR, 0)
					require.NoError(t, err)
					require.NoError(t, w.Close())
				}()
			}
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			_, err := inputfile.Read(ctx, pipe, 100)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}
