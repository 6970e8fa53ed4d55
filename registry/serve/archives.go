package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"unique"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/internal/digest"
)

// Archive is an archive that a Store reads content from. *tarball.Archive is one.
type Archive interface {
	// Content opens a manifest or a blob. Its digest is not checked. Reading fails if the file has
	// changed since it was opened.
	//
	// Errors: fs.ErrNotExist.
	Content(d v1.Hash) (bundle.Content, error)
}

// maxArchives is the most archives of one store: the bits of a word.
const maxArchives = bits.UintSize

// ErrConflict says that two archives give the same tag of one repository different digests, and
// have no registries that distinguish them.
var ErrConflict = errors.New("a tag cannot point to both")

// Archives is a Store of the content of archives. It keeps digests, sizes and which manifest names
// what, about 150 bytes for each blob, and nothing else of the plans.
//
// Add all archives first. After that it is safe for concurrent use.
type Archives struct {
	archives  []Archive
	manifests map[digest.Sum]*manifest
	blobs     map[digest.Sum]*blob
	extra     map[digest.Sum][]byte // locations images: manifests, configs and layers
	extraSize int
	repos     map[string]*repository
	names     []string // of repos, sorted

	attached []attachedTag // sorted by tag
}

// blob is content of an archive.
type blob struct {
	in      uint        // a bit for each archive that has it, with the manifests that name it there
	size    int64       // in bytes
	owners  []*manifest // those that name it as config, layer or child, or that it is attached to
	archive uint8       // index of the archive to read it from
}

// manifest is a blob with a media type.
type manifest struct {
	blob
	sum       digest.Sum
	mediaType unique.Handle[string]
	referrers []*manifest // manifests whose subject it is, in the archives' order
}

// repository is the content of one path.
type repository struct {
	path  string
	all   uint                   // a bit for each archive that it has completely
	named map[*manifest]struct{} // manifests that references name here
	tags  map[string][]tagged
	hosts map[string]struct{} // registries that have this path
	list  []string            // of tags, sorted
}

// tagged is the manifest of a tag at one registry; if host is empty, at any.
type tagged struct {
	host string
	*manifest
}

// attachedTag is a tag of every repository that has the subject.
type attachedTag struct {
	tag             string
	subject, target *manifest
}

// NewArchives returns a store without content.
func NewArchives() *Archives {
	return &Archives{manifests: map[digest.Sum]*manifest{}, blobs: map[digest.Sum]*blob{}, extra: map[digest.Sum][]byte{}, repos: map[string]*repository{}}
}

// Import says where an archive answers as if it had been imported.
type Import struct {
	Repository string             // its path
	Host       string             // the registry that has the tags; empty means any
	Tags       map[string]v1.Hash // of the roots
}

// Add adds the archive a with the content of plan. With origins, the path of each reference in it
// has the images that references name there, whatever their registry, and the tags that were
// followed, at their registry.
//
// Errors: ErrConflict.
func (s *Archives) Add(a Archive, plan *bundle.Plan, imports []Import, origins bool) error {
	if len(s.archives) == maxArchives {
		return fmt.Errorf("more than %d archives", maxArchives)
	}
	s.archives = append(s.archives, a)
	t := &adding{Archives: s, plan: plan, n: uint8(len(s.archives) - 1)}
	if err := t.content(); err != nil {
		return err
	}
	t.attachments()
	for _, place := range imports {
		if err := t.imported(place); err != nil {
			return err
		}
	}
	if origins {
		if err := t.origins(); err != nil {
			return err
		}
	}
	return s.sort()
}

// sort prepares the sorted lists that requests read.
func (s *Archives) sort() error {
	for _, repo := range s.repos {
		repo.list = slices.Sorted(maps.Keys(repo.tags))
	}
	s.names = slices.Sorted(maps.Keys(s.repos))
	slices.SortFunc(s.attached, func(a, b attachedTag) int { return strings.Compare(a.tag, b.tag) })
	for i := 1; i < len(s.attached); i++ {
		if a, b := s.attached[i-1], s.attached[i]; a.tag == b.tag && a.target != b.target {
			return fmt.Errorf("tag %s: %s and %s: %w", a.tag, a.target.sum.Hash(), b.target.sum.Hash(), ErrConflict)
		}
	}
	s.attached = slices.CompactFunc(s.attached, func(a, b attachedTag) bool { return a.tag == b.tag })
	return nil
}

// Manifest implements Store.
func (s *Archives) Manifest(_ context.Context, at, repo, id string) (v1.Descriptor, Content, error) {
	m, err := s.find(at, repo, id)
	if m == nil {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s of %s: %w", id, repo, cmp.Or(err, fs.ErrNotExist))
	}
	desc := v1.Descriptor{MediaType: types.MediaType(m.mediaType.Value()), Size: m.size, Digest: m.sum.Hash()}
	c, err := s.open(m.sum, &m.blob)
	return desc, c, err
}

// find returns the manifest with the tag or digest id in the repository at path; nil without one.
//
// Errors: AmbiguousError.
func (s *Archives) find(at, path, id string) (*manifest, error) {
	repo := s.repos[path]
	if repo == nil {
		return nil, nil
	}
	if d, err := v1.NewHash(id); err == nil {
		key, _ := digest.SumOf(d)
		if m := s.manifests[key]; m != nil && repo.has(m) {
			return m, nil
		}
		return nil, nil
	}
	if m, err := repo.tagged(at, id); m != nil || err != nil {
		return m, err
	}
	i, ok := slices.BinarySearchFunc(s.attached, id, func(a attachedTag, id string) int { return strings.Compare(a.tag, id) })
	if ok && repo.has(s.attached[i].subject) {
		return s.attached[i].target, nil
	}
	return nil, nil
}

