package serve

import (
	"fmt"
	"slices"
	"strings"
	"unique"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/oci"
)

// maxExtra is the most bytes of locations images in memory.
const maxExtra = 64 << 20

// adding is one call of Add.
type adding struct {
	*Archives
	plan *bundle.Plan
	n    uint8 // of the archive
}

func (t *adding) bit() uint { return 1 << t.n }

// content adds manifests and blobs, and which manifest names which.
func (t *adding) content() error {
	added := map[*blob]bool{} // of manifests, too
	for _, b := range t.plan.Blobs {
		key, ok := digest.SumOf(b.Descriptor.Digest)
		if !ok {
			return fmt.Errorf("%s is not a sha256 digest", b.Descriptor.Digest)
		}
		entry, isNew := t.entry(key, b)
		if entry.size != b.Descriptor.Size {
			return fmt.Errorf("%s has %d bytes in one archive and %d in another", b.Descriptor.Digest, entry.size, b.Descriptor.Size)
		}
		entry.in |= t.bit()
		added[entry] = added[entry] || isNew
	}
	for _, n := range t.plan.Graph.Nodes {
		t.names(n, added)
	}
	return nil
}

// entry returns the entry of a manifest or a blob, and whether it is a new one.
func (t *adding) entry(key digest.Sum, b bundle.Blob) (entry *blob, isNew bool) {
	if !b.IsManifest {
		entry = t.blobs[key]
		if isNew = entry == nil; isNew {
			entry = &blob{size: b.Descriptor.Size, archive: t.n}
			t.blobs[key] = entry
		}
		return entry, isNew
	}
	m := t.manifests[key]
	if isNew = m == nil; isNew {
		m = &manifest{sum: key, mediaType: unique.Make(string(b.Descriptor.MediaType)), blob: blob{size: b.Descriptor.Size, archive: t.n}}
		t.manifests[key] = m
	}
	return &m.blob, isNew
}

// names notes what a manifest names: blobs, and the children of an index. The images in a bundle's lock are not in
// the bundle's repository for that.
func (t *adding) names(n *bundle.Node, added map[*blob]bool) {
	m := t.manifest(n.Descriptor.Digest)
	for _, d := range n.Blobs {
		key, _ := digest.SumOf(d.Digest)
		if b := t.blobs[key]; b != nil && (added[&m.blob] || added[b]) {
			b.own(m)
		}
	}
	if !added[&m.blob] || n.Kind == bundle.Bundle {
		return
	}
	for _, d := range n.Children {
		t.manifest(d).own(m)
	}
}

// own notes that m names b. The calls for one manifest follow each other, so the last owner tells
// whether it is noted.
func (b *blob) own(m *manifest) {
	if n := len(b.owners); n == 0 || b.owners[n-1] != m {
		b.owners = append(b.owners, m)
	}
}

// manifest returns the manifest d of the plan.
func (t *adding) manifest(d v1.Hash) *manifest {
	key, _ := digest.SumOf(d)
	return t.manifests[key]
}

// attachments adds what is attached to which manifest.
func (t *adding) attachments() {
	for _, a := range t.plan.Graph.Attachments {
		subject, m := t.manifest(a.Subject), t.manifest(a.Digest)
		switch {
		case a.Tag != "":
			t.attached = append(t.attached, attachedTag{strings.Clone(a.Tag), subject, m})
		case !slices.Contains(subject.referrers, m):
			subject.referrers = append(subject.referrers, m)
		}
		if !slices.Contains(m.owners, subject) {
			m.owners = append(m.owners, subject)
		}
	}
}

// imported adds the repository that the archive would be imported into, with imgpkg's layout.
func (t *adding) imported(place Import) error {
	if !oci.IsPath(place.Repository) || len(place.Repository) > maxName {
		return fmt.Errorf("%q is not the path of a repository", place.Repository)
	}
	repo := t.repository(place.Repository)
	repo.all |= t.bit()
	if place.Host != "" {
		repo.hosts[place.Host] = struct{}{}
	}
	for tag, d := range place.Tags {
		if err := repo.tag(place.Host, tag, t.manifest(d)); err != nil {
			return err
		}
	}
	for _, n := range t.plan.Graph.Nodes {
		for _, tag := range n.KeptTags(false) {
			if err := repo.tag("", tag, t.manifest(n.Descriptor.Digest)); err != nil {
				return err
			}
		}
		if n.Kind == bundle.Bundle {
			if err := t.locations(repo, n); err != nil {
				return fmt.Errorf("locations image of %s: %w", n.Name(), err)
			}
		}
	}
	return nil
}

