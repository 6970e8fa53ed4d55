package tarball

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// imgpkgEncoder writes the manifest.json of a plan, an entry at a time.
type imgpkgEncoder struct {
	plan      *bundle.Plan
	src       bundle.Source
	noOrigins bool
	listed    map[v1.Hash][]imgpkgListed // the entries of roots, and of what is attached
	pins      map[v1.Hash][]string       // other tags that stood for a manifest
	left      int                        // bytes that the current entry may still take
}

func newImgpkgEncoder(plan *bundle.Plan, src bundle.Source, noOrigins bool) *imgpkgEncoder {
	e := &imgpkgEncoder{plan: plan, src: src, noOrigins: noOrigins, listed: map[v1.Hash][]imgpkgListed{}, pins: map[v1.Hash][]string{}}
	isRoot := map[string]bool{}
	for _, root := range plan.Graph.Roots {
		isRoot[root.Reference.Name()] = true
		l := imgpkgListed{ref: root.Reference.Context().Digest(root.Digest.String()), tag: root.Tag()}
		if plan.Graph.Node(root.Digest).Kind == bundle.Bundle { // only bundles have an origin
			l.orig = l.ref
			if e.listed[root.Digest] == nil { // a root that is named twice has one label
				l.labels = withLabel(nil, rootLabel, "")
			}
		}
		e.listed[root.Digest] = append(e.listed[root.Digest], l)
	}
	for _, pin := range plan.Graph.Pins {
		if !isRoot[pin.Reference] {
			e.pins[pin.Digest] = append(e.pins[pin.Digest], pin.Reference)
		}
	}
	subjects := map[v1.Hash][]string{}
	for _, a := range plan.Graph.Attachments {
		l := imgpkgListed{ref: plan.Graph.Node(a.Digest).From.Digest(a.Digest.String()), tag: a.Tag}
		if a.Tag == "" {
			if subjects[a.Digest] = append(subjects[a.Digest], a.Subject.String()); len(subjects[a.Digest]) > 1 {
				continue // it has an entry
			}
		}
		e.listed[a.Digest] = append(e.listed[a.Digest], l)
	}
	for d, list := range subjects {
		for i := range e.listed[d] {
			if e.listed[d][i].tag == "" {
				e.listed[d][i].labels = withLabel(maps.Clone(e.listed[d][i].labels), subjectsLabel, strings.Join(list, " "))
				break
			}
		}
	}
	return e
}

// imgpkgListed has the members of an entry other than its content.
type imgpkgListed struct {
	ref, orig name.Digest // orig may be the zero value
	tag       string
	labels    map[string]string
}

// oneRoot refuses several root bundles.
func (e *imgpkgEncoder) oneRoot() error {
	var first *bundle.Root
	for _, root := range e.plan.Graph.Roots {
		switch {
		case e.plan.Graph.Node(root.Digest).Kind != bundle.Bundle:
		case first == nil:
			first = &root
		case first.Digest != root.Digest:
			return fmt.Errorf("%w, but %s and %s were named", ErrOneRoot, first.Reference.Name(), root.Reference.Name())
		}
	}
	return nil
}

// whole refuses an index of which children are left out.
func (e *imgpkgEncoder) whole() error {
	for _, n := range e.plan.Graph.Nodes {
		if len(n.Without) > 0 {
			return fmt.Errorf("%w, but %s is to be without the one for %s", ErrSparse, n.Name(), cmp.Or(n.Without[0].Platform, "no platform"))
		}
	}
	return nil
}

// encode writes the array in imgpkg's order: by the digests of manifest and config, then by
// reference.
func (e *imgpkgEncoder) encode(ctx context.Context, w io.Writer) error {
	nodes := slices.Clone(e.plan.Graph.Nodes)
	slices.SortFunc(nodes, func(a, b *bundle.Node) int { return strings.Compare(a.Descriptor.Digest.Hex, b.Descriptor.Digest.Hex) })
	bw := bufio.NewWriter(w)
	sep := "["
	for _, n := range nodes {
		for _, listed := range e.list(n) {
			e.left = maxImgpkgEntry
			entry, err := e.entry(ctx, n, listed)
			if err != nil {
				return err
			}
			text, err := json.Marshal(entry)
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name(), err)
			}
			if len(text) > maxImgpkgEntry {
				return tooLargeEntry(n)
			}
			bw.WriteString(sep)
			bw.Write(text)
			sep = ","
		}
	}
	bw.WriteString("]")
	return bw.Flush()
}

