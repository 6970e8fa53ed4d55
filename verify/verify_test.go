package verify_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/report"
	"relocate/testdata/interop"
	"relocate/verify"
)

// relocated is a package repository and the private repository that it was copied to.
type relocated struct {
	root, pkg, image, index, child name.Digest // as the origin names them
	layer                          v1.Descriptor
	plan                           *bundle.Plan
	target                         *interop.Repo
}

const origin, tag = "reg.test/origin", "1.0.0"

// relocate makes a package repository with one package of an image and an index, and copies it.
func relocate(t *testing.T) *relocated {
	t.Helper()
	var src interop.Registry
	repo := src.Repo(origin)
	r := &relocated{layer: repo.PutBlob([]byte("layer"))}
	r.image = repo.PutPlain(`{"image":1}`, r.layer)
	r.child = repo.PutPlain(`{"child":1}`, r.layer, repo.PutBlob([]byte("another")))
	r.index = repo.PutIndex(r.child)
	r.pkg = repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(r.image, r.index)})
	r.root = repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(r.pkg), "packages/a.yml": "apiVersion: data.packaging.carvel.dev/v1alpha1\n" +
		"kind: Package\nspec: {refName: a.b.c, version: 1.0.0, template: {spec: {fetch: [{imgpkgBundle: {image: '" + r.pkg.Name() + "'}}]}}}\n"})
	r.plan = r.planOf(t, repo, r.root)
	r.target = fill(t, r.plan, repo)
	return r
}

func lock(refs ...name.Digest) string {
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, ref := range refs {
		text += "- image: " + ref.Name() + "\n  annotations: {kbld.carvel.dev/id: '" + ref.Name() + "'}\n"
	}
	return text
}

func (r *relocated) planOf(t *testing.T, src bundle.Source, root name.Digest) *bundle.Plan {
	t.Helper()
	g, err := bundle.Walk(t.Context(), src, []name.Reference{root}, bundle.WalkOptions{})
	require.NoError(t, err)
	plan, err := bundle.NewPlan(g, bundle.PlanOptions{})
	require.NoError(t, err)
	return plan
}

// fill makes the repository that imgpkg would make of plan (docs/carvel.md, "The destination").
func fill(t *testing.T, plan *bundle.Plan, from *interop.Repo) *interop.Repo {
	t.Helper()
	target := new(interop.Registry).Repo("private.test/all")
	for _, n := range plan.Graph.Nodes {
		d := n.Descriptor.Digest
		target.Manifests[d] = from.Manifests[d]
		for _, b := range n.Blobs {
			target.Blobs[b.Digest] = from.Blobs[b.Digest]
		}
		if !n.IsChild {
			target.Tags[imgpkg.DefaultTag(d)] = d
		}
		if n.Kind == bundle.Bundle {
			putLocations(t, target, d, plan.Graph.Locations(n))
		}
	}
	target.Tags[tag] = plan.Graph.Roots[0].Digest
	return target
}

func putLocations(t *testing.T, target *interop.Repo, d v1.Hash, l *carvel.ImageLocations) {
	t.Helper()
	image, err := imgpkg.Locations(l)
	require.NoError(t, err)
	target.PutImage(image, imgpkg.LocationsTag(d))
}

func (r *relocated) verify(t *testing.T, level verify.Level) ([]report.Problem, error) {
	t.Helper()
	repo, err := name.NewRepository(r.target.Name)
	require.NoError(t, err)
	plan, problems, err := repository(t.Context(), r.target, repo, []v1.Hash{hash(r.root)},
		verify.Options{Level: level, Jobs: 4, Tags: map[string]v1.Hash{tag: hash(r.root)}, Want: r.plan})
	if err == nil && len(problems) == 0 {
		assert.Len(t, plan.Graph.Nodes, len(r.plan.Graph.Nodes))
	}
	return problems, err
}

func hash(ref name.Digest) v1.Hash { return interop.Hash(ref) }

