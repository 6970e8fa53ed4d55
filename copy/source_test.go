package copy

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/registry"
)

var _ Repository = (*registry.Repository)(nil)

// TestSources holds every Source to the contract of bundle.Source.
func TestSources(t *testing.T) {
	t.Parallel()
	manifest := []byte(`{"schemaVersion":2,"config":{},"layers":[]}`)
	blob := bytes.Repeat([]byte("blob"), 50_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
		switch {
		case r.URL.Path == "/v2/":
		case what[0] == "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case what[0] == "unauthorized":
			w.WriteHeader(http.StatusUnauthorized)
		case what[0] == "absent" || what[2] == "absent":
			w.WriteHeader(http.StatusNotFound)
		case what[1] == "manifests": // the same for any name
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = w.Write(manifest)
		default:
			_, _ = w.Write(blob)
		}
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	client, err := registry.New(registry.Options{Anonymous: true})
	require.NoError(t, err)
	for name, source := range map[string]func(repo name.Repository) bundle.Source{
		"Client":  func(name.Repository) bundle.Source { return client },
		"Reader":  func(repo name.Repository) bundle.Source { return client.Reader(repo) },
		"Writer":  func(repo name.Repository) bundle.Source { return client.Writer(repo) },
		"Spool":   func(name.Repository) bundle.Source { return NewSpool(client, scratch(t)) },
		"Keeping": func(name.Repository) bundle.Source { return NewSpool(client, scratch(t)).Keeping() },
		"kept": func(repo name.Repository) bundle.Source {
			spool := NewSpool(client, scratch(t))
			if strings.HasSuffix(repo.Name(), "/repo") {
				_, _, err := spool.Keeping().Manifest(t.Context(), repo.Digest(digest.Of(manifest).String()))
				require.NoError(t, err)
				r, err := spool.Keeping().Blob(t.Context(), repo, v1.Descriptor{Digest: digest.Of(blob), Size: int64(len(blob))})
				require.NoError(t, err)
				require.NoError(t, r.Close())
			}
			return spool
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkSource(t, host, source, manifest, blob)
		})
	}
}

// checkSource checks a Source of a registry whose repository "repo" has manifest and blob under any
// name but "absent".
func checkSource(t *testing.T, host string, source func(name.Repository) bundle.Source, manifest, blob []byte) {
	repository := func(path string) name.Repository {
		repo, err := name.NewRepository(host + "/" + path)
		require.NoError(t, err)
		return repo
	}
	repo := repository("repo")
	src := source(repo)
	ctx := t.Context()
	manifestDesc := v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest.Of(manifest), Size: int64(len(manifest))}
	blobDesc := v1.Descriptor{Digest: digest.Of(blob), Size: int64(len(blob))}
	other := digest.Of([]byte("other"))

	for _, ref := range []name.Reference{repo.Tag("tag"), repo.Digest(manifestDesc.Digest.String())} {
		for range 2 {
			desc, raw, err := src.Manifest(ctx, ref)
			require.NoError(t, err)
			assert.Equal(t, manifestDesc, desc)
			assert.Equal(t, manifest, raw)
		}
	}
	_, _, err := src.Manifest(ctx, repo.Digest(other.String()))
	assert.ErrorIs(t, err, digest.ErrMismatch)
	_, _, err = src.Manifest(ctx, repo.Tag("absent"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	for path, want := range map[string]error{"forbidden": fs.ErrPermission, "unauthorized": fs.ErrPermission, "absent": fs.ErrNotExist} {
		at := repository(path)
		_, raw, err := source(at).Manifest(ctx, at.Digest(manifestDesc.Digest.String()))
		assert.ErrorIs(t, err, want)
		assert.Empty(t, raw)
		r, err := source(at).Blob(ctx, at, blobDesc)
		assert.ErrorIs(t, err, want)
		assert.Nil(t, r)
	}

	for range 2 {
		got, err := readBlob(ctx, src, repo, blobDesc)
		require.NoError(t, err)
		assert.Equal(t, blob, got)
	}
	for _, wrong := range []v1.Descriptor{
		{Digest: other, Size: blobDesc.Size},
		{Digest: blobDesc.Digest, Size: blobDesc.Size + 1},
		{Digest: blobDesc.Digest, Size: blobDesc.Size - 1},
		{Digest: blobDesc.Digest, Size: 0},
	} {
		got, err := readBlob(ctx, src, repo, wrong)
		assert.ErrorIs(t, err, digest.ErrMismatch, "%+v", wrong)
		if wrong.Size <= blobDesc.Size {
			assert.True(t, wrong.Size == 0 || int64(len(got)) < wrong.Size, "%+v is not handed out whole", wrong)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = src.Manifest(cancelled, repo.Tag("tag"))
	assert.ErrorIs(t, err, context.Canceled)
}

func readBlob(ctx context.Context, src bundle.Source, repo name.Repository, d v1.Descriptor) ([]byte, error) {
	r, err := src.Blob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
