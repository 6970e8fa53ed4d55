package tarball_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/tarball"
)

// TestContent: every manifest and blob can be read in parts, in both forms, as long as the file stays as it is.
func TestContent(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"own": repository(t).write(t), "imgpkg": copyOf(t, "../testdata/interop/tar/repository.tar")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := tarball.Open(path)
			require.NoError(t, err)
			defer a.Close()
			plan, err := a.Plan(context.Background(), 1, nil)
			require.NoError(t, err)
			require.NotEmpty(t, plan.Blobs)
			for _, b := range plan.Blobs {
				c, err := a.Content(b.Descriptor.Digest)
				require.NoError(t, err)
				require.Equal(t, b.Descriptor.Size, c.Size())
				text, err := io.ReadAll(c)
				require.NoError(t, err)
				assert.Equal(t, b.Descriptor.Digest, digest.Of(text))
				part := make([]byte, c.Size()/2)
				if _, err = c.ReadAt(part, c.Size()/4); len(part) > 0 {
					require.NoError(t, err)
				}
				assert.Equal(t, text[c.Size()/4:][:len(part)], part)
			}
			_, err = a.Content(v1.Hash{Algorithm: "sha256", Hex: "00"})
			assert.ErrorIs(t, err, fs.ErrNotExist)

			open, err := a.Content(plan.Blobs[0].Descriptor.Digest)
			require.NoError(t, err)
			require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
			_, err = open.ReadAt(make([]byte, 1), 0)
			assert.ErrorIs(t, err, tarball.ErrDamaged)
		})
	}
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	to := filepath.Join(t.TempDir(), "copy.tar")
	require.NoError(t, os.WriteFile(to, text, 0o600))
	return to
}
