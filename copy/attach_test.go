package copy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/imgpkg"
	"relocate/oci"
)

// withTags tells a walk what is attached in a memory by tag.
type withTags struct{ *memory }

func (m withTags) Tags(context.Context, name.Repository, int) (tags []string, all bool, err error) {
	for tag := range m.tags {
		tags = append(tags, tag)
	}
	return tags, true, nil
}

func (withTags) Referrers(context.Context, name.Digest) ([]v1.Hash, error) {
	return nil, errors.ErrUnsupported
}

func (m withTags) HasBlob(ctx context.Context, _ name.Repository, d v1.Descriptor) (bool, error) {
	return m.memory.HasBlob(ctx, d)
}

// withAPI is a repository with the referrers API.
type withAPI struct {
	*memory
	late bool // it lists only what was put twice
}

func (m withAPI) Referrers(_ context.Context, subject v1.Hash) ([]v1.Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []v1.Hash
	for d, doc := range m.manifests {
		var m1 v1.Manifest
		if json.Unmarshal(doc.raw, &m1) != nil || m1.Subject == nil || m1.Subject.Digest != subject {
			continue
		}
		puts := slices.DeleteFunc(slices.Clone(m.puts), func(s string) bool { return !strings.HasPrefix(s, "manifest "+d.String()) })
		if !m.late || len(puts) > 1 {
			list = append(list, d)
		}
	}
	return list, nil
}

// signedFixture has a signature by tag on a child of the index and on the root, and what refers to the
// index, which is signed, too.
type signedFixture struct {
	*fixture
	sig, rootSig, sbom, sbomSig v1.Descriptor
}

func newSignedFixture(t *testing.T) *signedFixture {
	f := &signedFixture{fixture: newFixture(t)}
	tag := func(subject, d v1.Descriptor) v1.Descriptor {
		f.memory.tags[oci.ReferrersTag(subject.Digest)+".sig"] = d.Digest
		return d
	}
	f.sig = tag(f.child1, f.addImage(t, "sig", f.layer))
	f.rootSig = tag(f.root, f.addImage(t, "root sig"))
	f.sbom = f.addManifest(t, types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: f.addBlob("application/spdx", []byte("sbom")), Layers: []v1.Descriptor{}, Subject: &f.index})
	f.sbomSig = tag(f.sbom, f.addImage(t, "sbom sig"))
	f.memory.tags[oci.ReferrersTag(f.index.Digest)] = f.addManifest(t, types.OCIImageIndex,
		v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{f.sbom}}).Digest
	g, err := bundle.Walk(t.Context(), f, []name.Reference{name.MustParseReference(source + ":1.0")}, bundle.WalkOptions{Discovery: withTags{f.memory}})
	require.NoError(t, err)
	require.Len(t, g.Attachments, 4)
	f.plan, err = bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	return f
}

// TestAttach: attachments come after their subjects, their tags after everything but the roots', and a
// second copy puts nothing.
func TestAttach(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(*memory) Repository{
		"api":        func(m *memory) Repository { return withAPI{m, false} },
		"late api":   func(m *memory) Repository { return withAPI{m, true} },
		"tag schema": func(m *memory) Repository { return m },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, dst := newSignedFixture(t), newMemory()
			result, err := ToRepository(t.Context(), f.plan, f, wrap(dst), target, f.opt)
			require.NoError(t, err)
			assert.Equal(t, 4, result.Attached)
			assert.Zero(t, result.AttachedPresent)
			at := func(d v1.Descriptor, tag string) int {
				i := slices.Index(dst.puts, "manifest "+d.Digest.String()+" "+tag)
				require.GreaterOrEqual(t, i, 0, "%s %s in %v", d.Digest, tag, dst.puts)
				return i
			}
			def := func(d v1.Descriptor) string { return imgpkg.DefaultTag(d.Digest) }
			assert.Greater(t, at(f.sig, def(f.sig)), at(f.child1, ""))
			assert.Greater(t, at(f.rootSig, def(f.rootSig)), at(f.root, def(f.root)))
			assert.Greater(t, at(f.sbom, ""), at(f.index, def(f.index)))
			assert.Greater(t, at(f.sbomSig, def(f.sbomSig)), at(f.sbom, ""))
			assert.Greater(t, at(f.root, "1.0"), at(f.rootSig, oci.ReferrersTag(f.root.Digest)+".sig"))
			assert.Equal(t, "manifest "+f.root.Digest.String()+" 1.0", dst.puts[len(dst.puts)-1])
			_, hasList := dst.tags[oci.ReferrersTag(f.index.Digest)]
			assert.Equal(t, name == "tag schema", hasList, "the tag schema is for registries without the API")
			checkOrder(t, f.plan, dst.puts, func(v1.Hash) bool { return false })

			if name == "late api" {
				return
			}
			dst.puts = nil
			result, err = ToRepository(t.Context(), f.plan, f, wrap(dst), target, f.opt)
			require.NoError(t, err)
			assert.Empty(t, dst.puts)
			assert.Equal(t, 4, result.AttachedPresent)
			f.opt.Trust = TrustNothing
			_, err = ToRepository(t.Context(), f.plan, f, wrap(dst), target, f.opt)
			require.NoError(t, err)
			at(f.sig, oci.ReferrersTag(f.child1.Digest)+".sig")
		})
	}
}

// TestAttachFails: what could not be attached keeps the root's tag away, and nothing is attached to what is
// not there.
func TestAttachFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	f := newSignedFixture(t)
	for name, c := range map[string]struct {
		act   string // that fails
		never v1.Descriptor
	}{
		"a signature's tag":   {"manifest " + f.sig.Digest.String() + " " + oci.ReferrersTag(f.child1.Digest) + ".sig", v1.Descriptor{}},
		"a signature":         {"manifest " + f.sig.Digest.String() + " " + imgpkg.DefaultTag(f.sig.Digest), v1.Descriptor{}},
		"a subject":           {"manifest " + f.child1.Digest.String() + " ", f.sig},
		"a referrer":          {"manifest " + f.sbom.Digest.String() + " ", f.sbomSig},
		"a signature's blob":  {"blob " + f.layer.Digest.String(), f.sig},
		"a list of referrers": {oci.ReferrersTag(f.index.Digest), v1.Descriptor{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, keepGoing := range []bool{false, true} {
				f, dst := newSignedFixture(t), newMemory()
				f.opt.KeepGoing = keepGoing
				dst.before = func(_ context.Context, act string) error {
					put := strings.Count(act, " ") == 2 || strings.HasPrefix(act, "blob") // others ask
					if put && (act == c.act || strings.HasSuffix(act, " "+c.act)) {
						return boom
					}
					return nil
				}
				_, err := ToRepository(t.Context(), f.plan, f, dst, target, f.opt)
				require.ErrorIs(t, err, boom)
				var partial *PartialError
				assert.Equal(t, keepGoing, errors.As(err, &partial))
				assert.NotContains(t, dst.tags, "1.0")
				assert.NotContains(t, dst.manifests, c.never.Digest)
			}
		})
	}
}
