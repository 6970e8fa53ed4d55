package copy

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
)

const simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"

// addList adds a list as cosign writes it: all signatures are of one payload.
func (m *memory) addList(t *testing.T, names ...string) v1.Descriptor {
	t.Helper()
	config := v1.ConfigFile{RootFS: v1.RootFS{Type: "layers"}, Author: "kept"}
	doc := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for _, one := range names {
		layer := m.addBlob(simpleSigning, []byte("payload"))
		layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": one + "<&>"}
		doc.Layers = append(doc.Layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
		config.History = append(config.History, v1.History{})
	}
	raw, err := json.Marshal(config)
	require.NoError(t, err)
	doc.Config = m.addBlob(types.OCIConfigJSON, raw)
	return m.addManifest(t, types.OCIManifestSchema1, doc)
}

// listed returns the names of the signatures under a tag, having checked that the list is valid.
func (m *memory) listed(t *testing.T, tag string) (names []string) {
	t.Helper()
	desc, raw, err := m.Manifest(t.Context(), target.Tag(tag))
	require.NoError(t, err)
	assert.EqualValues(t, len(raw), desc.Size)
	var doc v1.Manifest
	require.NoError(t, json.Unmarshal(raw, &doc))
	var config v1.ConfigFile
	text := m.blobs[doc.Config.Digest]
	require.NoError(t, json.Unmarshal(text, &config))
	assert.EqualValues(t, len(text), doc.Config.Size)
	assert.Len(t, config.RootFS.DiffIDs, len(doc.Layers))
	assert.Len(t, config.History, len(doc.Layers))
	assert.Equal(t, "kept", config.Author)
	for i, layer := range doc.Layers {
		assert.Contains(t, m.blobs, layer.Digest)
		assert.Equal(t, layer.Digest, config.RootFS.DiffIDs[i])
		names = append(names, strings.TrimSuffix(layer.Annotations["dev.cosignproject.cosign/signature"], "<&>"))
	}
	return names
}

// signed plans an image that has a list of signatures under its tag.
func signed(t *testing.T, suffix string, attach func(m *memory) v1.Descriptor) (*memory, *bundle.Plan, string) {
	t.Helper()
	m := newMemory()
	image := m.addImage(t, "image", m.addBlob(types.OCILayer, []byte("layer")))
	tag := oci.ReferrersTag(image.Digest) + suffix
	m.tags["1.0"], m.tags[tag] = image.Digest, attach(m).Digest
	g, err := bundle.Walk(t.Context(), m, []name.Reference{name.MustParseReference(source + ":1.0")}, bundle.WalkOptions{Discovery: withTags{m}})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	return m, plan, tag
}

func signedBy(t *testing.T, names ...string) (*memory, *bundle.Plan, string) {
	return signed(t, ".sig", func(m *memory) v1.Descriptor { return m.addList(t, names...) })
}

// TestAttachKeeps: a copy adds to the signatures that are at the destination and takes none away.
func TestAttachKeeps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		there, ours, want         []string
		uploaded, present, merged int
	}{
		"the same":           {[]string{"a"}, []string{"a"}, []string{"a"}, 0, 1, 0},
		"older after newer":  {[]string{"a", "b"}, []string{"a"}, []string{"a", "b"}, 0, 1, 0},
		"in another order":   {[]string{"b", "a"}, []string{"a", "b"}, []string{"b", "a"}, 0, 1, 0},
		"newer after older":  {[]string{"a"}, []string{"a", "b"}, []string{"a", "b"}, 1, 0, 0},
		"signed at the site": {[]string{"a", "site"}, []string{"a", "b"}, []string{"a", "site", "b"}, 1, 0, 1},
		"only by the site":   {[]string{"site"}, []string{"a"}, []string{"site", "a"}, 1, 0, 1},
	} {
		for _, trust := range []Trust{TrustManifests, TrustNothing} {
			t.Run(name+" "+string(trust), func(t *testing.T) {
				t.Parallel()
				src, plan, tag := signedBy(t, c.ours...)
				dst := newMemory()
				dst.tags[tag] = dst.addList(t, c.there...).Digest
				result, err := ToRepository(t.Context(), plan, src, dst, target, Options{Trust: trust})
				require.NoError(t, err)
				assert.Equal(t, c.want, dst.listed(t, tag))
				assert.Empty(t, result.LeftOut)
				if trust == TrustNothing && slices.Equal(c.there, c.ours) { // it is sent again
					return
				}
				assert.Equal(t, []int{c.uploaded, c.present, c.merged}, []int{result.Attached, result.AttachedPresent, result.Merged})

				dst.puts = nil
				result, err = ToRepository(t.Context(), plan, src, dst, target, Options{})
				require.NoError(t, err)
				assert.Empty(t, dst.puts, "a second copy")
				assert.Equal(t, 1, result.AttachedPresent)
			})
		}
	}
}

