package rehearsal

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unique"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/registry/serve"
)

// Limits on what a client sends.
const (
	maxManifest = 4 << 20  // bytes of a manifest
	maxKept     = 64 << 20 // bytes in memory of content that the archive does not have
	maxUploads  = 1000     // unfinished
)

// Registry is a registry in memory over an archive. It is a serve.Store and an http.Handler, and
// safe for concurrent use.
type Registry struct {
	archive serve.Archive
	read    http.Handler
	leftOut func(v1.Hash) bool // children of indexes that may be absent
	wrong   func(v1.Hash)      // learns of blobs that arrived with other content

	mu       sync.Mutex
	repos    map[string]*repository
	kept     map[digest.Sum][]byte
	keptSize int
	uploads  map[string]*upload
	begun    int // uploads in total
	refused  int
}

// repository is what was pushed to one path.
type repository struct {
	blobs     map[digest.Sum]int64 // sizes
	manifests map[digest.Sum]manifest
	tags      map[string]digest.Sum
	referrers map[digest.Sum][]digest.Sum // by subject, in order of arrival
}

type manifest struct {
	size      int64
	mediaType unique.Handle[types.MediaType]
}

// New returns an empty registry. It reads content that the archive has from there.
func New(archive serve.Archive) *Registry {
	r := &Registry{archive: archive, repos: map[string]*repository{}, kept: map[digest.Sum][]byte{}, uploads: map[string]*upload{}}
	r.read = serve.Handler(r, serve.Options{})
	return r
}

// LeaveOut lets an index name children that are absent where leftOut says so. Call it before the first
// request.
func (r *Registry) LeaveOut(leftOut func(v1.Hash) bool) { r.leftOut = leftOut }

// OnWrong tells wrong of each blob that is pushed under another digest than that of its content, before
// the client is refused. Call it before the first request. wrong must be safe for concurrent use.
func (r *Registry) OnWrong(wrong func(v1.Hash)) { r.wrong = wrong }

// Assume gives a repository a blob that an earlier import brought; the archive must have its content.
func (r *Registry) Assume(path string, d v1.Hash, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key, ok := digest.SumOf(d); ok {
		r.repository(path, true).blobs[key] = size
	}
}

// Counts says what a registry has.
type Counts struct {
	Manifests int `json:"manifests"`
	Blobs     int `json:"blobs"`
	Kept      int `json:"kept"`    // bytes of content that the archive does not have
	Refused   int `json:"refused"` // manifests that were pushed before what they name
}

// Counts counts over all repositories.
func (r *Registry) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Counts{Kept: r.keptSize, Refused: r.refused}
	for _, repo := range r.repos {
		c.Manifests += len(repo.manifests)
		c.Blobs += len(repo.blobs)
	}
	return c
}

// repository returns the repository at path; nil, or a new one with make, if there is none. The
// caller holds the lock.
func (r *Registry) repository(path string, make bool) *repository {
	repo := r.repos[path]
	if repo == nil && make {
		repo = &repository{blobs: map[digest.Sum]int64{}, manifests: map[digest.Sum]manifest{}, tags: map[string]digest.Sum{}, referrers: map[digest.Sum][]digest.Sum{}}
		r.repos[strings.Clone(path)] = repo
	}
	return repo
}

// Manifest implements serve.Store.
func (r *Registry) Manifest(_ context.Context, _, path, id string) (v1.Descriptor, serve.Content, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	absent := func() (v1.Descriptor, serve.Content, error) {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s of %s: %w", id, path, fs.ErrNotExist)
	}
	repo := r.repository(path, false)
	if repo == nil {
		return absent()
	}
	key, found := repo.tags[id]
	if d, err := v1.NewHash(id); err == nil {
		key, found = digest.SumOf(d)
	}
	m, present := repo.manifests[key]
	if !found || !present {
		return absent()
	}
	c, err := r.content(key)
	return v1.Descriptor{MediaType: m.mediaType.Value(), Size: m.size, Digest: key.Hash()}, c, err
}

// Blob implements serve.Store.
func (r *Registry) Blob(_ context.Context, path string, d v1.Hash) (serve.Content, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, ok := digest.SumOf(d)
	if repo := r.repository(path, false); ok && repo != nil {
		if _, found := repo.blobs[key]; found {
			return r.content(key)
		}
	}
	return nil, fmt.Errorf("blob %s of %s: %w", d, path, fs.ErrNotExist)
}

// content opens content that was pushed. The caller holds the lock.
func (r *Registry) content(key digest.Sum) (serve.Content, error) {
	if raw, ok := r.kept[key]; ok {
		return bundle.ContentOf(bytes.NewReader(raw), 0, int64(len(raw))), nil
	}
	c, err := r.archive.Content(key.Hash())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Tags implements serve.Store.
func (r *Registry) Tags(_ context.Context, _, path, after string, n int) (tags []string, more bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repository(path, false)
	if repo == nil {
		return nil, false, fmt.Errorf("repository %s: %w", path, fs.ErrNotExist)
	}
	tags, more = page(slices.Sorted(maps.Keys(repo.tags)), after, n)
	return tags, more, nil
}

// Repositories implements serve.Store.
func (r *Registry) Repositories(_ context.Context, after string, n int) (repos []string, more bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repos, more = page(slices.Sorted(maps.Keys(r.repos)), after, n)
	return repos, more, nil
}

// page returns at most n names of a sorted list, after a name, and whether there are more.
func page(list []string, after string, n int) ([]string, bool) {
	i, found := slices.BinarySearch(list, after)
	if found {
		i++
	}
	list = list[i:]
	return list[:min(n, len(list))], len(list) > n
}

// Referrers implements serve.Store.
func (r *Registry) Referrers(_ context.Context, path string, d v1.Hash) ([]v1.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []v1.Hash
	if repo := r.repository(path, false); repo != nil {
		key, _ := digest.SumOf(d)
		for _, s := range repo.referrers[key] {
			list = append(list, s.Hash())
		}
	}
	return list, nil
}

// keep makes sure that content can be read again. raw is nil if it was not kept. The caller holds
// the lock.
func (r *Registry) keep(key digest.Sum, size int64, raw []byte) error {
	if _, kept := r.kept[key]; kept {
		return nil
	}
	if c, err := r.archive.Content(key.Hash()); err == nil && c.Size() == size {
		return nil
	}
	if raw == nil && size > 0 || r.keptSize+len(raw) > maxKept {
		return refuse(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", fmt.Sprintf("the archive does not have %s, and the limit for other content is reached", key.Hash()))
	}
	r.kept[key] = bytes.Clone(raw)
	r.keptSize += len(raw)
	return nil
}