func TestHealthyRepository(t *testing.T) {
	t.Parallel()
	for _, level := range []verify.Level{"", verify.Manifests, verify.Blobs, verify.Deep} {
		problems, err := relocate(t).verify(t, level)
		require.NoError(t, err)
		assert.Empty(t, problems, level)
	}
}

// What imgpkg itself filled is right.
func TestRepositoryFilledByImgpkg(t *testing.T) {
	t.Parallel()
	dst, err := interop.Destination()
	require.NoError(t, err)
	repo, err := name.NewRepository(interop.Relocated)
	require.NoError(t, err)
	d, err := v1.NewHash(interop.Root)
	require.NoError(t, err)
	plan, problems, err := repository(t.Context(), dst.Repo(interop.Relocated), repo, []v1.Hash{d}, verify.Options{Tags: map[string]v1.Hash{"1.0.0": d}})
	require.NoError(t, err)
	assert.Empty(t, problems)
	assert.Len(t, plan.Graph.Nodes, 11)
}

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		level verify.Level
		harm  func(*testing.T, *relocated)
		want  func(*relocated) []report.Problem // Reason is a part of it
	}{
		{"manifest gone", verify.Manifests,
			func(_ *testing.T, r *relocated) { delete(r.target.Manifests, hash(r.image)) },
			func(r *relocated) []report.Problem {
				return []report.Problem{{Kind: report.Missing, What: "manifest " + r.image.Name(), Images: []string{r.pkg.Name()}, Reason: "the registry does not have it"}}
			}},
		{"two manifests gone, one a child's", verify.Manifests,
			func(_ *testing.T, r *relocated) {
				delete(r.target.Manifests, hash(r.image))
				delete(r.target.Manifests, hash(r.child))
			},
			func(r *relocated) []report.Problem {
				return []report.Problem{
					{Kind: report.Missing, What: "manifest " + r.image.Name(), Images: []string{r.pkg.Name()}, Reason: "the registry does not have it"},
					{Kind: report.Missing, What: "manifest " + r.child.Name(), Images: []string{r.index.Name()}, Reason: "the registry does not have it"},
				}
			}},
		{"root gone", verify.Manifests,
			func(_ *testing.T, r *relocated) { delete(r.target.Manifests, hash(r.root)) },
			func(r *relocated) []report.Problem {
				return []report.Problem{{Kind: report.Missing, What: "manifest " + r.target.Ref(hash(r.root)).Name(), Reason: "the registry does not have it"}}
			}},
		{"default tag gone", verify.Manifests,
			func(_ *testing.T, r *relocated) { delete(r.target.Tags, imgpkg.DefaultTag(hash(r.index))) },
			func(r *relocated) []report.Problem {
				return []report.Problem{{Kind: report.Missing, What: "tag " + imgpkg.DefaultTag(hash(r.index)), Images: []string{r.index.Name()}, Reason: "it may collect the manifest"}}
			}},
		{"default tag moved", verify.Manifests,
			func(_ *testing.T, r *relocated) { r.target.Tags[imgpkg.DefaultTag(hash(r.index))] = hash(r.image) },
			func(r *relocated) []report.Problem {
				return []report.Problem{{Kind: report.Different, What: "tag " + imgpkg.DefaultTag(hash(r.index)), Images: []string{r.index.Name()}, Reason: "it stands for " + r.image.DigestStr() + ", want " + r.index.DigestStr()}}
			}},
		{"root's tag gone", verify.Manifests,
			func(_ *testing.T, r *relocated) { delete(r.target.Tags, tag) },
			func(*relocated) []report.Problem {
				return []report.Problem{{Kind: report.Missing, What: "tag 1.0.0", Reason: "the registry does not have it"}}
			}},
		{"root's tag moved", verify.Manifests,
			func(_ *testing.T, r *relocated) { r.target.Tags[tag] = hash(r.pkg) },
			func(r *relocated) []report.Problem {
				return []report.Problem{{Kind: report.Different, What: "tag 1.0.0", Reason: "it stands for " + r.pkg.DigestStr()}}
			}},
		{"locations gone", verify.Manifests,
			func(_ *testing.T, r *relocated) { delete(r.target.Tags, imgpkg.LocationsTag(hash(r.pkg))) },
			func(r *relocated) []report.Problem {
				return r.locations(report.Missing, "the registry does not have it")
			}},
		{"locations list less", verify.Manifests,
			func(t *testing.T, r *relocated) {
				putLocations(t, r.target, hash(r.pkg), &carvel.ImageLocations{Images: []carvel.Location{{Image: r.image}}})
			},
			func(r *relocated) []report.Problem {
				return r.locations(report.Different, "does not list what the bundle's lock names")
			}},
		{"locations list another kind", verify.Manifests,
			func(t *testing.T, r *relocated) {
				putLocations(t, r.target, hash(r.pkg), &carvel.ImageLocations{Images: []carvel.Location{{Image: r.image, IsBundle: true}, {Image: r.index}}})
			},
			func(r *relocated) []report.Problem {
				return r.locations(report.Different, "does not list what the bundle's lock names")
			}},
		{"locations are something else", verify.Manifests,
			func(_ *testing.T, r *relocated) { r.target.Tags[imgpkg.LocationsTag(hash(r.pkg))] = hash(r.pkg) },
			func(r *relocated) []report.Problem {
				return r.locations(report.Damaged, "malformed: has no image-locations.yml")
			}},
		{"layer of locations gone", verify.Manifests,
			func(t *testing.T, r *relocated) { delete(r.target.Blobs, r.locationsLayer(t)) },
			func(r *relocated) []report.Problem { return r.locations(report.Missing, "layer sha256:") }},
		{"layer of locations damaged", verify.Manifests,
			func(t *testing.T, r *relocated) { r.damage(r.locationsLayer(t)) },
			func(r *relocated) []report.Problem {
				return r.locations(report.Damaged, "does not match its descriptor")
			}},
		{"layer gone, only manifests looked at", verify.Manifests,
			func(_ *testing.T, r *relocated) { delete(r.target.Blobs, r.layer.Digest) },
			func(*relocated) []report.Problem { return nil }},
		{"layer gone", verify.Blobs,
			func(_ *testing.T, r *relocated) { delete(r.target.Blobs, r.layer.Digest) },
			func(r *relocated) []report.Problem { return r.blob(report.Missing, "the registry does not have it") }},
		{"layer gone, deep", verify.Deep,
			func(_ *testing.T, r *relocated) { delete(r.target.Blobs, r.layer.Digest) },
			func(r *relocated) []report.Problem { return r.blob(report.Missing, "the registry does not have it") }},
		{"layer damaged, only asked for", verify.Blobs,
			func(_ *testing.T, r *relocated) { r.damage(r.layer.Digest) },
			func(*relocated) []report.Problem { return nil }},
		{"layer damaged", verify.Deep,
			func(_ *testing.T, r *relocated) { r.damage(r.layer.Digest) },
			func(r *relocated) []report.Problem { return r.blob(report.Damaged, "has the digest sha256:") }},
		{"layer cut", verify.Deep,
			func(_ *testing.T, r *relocated) { r.target.Blobs[r.layer.Digest] = []byte("laye") },
			func(r *relocated) []report.Problem { return r.blob(report.Damaged, "ends after 4 of 5 bytes") }},
		{"config gone", verify.Manifests,
			func(_ *testing.T, r *relocated) {
				delete(r.target.Blobs, r.plan.Graph.Node(hash(r.image)).Blobs[0].Digest)
			},
			func(r *relocated) []report.Problem {
				return r.content(report.Missing, "read "+r.image.Name()+": config sha256:")
			}},
		{"config damaged", verify.Manifests,
			func(_ *testing.T, r *relocated) { r.damage(r.plan.Graph.Node(hash(r.image)).Blobs[0].Digest) },
			func(r *relocated) []report.Problem { return r.content(report.Damaged, "read "+r.image.Name()) }},
		{"bundle layer damaged", verify.Manifests,
			func(_ *testing.T, r *relocated) { r.damage(r.plan.Graph.Node(hash(r.pkg)).Blobs[1].Digest) },
			func(r *relocated) []report.Problem { return r.content(report.Damaged, "read bundle "+r.pkg.Name()) }},
		{"manifest damaged", verify.Manifests,
			func(_ *testing.T, r *relocated) {
				r.target.Manifests[hash(r.image)] = interop.Manifest{MediaType: types.OCIManifestSchema1, Raw: []byte("{}")}
			},
			func(r *relocated) []report.Problem { return r.content(report.Damaged, "find "+r.image.Name()) }},
		{"manifest of another type", verify.Manifests,
			func(_ *testing.T, r *relocated) {
				m := r.target.Manifests[hash(r.image)]
				m.MediaType = types.DockerManifestSchema2
				r.target.Manifests[hash(r.image)] = m
			},
			func(r *relocated) []report.Problem { return r.content(report.Damaged, "is served as") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := relocate(t)
			tt.harm(t, r)
			got, err := r.verify(t, tt.level)
			require.NoError(t, err)
			want := tt.want(r)
			require.Len(t, got, len(want), "%v", got)
			for i, p := range got {
				assert.Contains(t, p.Reason, want[i].Reason)
				p.Reason = want[i].Reason
				assert.Equal(t, want[i], p)
			}
		})
	}
}