// TestAttachConflicts: what cannot be merged stays, is counted and named; with AttachAll it ends the copy.
func TestAttachConflicts(t *testing.T) {
	t.Parallel()
	list := func(m *memory) v1.Descriptor { return m.addList(t, "a") }
	image := func(m *memory) v1.Descriptor {
		return m.addImage(t, "other", m.addBlob(types.OCILayer, []byte("other")))
	}
	index := func(m *memory) v1.Descriptor {
		return m.addManifest(t, types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}})
	}
	noConfig := func(m *memory) v1.Descriptor {
		d := m.addList(t, "site", "site too") // its config is not ours
		var doc v1.Manifest
		require.NoError(t, json.Unmarshal(m.manifests[d.Digest].raw, &doc))
		delete(m.blobs, doc.Config.Digest)
		return d
	}
	for name, c := range map[string]struct {
		suffix      string
		there, ours func(*memory) v1.Descriptor
	}{
		"an SBOM":                   {".sbom", func(m *memory) v1.Descriptor { return m.addList(t, "site") }, list},
		"an image for a signature":  {".sig", image, list},
		"an index for attestations": {".att", index, list},
		"a list for an image":       {".sig", list, image},
		"a list without its config": {".sig", noConfig, list},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, plan, tag := signed(t, c.suffix, c.ours)
			for _, mode := range []Attachments{"", AttachAll} {
				dst := newMemory()
				there := c.there(dst).Digest
				dst.tags[tag] = there
				result, err := ToRepository(t.Context(), plan, src, dst, target, Options{Attachments: mode, Tags: []Tag{{"1.0", plan.Graph.Roots[0].Digest}}})
				assert.Equal(t, there, dst.tags[tag])
				if mode == AttachAll {
					require.ErrorIs(t, err, oci.ErrConflict)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, plan.Graph.Roots[0].Digest, dst.tags["1.0"])
				assert.Equal(t, []int{1, 1}, []int{result.AttachmentsLeftOut, result.AttachmentConflicts})
				require.Len(t, result.LeftOut, 1)
				assert.Equal(t, plan.Graph.Attachments[0], result.LeftOut[0].Attachment)
			}
		})
	}
}

// onceDamaged is a repository whose first answer for a blob comes damaged.
type onceDamaged struct {
	*memory
	blob v1.Hash
	read int
}

func (f *onceDamaged) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	if d.Digest != f.blob {
		return f.memory.Blob(ctx, repo, d)
	}
	if f.read++; f.read == 1 {
		return io.NopCloser(digest.Reader(bytes.NewReader(make([]byte, d.Size)), d.Digest, d.Size)), nil
	}
	return f.memory.Blob(ctx, repo, d)
}

// TestMergeReadsAgain: a config that comes damaged from the destination is read once more.
func TestMergeReadsAgain(t *testing.T) {
	t.Parallel()
	src, plan, tag := signedBy(t, "a")
	dst := newMemory()
	site := dst.addList(t, "site").Digest
	dst.tags[tag] = site
	var list v1.Manifest
	require.NoError(t, json.Unmarshal(dst.manifests[site].raw, &list))
	flips, again := &onceDamaged{memory: dst, blob: list.Config.Digest}, 0
	_, err := ToRepository(t.Context(), plan, src, flips, target, Options{Jobs: 1, Progress: func(s Step) { again += s.Reread }})
	require.NoError(t, err)
	assert.Equal(t, []string{"site", "a"}, dst.listed(t, tag))
	assert.Equal(t, []int{2, 1}, []int{flips.read, again})
}