// tagged returns the manifest of a tag at a registry. If at is empty, or has no repository at this
// path, the tag must be the same at all registries that have it.
//
// Errors: AmbiguousError.
func (r *repository) tagged(at, tag string) (*manifest, error) {
	_, known := r.hosts[at]
	var found *manifest
	var hosts []string
	ambiguous := false
	for _, t := range r.tags[tag] {
		if known && t.host != "" && t.host != at {
			continue
		}
		ambiguous = ambiguous || (found != nil && found != t.manifest)
		found, hosts = t.manifest, append(hosts, t.host)
	}
	if ambiguous {
		slices.Sort(hosts)
		return nil, AmbiguousError{tag, hosts}
	}
	return found, nil
}

// Blob implements Store.
func (s *Archives) Blob(_ context.Context, path string, d v1.Hash) (Content, error) {
	repo := s.repos[path]
	key, ok := digest.SumOf(d)
	b := s.blobs[key]
	if repo == nil || !ok || b == nil || (b.in&repo.all == 0 && !repo.hasAny(b.owners)) {
		return nil, fmt.Errorf("blob %s of %s: %w", d, path, fs.ErrNotExist)
	}
	return s.open(key, b)
}

// open opens content. Content that the plan has and the archive does not was left out:
// fs.ErrNotExist.
func (s *Archives) open(key digest.Sum, b *blob) (Content, error) {
	if raw, ok := s.extra[key]; ok {
		return bundle.ContentOf(strings.NewReader(string(raw)), 0, int64(len(raw))), nil
	}
	c, err := s.archives[b.archive].Content(key.Hash())
	if err != nil {
		return nil, err
	}
	if c.Size() != b.size {
		return nil, fmt.Errorf("%s has %d bytes in the archive; its manifest says %d", key.Hash(), c.Size(), b.size)
	}
	return c, nil
}

// has reports whether the repository has a manifest.
func (r *repository) has(m *manifest) bool { return r.hasAny([]*manifest{m}) }

// hasAny reports whether the repository has one of the manifests: because it has all of an archive,
// because a reference names it here, or because it belongs to a manifest that is here (as its child
// or attachment).
func (r *repository) hasAny(list []*manifest) bool {
	var seen map[*manifest]bool // made late: few manifests have owners
	for len(list) > 0 {
		m := list[len(list)-1]
		list = list[:len(list)-1]
		if _, named := r.named[m]; named || m.in&r.all != 0 {
			return true
		}
		if len(m.owners) == 0 || seen[m] {
			continue
		}
		if seen == nil {
			seen = map[*manifest]bool{}
		}
		seen[m] = true
		list = append(slices.Clip(list), m.owners...)
	}
	return false
}

// Tags implements Store.
func (s *Archives) Tags(_ context.Context, at, path, after string, n int) (tags []string, more bool, err error) {
	repo := s.repos[path]
	if repo == nil {
		return nil, false, fmt.Errorf("repository %s: %w", path, fs.ErrNotExist)
	}
	own := repo.tagsAfter(after, at)
	attached := s.attached[from(s.attached, after, func(a attachedTag) string { return a.tag }):]
	for len(tags) <= n && len(own)+len(attached) > 0 {
		switch {
		case len(attached) == 0 || (len(own) > 0 && own[0] <= attached[0].tag):
			if len(attached) > 0 && own[0] == attached[0].tag {
				attached = attached[1:]
			}
			tags, own = append(tags, own[0]), own[1:]
			continue
		case repo.has(attached[0].subject):
			tags = append(tags, attached[0].tag)
		}
		attached = attached[1:]
	}
	if len(tags) > n {
		return tags[:n], true, nil
	}
	return tags, false, nil
}

// tagsAfter returns the repository's own tags after a name, sorted: at a registry that has this path, its own only.
func (r *repository) tagsAfter(after, at string) []string {
	list := r.list[from(r.list, after, func(tag string) string { return tag }):]
	if _, known := r.hosts[at]; !known {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(tag string) bool {
		return !slices.ContainsFunc(r.tags[tag], func(t tagged) bool { return t.host == "" || t.host == at })
	})
}

// from returns the index of the first entry after a name in a sorted list.
func from[T any](list []T, after string, nameOf func(T) string) int {
	i, found := slices.BinarySearchFunc(list, after, func(v T, s string) int { return strings.Compare(nameOf(v), s) })
	if found {
		i++
	}
	return i
}

// Repositories implements Store.
func (s *Archives) Repositories(_ context.Context, after string, n int) (repos []string, more bool, err error) {
	rest := s.names[from(s.names, after, func(name string) string { return name }):]
	return rest[:min(n, len(rest))], len(rest) > n, nil
}

// Referrers implements Store.
func (s *Archives) Referrers(_ context.Context, path string, d v1.Hash) ([]v1.Hash, error) {
	repo := s.repos[path]
	key, _ := digest.SumOf(d)
	m := s.manifests[key]
	if repo == nil || m == nil || !repo.has(m) {
		return nil, nil
	}
	var list []v1.Hash
	for _, r := range m.referrers {
		list = append(list, r.sum.Hash())
	}
	return list, nil
}