// TestNotShown: what may not be seen cannot be called missing.
func TestNotShown(t *testing.T) {
	t.Parallel()
	r := relocate(t)
	r.failOn(hash(r.image).String(), fs.ErrPermission)
	_, err := r.verify(t, verify.Manifests)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, r.image.Name())
}

func (r *relocated) damage(d v1.Hash) {
	b := slices.Clone(r.target.Blobs[d])
	b[len(b)/2] ^= 1
	r.target.Blobs[d] = b
}

func (r *relocated) failOn(id string, err error) {
	r.target.Fail = func(asked string) error {
		if asked == id {
			return err
		}
		return nil
	}
}

// locationsLayer returns the layer of the package's locations image.
func (r *relocated) locationsLayer(t *testing.T) v1.Hash {
	t.Helper()
	raw := r.target.Manifests[r.target.Tags[imgpkg.LocationsTag(hash(r.pkg))]].Raw
	m, err := v1.ParseManifest(strings.NewReader(string(raw)))
	require.NoError(t, err)
	return m.Layers[0].Digest
}

func (r *relocated) locations(kind, reason string) []report.Problem {
	return []report.Problem{{Kind: kind, What: "locations image " + imgpkg.LocationsTag(hash(r.pkg)), Images: []string{r.pkg.Name()}, Reason: reason}}
}