// replaced is the error of a repository in which somebody else was faster.
type replaced struct{}

func (replaced) Error() string  { return "replaced" }
func (replaced) Replaced() bool { return true }

// TestAttachContended: somebody writes the same tag right after it was written, and the repository may say so. What is
// lost is written again, as long as that may help; then it is a conflict.
func TestAttachContended(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		times int
		says  bool
		mode  Attachments
	}{{1, false, ""}, {3, false, ""}, {3, true, ""}, {3, true, AttachAll}, {100, false, ""}, {100, true, ""}, {100, false, AttachAll}, {100, true, AttachAll}} {
		src, plan, tag := signedBy(t, "a")
		dst := newMemory()
		site, merged := dst.addList(t, "site").Digest, 0
		dst.tags[tag] = site
		dst.before = func(_ context.Context, act string) error {
			dst.mu.Lock()
			defer dst.mu.Unlock()
			isPut := strings.HasPrefix(act, "manifest ") && strings.HasSuffix(act, " "+tag) && act != "manifest "+tag
			switch {
			case c.says && isPut && merged < c.times:
				merged++
				return replaced{}
			case !c.says && act == "manifest "+tag && merged < c.times && dst.tags[tag] != site: // it is read again
				dst.tags[tag] = site
				merged++
			}
			return nil
		}
		result, err := ToRepository(t.Context(), plan, src, dst, target, Options{Attachments: c.mode, Tags: []Tag{{"1.0", plan.Graph.Roots[0].Digest}}})
		switch {
		case c.times == 100 && c.mode == AttachAll:
			require.ErrorIs(t, err, ErrContended)
			assert.NotContains(t, dst.tags, "1.0")
		case c.times == 100:
			require.NoError(t, err)
			assert.Equal(t, plan.Graph.Roots[0].Digest, dst.tags["1.0"])
			assert.Equal(t, []int{1, 1}, []int{result.AttachmentsLeftOut, result.AttachmentConflicts})
			require.Len(t, result.LeftOut, 1)
			assert.Contains(t, result.LeftOut[0].Reason, "somebody else changes it at the same time")
			assert.LessOrEqual(t, merged, maxTries+1)
		default:
			require.NoError(t, err)
			assert.Equal(t, []string{"site", "a"}, dst.listed(t, tag))
			assert.Equal(t, 1, result.Merged)
		}
	}
}

// TestReferrersContended is TestAttachContended for the list of referrers under a tag.
func TestReferrersContended(t *testing.T) {
	t.Parallel()
	for _, times := range []int{3, 100} {
		f, dst := newSignedFixture(t), newMemory()
		replacedSoFar := 0
		dst.before = func(_ context.Context, act string) error {
			dst.mu.Lock()
			defer dst.mu.Unlock()
			if strings.HasSuffix(act, " "+oci.ReferrersTag(f.index.Digest)) && strings.Count(act, " ") == 2 && replacedSoFar < times {
				replacedSoFar++
				return replaced{}
			}
			return nil
		}
		result, err := ToRepository(t.Context(), f.plan, f, dst, target, f.opt)
		require.NoError(t, err)
		assert.Equal(t, f.root.Digest, dst.tags["1.0"])
		if times == 100 {
			assert.Equal(t, []int{1, 1}, []int{result.AttachmentsLeftOut, result.AttachmentConflicts})
		} else {
			assert.Equal(t, 4, result.Attached)
		}
	}
}

// refusal is an answer that refuses one thing.
type refusal struct{}

func (refusal) Error() string { return "refused" }
func (refusal) Refused() bool { return true }

