package imgpkg_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/yamlnode"
	"relocate/testdata/seed"
)

// FuzzLayer: a layer gives only the files that were wanted, by paths inside it, none over the limit;
// and Go's own gzip and tar see the same.
func FuzzLayer(f *testing.F) {
	for _, layer := range seed.Files(f, "../..", ".tar.gz") {
		f.Add(layer)
	}
	built, err := imgpkg.Build(map[string][]byte{carvel.LockFile: []byte("a: &a 1\n"), "packages/a/b.yml": []byte("a: 1"), "other": nil}, nil)
	require.NoError(f, err)
	f.Add(built.Layer)
	f.Add(append(bytes.Clone(built.Layer), built.Layer...))
	f.Add(zip(f, tar.Header{Name: "../../" + carvel.LockFile, Typeflag: tar.TypeReg, Size: 1}, tar.Header{Name: "/packages//x.yml", Typeflag: tar.TypeReg}))
	f.Add(zip(f, tar.Header{Name: "packages/link.yml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, tar.Header{Name: "packages/hole.yaml", Typeflag: tar.TypeReg, Size: yamlnode.MaxSize + 1}))
	f.Add(zip(f, tar.Header{Name: "packages/\x1b[2J\n.yml", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"comment": "x"}}))
	f.Fuzz(func(t *testing.T, layer []byte) {
		var got []file
		err := imgpkg.ReadLayer(bytes.NewReader(layer), func(p string, _ int64) bool { return inBundle(p) }, func(p string, data []byte) error {
			require.True(t, inBundle(p))
			require.Equal(t, p, strings.TrimPrefix(path.Clean("/"+p), "/"), "leads out of the bundle")
			require.LessOrEqual(t, len(data), yamlnode.MaxSize)
			got = append(got, file{p, data})
			return nil
		})
		if err != nil {
			seed.RequireLine(t, err)
			return
		}
		want, err := unzip(layer)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// zip returns a gzipped tar of headers, with zeros as content; what cannot be written in full is cut.
func zip(f *testing.F, headers ...tar.Header) []byte {
	f.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for _, h := range headers {
		h.Mode = 0o600
		require.NoError(f, tw.WriteHeader(&h))
		_, err := io.CopyN(tw, zeros{}, h.Size)
		require.NoError(f, err)
	}
	require.NoError(f, tw.Close())
	require.NoError(f, zw.Close())
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// unzip reads the files that a walk wants with the standard library alone.
func unzip(layer []byte) (list []file, err error) {
	zr, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return nil, err
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if p := path.Clean("/" + h.Name)[1:]; h.Typeflag == tar.TypeReg && inBundle(p) {
			data, err := io.ReadAll(tr)
			if err != nil {
				return nil, err
			}
			list = append(list, file{p, data})
		}
	}
}

// file is a regular file of a layer.
type file struct {
	path string
	data []byte
}

// inBundle accepts the files of a bundle that a walk reads.
func inBundle(p string) bool { return p == carvel.LockFile || carvel.IsPackageFile(p) }