func (r *relocated) blob(kind, reason string) []report.Problem {
	users := []string{r.image.Name(), r.child.Name()}
	slices.Sort(users)
	return []report.Problem{{Kind: kind, What: "blob " + r.layer.Digest.String(), Images: users, Reason: reason}}
}

func (r *relocated) content(kind, reason string) []report.Problem {
	return []report.Problem{{Kind: kind, What: "content of private.test/all", Reason: reason}}
}

// A registry that cannot answer is no finding about its content.
func TestRepositoryThatFails(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("dial tcp: no route to host")
	for what, id := range map[string]func(*relocated) string{
		"manifest":  func(r *relocated) string { return r.image.DigestStr() },
		"config":    func(r *relocated) string { return r.plan.Graph.Node(hash(r.image)).Blobs[0].Digest.String() },
		"tag":       func(*relocated) string { return tag },
		"locations": func(r *relocated) string { return imgpkg.LocationsTag(hash(r.pkg)) },
		"blob":      func(r *relocated) string { return r.layer.Digest.String() },
	} {
		for _, level := range []verify.Level{verify.Blobs, verify.Deep} {
			r := relocate(t)
			r.failOn(id(r), unreachable)
			problems, err := r.verify(t, level)
			require.ErrorIs(t, err, unreachable, what)
			assert.Empty(t, problems, what)
		}
	}
}