// list returns the entries that a manifest has at the top level: one for each root; one for each
// reference in a lock, if the manifest was found where one of them says, else one for the place
// where it was found. A child of an index has none.
func (e *imgpkgEncoder) list(n *bundle.Node) []imgpkgListed {
	list := slices.Clone(e.listed[n.Descriptor.Digest])
	for _, l := range places(n) {
		if !slices.ContainsFunc(list, func(other imgpkgListed) bool { return other.ref.Name() == l.ref.Name() }) {
			list = append(list, l)
		}
	}
	slices.SortStableFunc(list, func(a, b imgpkgListed) int {
		return cmp.Or(strings.Compare(a.ref.Name(), b.ref.Name()), strings.Compare(a.tag, b.tag))
	})
	if pins := e.pins[n.Descriptor.Digest]; pins != nil && list != nil {
		list[0].labels = withLabel(maps.Clone(list[0].labels), pinsLabel, strings.Join(pins, " "))
	}
	if e.noOrigins {
		for i := range list {
			list[i].orig = name.Digest{}
		}
	}
	return list
}

// places returns the entries of a manifest for the references in locks, or for the place where it
// was found.
func places(n *bundle.Node) (list []imgpkgListed) {
	found := false
	for _, s := range n.References {
		if ref, err := name.NewDigest(s); err == nil {
			list = append(list, imgpkgListed{ref: ref, orig: ref})
			found = found || ref.Context().Name() == n.From.Name()
		}
	}
	at := n.From.Digest(n.Descriptor.Digest.String())
	switch {
	case found:
		return list
	case len(list) > 0:
		return []imgpkgListed{{ref: at, orig: list[0].ref}}
	case !n.IsChild:
		return []imgpkgListed{{ref: at, orig: at}}
	}
	return nil
}

func withLabel(labels map[string]string, key, value string) map[string]string {
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}

// elsewhere returns the repositories of manifests where they differ from what a reader of the
// document must assume: the smallest of several that it names.
func (e *imgpkgEncoder) elsewhere() map[string]string {
	read := map[v1.Hash]string{}
	var visit func(n *bundle.Node, repo string)
	visit = func(n *bundle.Node, repo string) {
		if known, ok := read[n.Descriptor.Digest]; ok && known <= repo {
			return
		}
		read[n.Descriptor.Digest] = repo
		if n.Kind == bundle.Index {
			for _, d := range n.Children {
				visit(e.plan.Graph.Node(d), repo)
			}
		}
	}
	for _, n := range e.plan.Graph.Nodes {
		for _, listed := range e.list(n) {
			visit(n, listed.ref.Context().Name())
		}
	}
	other := map[string]string{}
	for _, n := range e.plan.Graph.Nodes {
		if d := n.Descriptor.Digest; read[d] != n.From.Name() && len(other) < maxElsewhere {
			other[d.String()] = n.From.Name()
		}
	}
	return other
}

// entry reads a manifest, and of an index its children.
func (e *imgpkgEncoder) entry(ctx context.Context, n *bundle.Node, l imgpkgListed) (*imgpkgEntry, error) {
	if n.Kind == bundle.Index {
		index, err := e.index(ctx, n, l)
		return &imgpkgEntry{ImageIndex: index}, err
	}
	image, err := e.image(ctx, n, l)
	return &imgpkgEntry{Image: image}, err
}