// locations adds the locations image of a bundle, which no archive has.
func (t *adding) locations(repo *repository, n *bundle.Node) error {
	image, err := imgpkg.Locations(t.plan.Graph.Locations(n))
	if err != nil {
		return err
	}
	key, _ := digest.SumOf(image.Descriptor.Digest)
	m := t.manifests[key]
	if m == nil {
		m = &manifest{sum: key, mediaType: unique.Make(string(image.Descriptor.MediaType)), blob: blob{size: image.Descriptor.Size}}
		t.manifests[key] = m
	}
	t.keep(key, image.Manifest)
	for _, raw := range [][]byte{image.Config, image.Layer} {
		key, _ := digest.SumOf(digest.Of(raw))
		if t.blobs[key] == nil {
			t.blobs[key] = &blob{size: int64(len(raw))}
		}
		t.blobs[key].own(m)
		t.keep(key, raw)
	}
	if t.extraSize > maxExtra {
		return fmt.Errorf("locations images have more than %d bytes in total", maxExtra)
	}
	repo.named[m] = struct{}{}
	for _, tag := range []string{imgpkg.LocationsTag(n.Descriptor.Digest), imgpkg.DefaultTag(image.Descriptor.Digest)} {
		if err := repo.tag("", tag, m); err != nil {
			return err
		}
	}
	return nil
}

func (t *adding) keep(key digest.Sum, raw []byte) {
	if _, kept := t.extra[key]; !kept {
		t.extra[key] = raw
		t.extraSize += len(raw)
	}
}

// origins adds the repositories that references name, with the images that they name there.
func (t *adding) origins() error {
	for _, n := range t.plan.Graph.Nodes {
		for _, s := range n.References {
			ref, err := name.ParseReference(s)
			if err != nil || oci.CheckPath(ref.Context()) != nil {
				continue // no client can request it
			}
			repo := t.repository(strings.Clone(ref.Context().RepositoryStr()))
			repo.named[t.manifest(n.Descriptor.Digest)] = struct{}{}
			repo.hosts[unique.Make(ref.Context().RegistryStr()).Value()] = struct{}{}
		}
	}
	for _, pin := range t.plan.Graph.Pins {
		ref, err := name.NewTag(pin.Reference)
		if m := t.manifest(pin.Digest); err == nil && m != nil && oci.CheckPath(ref.Context()) == nil && oci.IsTag(ref.TagStr()) {
			repo, host := t.repository(strings.Clone(ref.Context().RepositoryStr())), unique.Make(ref.Context().RegistryStr()).Value()
			repo.named[m], repo.hosts[host] = struct{}{}, struct{}{}
			if err := repo.tag(host, strings.Clone(ref.TagStr()), m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *adding) repository(path string) *repository {
	repo := t.repos[path]
	if repo == nil {
		repo = &repository{path: path, named: map[*manifest]struct{}{}, tags: map[string][]tagged{}, hosts: map[string]struct{}{}}
		t.repos[path] = repo
	}
	return repo
}

// tag gives a manifest a tag at a registry; if host is empty, at any.
func (r *repository) tag(host, tag string, m *manifest) error {
	for _, other := range r.tags[tag] {
		switch {
		case host != other.host && host != "" && other.host != "":
		case other.manifest != m:
			return fmt.Errorf("%s:%s: %s and %s: %w", r.path, tag, other.sum.Hash(), m.sum.Hash(), ErrConflict)
		case other.host == host || other.host == "":
			return nil
		}
	}
	r.tags[tag] = append(r.tags[tag], tagged{host, m})
	return nil
}