// A healthy repository is asked for what it should have, and for nothing else.
func TestRepositoryAsksOnlyForWhatShouldBeThere(t *testing.T) {
	t.Parallel()
	r := relocate(t)
	var mu sync.Mutex
	asked := map[string]bool{}
	r.target.Fail = func(id string) error {
		mu.Lock()
		defer mu.Unlock()
		asked[id] = true
		return nil
	}
	problems, err := r.verify(t, verify.Deep)
	require.NoError(t, err)
	require.Empty(t, problems)
	want := map[string]bool{}
	for id := range r.target.Tags {
		want[id] = true
	}
	for d := range r.target.Blobs {
		want[d.String()] = true
	}
	for d := range r.target.Manifests {
		want[d.String()] = true
	}
	for id := range asked {
		assert.True(t, want[id], id)
	}
	for _, b := range r.plan.Blobs {
		assert.True(t, asked[b.Descriptor.Digest.String()], b.Descriptor.Digest)
	}
}

func TestProgressCountsLayers(t *testing.T) {
	t.Parallel()
	for _, level := range []verify.Level{verify.Blobs, verify.Deep} {
		r := relocate(t)
		repo, err := name.NewRepository(r.target.Name)
		require.NoError(t, err)
		var mu sync.Mutex
		var blobs int
		var bytes int64
		_, problems, err := repository(t.Context(), r.target, repo, []v1.Hash{hash(r.root)}, verify.Options{Level: level, Jobs: 4,
			Progress: func(n int, size int64) {
				mu.Lock()
				defer mu.Unlock()
				blobs, bytes = blobs+n, bytes+size
			}})
		require.NoError(t, err)
		assert.Empty(t, problems)
		assert.Equal(t, 2, blobs)
		assert.EqualValues(t, len("layer")+len("another"), bytes)
	}
}

// TestRows: root, package, image, index and child; four of them have tags, and the root has two; two bundles.
func TestRows(t *testing.T) {
	t.Parallel()
	r := relocate(t)
	repo, err := name.NewRepository(r.target.Name)
	require.NoError(t, err)
	rows := func(level verify.Level) []report.Row {
		opt := verify.Options{Level: level, Tags: map[string]v1.Hash{tag: hash(r.root)}, Want: r.plan}
		result, err := verify.Repository(t.Context(), r.target, repo, []v1.Hash{hash(r.root)}, opt)
		require.NoError(t, err)
		return result.Rows
	}
	want := []report.Row{{Of: "manifests", Checked: 5}, {Of: "tags", Checked: 5}, {Of: "locations images", Checked: 2}}
	assert.Equal(t, want, rows(verify.Manifests))
	delete(r.target.Tags, imgpkg.LocationsTag(hash(r.pkg)))
	delete(r.target.Tags, tag)
	delete(r.target.Blobs, r.layer.Digest)
	want[1].Wrong, want[2].Wrong = 1, 1
	assert.Equal(t, append(want, report.Row{Of: "layers", Checked: 2, Wrong: 1}), rows(verify.Blobs))
}

func TestRepositoryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := relocate(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.target.Fail = func(id string) error {
		if id == tag {
			cancel()
		}
		return nil
	}
	repo, err := name.NewRepository(r.target.Name)
	require.NoError(t, err)
	_, err = verify.Repository(ctx, r.target, repo, []v1.Hash{hash(r.root)}, verify.Options{Level: verify.Deep, Tags: map[string]v1.Hash{tag: hash(r.root)}})
	require.ErrorIs(t, err, context.Canceled)
}

