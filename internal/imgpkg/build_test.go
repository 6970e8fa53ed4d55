package imgpkg_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
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

// TestBuildAgain: what was compressed before does not show.
func TestBuildAgain(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"a": bytes.Repeat([]byte("some text"), 100)}
	diff := func(image *imgpkg.Image) []byte {
		zr, err := gzip.NewReader(bytes.NewReader(image.Layer))
		require.NoError(t, err)
		diff, err := io.ReadAll(zr)
		require.NoError(t, err)
		return diff
	}
	for i := range 10 {
		image, err := imgpkg.Build(files, nil)
		require.NoError(t, err)
		var want bytes.Buffer
		zw, err := gzip.NewWriterLevel(&want, gzip.BestSpeed)
		require.NoError(t, err)
		_, err = zw.Write(diff(image))
		require.NoError(t, err)
		require.NoError(t, zw.Close())
		require.Equal(t, want.Bytes(), image.Layer)
		_, err = imgpkg.Build(map[string][]byte{"b": bytes.Repeat([]byte("some text, longer"), 1000*i)}, nil)
		require.NoError(t, err)
	}
}

// TestBuildStored: the layer is gzip that every reader unpacks to the tar that imgpkg would write, of one
// block of deflate and of several; and it is not compressed, so that no compressor decides its bytes.
func TestBuildStored(t *testing.T) {
	t.Parallel()
	const block = 65535
	for n := range 3 * 128 {
		size := n * 512 // as the tar grows
		if at := n % 128; at > 5 && at < 120 {
			continue
		}
		files := map[string][]byte{"a": bytes.Repeat([]byte{'x'}, size)}
		stored, err := imgpkg.BuildStored(files, map[string]string{imgpkg.Label: "true"})
		require.NoError(t, err)
		packed, err := imgpkg.Build(files, map[string]string{imgpkg.Label: "true"})
		require.NoError(t, err)
		require.Equal(t, packed.Config, stored.Config, "size %d", size) // with the digest of the tar
		zr, err := gzip.NewReader(bytes.NewReader(stored.Layer))
		require.NoError(t, err)
		zr.Multistream(false)
		diff, err := io.ReadAll(zr)
		require.NoError(t, err, "size %d", size)
		require.Equal(t, 18+5*((len(diff)+block-1)/block)+len(diff), len(stored.Layer), "size %d", size)
		require.Contains(t, string(stored.Config), fmt.Sprintf("sha256:%x", sha256.Sum256(diff)))
	}
	empty, err := imgpkg.BuildStored(nil, nil)
	require.NoError(t, err)
	require.Equal(t, "sha256:8408504c62901802c18c1d9adb641a90f93377944b167e5daaa53caca7a082bc", empty.Descriptor.Digest.String())
}