// TestAttachRefused: whatever of an attachment the destination refuses, everything else is copied, and what
// hangs on it is named.
func TestAttachRefused(t *testing.T) {
	t.Parallel()
	f := newSignedFixture(t)
	sbomOf := bundle.Attachment{Subject: f.index.Digest, Digest: f.sbom.Digest}
	sbomSig := bundle.Attachment{Subject: f.sbom.Digest, Digest: f.sbomSig.Digest, Tag: oci.ReferrersTag(f.sbom.Digest) + ".sig"}
	sig := bundle.Attachment{Subject: f.child1.Digest, Digest: f.sig.Digest, Tag: oci.ReferrersTag(f.child1.Digest) + ".sig"}
	blob := f.plan.Graph.Node(f.sbom.Digest).Blobs[0].Digest.String()
	for name, c := range map[string]struct {
		act  func(string) bool
		err  error
		want []bundle.Attachment
	}{
		"a tag":        {func(s string) bool { return strings.HasSuffix(s, " "+sig.Tag) }, refusal{}, []bundle.Attachment{sig}},
		"a fixed tag":  {func(s string) bool { return strings.HasSuffix(s, f.sig.Digest.String()+" "+sig.Tag) }, fs.ErrExist, []bundle.Attachment{sig}},
		"a manifest":   {func(s string) bool { return strings.HasPrefix(s, "manifest "+f.sbom.Digest.String()) }, refusal{}, []bundle.Attachment{sbomOf, sbomSig}},
		"a blob":       {func(s string) bool { return s == "blob "+blob }, refusal{}, []bundle.Attachment{sbomOf, sbomSig}},
		"a list":       {func(s string) bool { return strings.HasSuffix(s, oci.ReferrersTag(f.index.Digest)) }, refusal{}, []bundle.Attachment{sbomOf}},
		"a signature":  {func(s string) bool { return strings.HasPrefix(s, "manifest "+f.sbomSig.Digest.String()) }, refusal{}, []bundle.Attachment{sbomSig}},
		"an image":     {func(s string) bool { return strings.HasPrefix(s, "manifest "+f.lone.Digest.String()) }, refusal{}, nil},
		"the server's": {func(s string) bool { return strings.HasSuffix(s, " "+sig.Tag) }, fs.ErrInvalid, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []Attachments{"", AttachAll} {
				dst := newMemory()
				dst.before = func(_ context.Context, act string) error {
					if c.act(act) {
						return c.err
					}
					return nil
				}
				opt := f.opt
				opt.Attachments = mode
				result, err := ToRepository(t.Context(), f.plan, f.fixture, dst, target, opt)
				if c.want == nil || mode == AttachAll {
					require.ErrorIs(t, err, c.err)
					assert.NotContains(t, dst.tags, "1.0")
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, f.root.Digest, dst.tags["1.0"])
				var got []bundle.Attachment
				for _, l := range result.LeftOut {
					got = append(got, l.Attachment)
				}
				assert.ElementsMatch(t, c.want, got)
				assert.Equal(t, len(c.want), result.AttachmentsLeftOut)
				assert.Equal(t, 4-len(c.want), result.Attached)
			}
		})
	}
}

// TestAttachNothing: without attachments the destination is as if the plan had none, and each is named.
func TestAttachNothing(t *testing.T) {
	t.Parallel()
	f, dst := newSignedFixture(t), newMemory()
	f.opt.Attachments = AttachNothing
	result, err := ToRepository(t.Context(), f.plan, f, dst, target, f.opt)
	require.NoError(t, err)
	assert.Equal(t, f.tags, slices.Sorted(maps.Keys(dst.tags)))
	assert.Equal(t, 4, result.AttachmentsLeftOut)
	for _, d := range []v1.Descriptor{f.sig, f.rootSig, f.sbom, f.sbomSig} {
		assert.NotContains(t, dst.manifests, d.Digest)
	}
	assert.NotContains(t, dst.blobs, f.plan.Graph.Node(f.sbom.Digest).Blobs[0].Digest)
}
