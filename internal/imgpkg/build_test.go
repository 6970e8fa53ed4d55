package imgpkg_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/imgpkg"
)

// The layer has its members as filepath.Walk meets them: a directory's before its neighbours.
func TestBuildOrder(t *testing.T) {
	t.Parallel()
	image, err := imgpkg.Build(map[string][]byte{"a.b": nil, "a-b": nil, "a/b/c": nil, "a/b-c": nil, "a0": nil, "Z": nil}, nil)
	require.NoError(t, err)
	zr, err := gzip.NewReader(bytes.NewReader(image.Layer))
	require.NoError(t, err)
	var got []string
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		got = append(got, h.Name)
	}
	assert.Equal(t, []string{".", "Z", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "a0"}, got)
}