func (e *imgpkgEncoder) index(ctx context.Context, n *bundle.Node, l imgpkgListed) (*imgpkgIndex, error) {
	index := &imgpkgIndex{
		Refs: []string{l.ref.Name()}, MediaType: n.Descriptor.MediaType, Digest: n.Descriptor.Digest.String(),
		Tag: l.tag, OrigRef: l.origin(), Labels: l.labels,
	}
	var err error
	if index.Raw, err = e.manifest(ctx, n); err != nil {
		return nil, err
	}
	for _, d := range n.Children {
		child, within := e.plan.Graph.Node(d), l
		within.ref = l.ref.Context().Digest(d.String())
		entry, err := e.entry(ctx, child, within)
		if err != nil {
			return nil, err
		}
		if entry.ImageIndex != nil {
			index.Indexes = append(index.Indexes, entry.ImageIndex)
		} else {
			index.Images = append(index.Images, entry.Image)
		}
	}
	return index, nil
}

func (e *imgpkgEncoder) image(ctx context.Context, n *bundle.Node, l imgpkgListed) (*imgpkgImage, error) {
	image := &imgpkgImage{Refs: []string{l.ref.Name()}, Tag: l.tag, OrigRef: l.origin(), Labels: l.labels}
	image.Manifest.MediaType, image.Manifest.Digest = n.Descriptor.MediaType, n.Descriptor.Digest.String()
	var err error
	if image.Manifest.Raw, err = e.manifest(ctx, n); err != nil {
		return nil, err
	}
	config, err := e.config(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("config %s of %s: %w", n.Blobs[0].Digest, n.Name(), err)
	}
	image.Config.Digest = n.Blobs[0].Digest.String()
	if image.Config.Raw, err = e.text(n, config); err != nil {
		return nil, fmt.Errorf("config %s of %s: %w", n.Blobs[0].Digest, n.Name(), err)
	}
	diffIDs := diffIDsOf(n, config)
	for _, d := range n.Blobs[1:] {
		layer := imgpkgLayer{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}
		if d.MediaType.IsLayer() {
			layer.DiffID = diffIDs[d.Digest]
		}
		image.Layers = append(image.Layers, layer)
	}
	return image, nil
}

func (l imgpkgListed) origin() string {
	if l.orig == (name.Digest{}) {
		return ""
	}
	return l.orig.Name()
}

func (e *imgpkgEncoder) manifest(ctx context.Context, n *bundle.Node) (json.RawMessage, error) {
	_, raw, err := e.src.Manifest(ctx, n.From.Digest(n.Descriptor.Digest.String()))
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", n.Name(), err)
	}
	text, err := e.text(n, raw)
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", n.Name(), err)
	}
	return text, nil
}

func (e *imgpkgEncoder) config(ctx context.Context, n *bundle.Node) ([]byte, error) {
	r, err := e.src.Blob(ctx, n.From, n.Blobs[0])
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r) // at most maxImgpkgConfig, which layers has checked
}

// text spells a manifest or config of n as a JSON string.
func (e *imgpkgEncoder) text(n *bundle.Node, raw []byte) (json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("it is not UTF-8 text, and imgpkg's format holds nothing else: export without --tar-format imgpkg")
	}
	text, err := json.Marshal(string(raw))
	if e.left -= len(text); e.left < 0 {
		return nil, tooLargeEntry(n)
	}
	return text, err
}

func tooLargeEntry(n *bundle.Node) error {
	return fmt.Errorf("%s: with all that it nests, it takes more than the %d bytes that an entry of manifest.json may have", n.Name(), maxImgpkgEntry)
}

// diffIDsOf returns the DiffIDs of layers, if the config has one for each, as imgpkg finds them:
// for a layer that occurs twice, the first.
func diffIDsOf(n *bundle.Node, config []byte) map[v1.Hash]string {
	var doc struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	layers := n.Blobs[1:]
	if json.Unmarshal(config, &doc) != nil || len(doc.RootFS.DiffIDs) != len(layers) {
		return nil
	}
	ids := map[v1.Hash]string{}
	for i, d := range layers {
		if _, twice := ids[d.Digest]; !twice {
			ids[d.Digest] = doc.RootFS.DiffIDs[i]
		}
	}
	return ids
}