// Pins say what tags in Packages stood for at the export.
func TestRepositoryWithPins(t *testing.T) {
	t.Parallel()
	var src interop.Registry
	repo := src.Repo(origin)
	repo.Tags["v1"] = hash(repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(repo.PutPlain(`{}`))}))
	r := &relocated{root: repo.PutBundle(map[string]string{".imgpkg/images.yml": lock(), "packages/a.yml": "apiVersion: data.packaging.carvel.dev/v1alpha1\n" +
		"kind: Package\nspec: {refName: a.b.c, version: 1.0.0, template: {spec: {fetch: [{imgpkgBundle: {image: '" + origin + ":v1'}}]}}}\n"})}
	r.plan = r.planOf(t, repo, r.root)
	r.target = fill(t, r.plan, repo)
	private, err := name.NewRepository(r.target.Name)
	require.NoError(t, err)
	for _, tt := range []struct {
		pins []bundle.Pin
		want []report.Problem
	}{
		{r.plan.Graph.Pins, nil},
		{nil, []report.Problem{{Kind: report.Missing, What: "manifest " + origin + ":v1", Images: []string{r.target.Ref(hash(r.root)).Name()}, Reason: "the registry does not have it, needed by the package a.b.c 1.0.0: the tag's digest is not recorded: file does not exist"}}},
	} {
		_, problems, err := repository(t.Context(), r.target, private, []v1.Hash{hash(r.root)}, verify.Options{Pins: tt.pins, Want: r.plan})
		require.NoError(t, err)
		assert.Equal(t, tt.want, problems)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	r := relocate(t)
	assert.Empty(t, verify.Compare(r.plan, r.plan))
	other := relocate(t)

	other.plan.Graph.Node(hash(r.image)).Descriptor.Size++
	other.plan.Graph.Node(hash(r.child)).Descriptor.MediaType = types.DockerManifestSchema2
	other.plan.Graph.Node(hash(r.index)).Kind = bundle.Plain
	other.plan.Graph.Node(hash(r.pkg)).Children = []v1.Hash{hash(r.index), hash(r.image)}
	var got []string
	for _, p := range verify.Compare(r.plan, other.plan) {
		assert.Equal(t, report.Different, p.Kind)
		got = append(got, strings.TrimPrefix(p.What, "manifest ")+" "+p.Reason[:min(len(p.Reason), 11)])
	}
	assert.Equal(t, []string{
		r.pkg.DigestStr() + " it has othe", r.image.DigestStr() + " it is image", r.index.DigestStr() + " it is image", r.child.DigestStr() + " it is image",
	}, got, "in graph order")

	less := r.planOf(t, r.target, r.target.Ref(hash(r.pkg)))
	assert.Equal(t, []report.Problem{{Kind: report.Missing, What: "manifest " + r.root.DigestStr(), Images: []string{r.root.Name()}, Reason: "nothing there leads to it"}}, verify.Compare(r.plan, less))
	assert.Equal(t, []report.Problem{{Kind: report.Different, What: "manifest " + r.root.DigestStr(), Images: []string{r.root.Name()}, Reason: "nothing should lead to it"}}, verify.Compare(less, r.plan))
}

func TestUsers(t *testing.T) {
	t.Parallel()
	r := relocate(t)
	users := verify.Users(r.plan.Graph)
	both := []string{r.child.Name(), r.image.Name()}
	slices.Sort(both)
	assert.Equal(t, both, users[r.layer.Digest])
	assert.Equal(t, []string{r.index.Name()}, users[hash(r.index)])
	assert.Len(t, users, len(r.plan.Blobs))
}

// repository takes a Result apart.
func repository(ctx context.Context, target verify.Target, repo name.Repository, roots []v1.Hash, opt verify.Options) (*bundle.Plan, []report.Problem, error) {
	r, err := verify.Repository(ctx, target, repo, roots, opt)
	if err != nil {
		return nil, nil, err
	}
	return r.Plan, r.Problems, nil
}
