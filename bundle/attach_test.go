package bundle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	"relocate/internal/digest"
	"relocate/internal/imgpkg"
	"relocate/testdata/interop"
)

// discovery is what a registry in memory tells of attachments, and what it was asked.
type discovery struct {
	repo      *interop.Repo
	pages     int                   // of tags; more are not asked for than the walk allows
	noTags    error                 // in place of a list
	referrers map[v1.Hash][]v1.Hash // nil: no API
	refuse    error                 // in place of referrers
	mu        sync.Mutex
	asked     []string
}

func (d *discovery) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, fmt.Sprintf(format, args...))
}

func (d *discovery) Tags(_ context.Context, repo name.Repository, requests int) ([]string, bool, error) {
	d.note("tags %s", repo.Name())
	if d.noTags != nil || d.pages > requests {
		return nil, false, d.noTags
	}
	var tags []string
	for tag := range d.repo.Tags {
		tags = append(tags, tag)
	}
	return tags, true, nil
}

func (d *discovery) Referrers(_ context.Context, subject name.Digest) ([]v1.Hash, error) {
	d.note("referrers %s", subject.DigestStr())
	if d.refuse != nil {
		return nil, d.refuse
	}
	if d.referrers == nil {
		return nil, errors.ErrUnsupported
	}
	return d.referrers[interop.Hash(subject)], nil
}

func (d *discovery) HasBlob(_ context.Context, _ name.Repository, b v1.Descriptor) (bool, error) {
	d.note("blob %s", b.Digest)
	return d.repo.Blobs[b.Digest] != nil, nil
}

// attachable is a repository with an image to which things are attached.
type attachable struct {
	*discovery
	reg   *interop.Registry
	image name.Digest
}

func newAttachable() *attachable {
	a := &attachable{reg: &interop.Registry{}, discovery: &discovery{referrers: map[v1.Hash][]v1.Hash{}}}
	a.repo = a.reg.Repo("reg.test/app")
	a.image = a.repo.PutPlain(`{"architecture":"amd64"}`)
	return a
}

// byTag attaches an artifact by a tag.
func (a *attachable) byTag(subject name.Digest, suffix string) name.Digest {
	return a.tag(subject, suffix, putArtifact(a.repo, `{"of":"`+subject.DigestStr()+suffix+`"}`))
}

func (a *attachable) tag(subject name.Digest, suffix string, d name.Digest) name.Digest {
	a.repo.Tags["sha256-"+hash(subject).Hex+suffix] = hash(d)
	return d
}

// refer attaches an artifact that names its subject; content tells those of one subject apart.
func (a *attachable) refer(subject name.Digest, content string) name.Digest {
	d := a.artifact(subject.DigestStr(), content)
	a.referrers[hash(subject)] = append(a.referrers[hash(subject)], hash(d))
	return d
}

func (a *attachable) artifact(subject, content string) name.Digest {
	c := a.repo.PutBlob([]byte(content))
	c.MediaType = "application/vnd.example"
	return a.repo.PutJSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": c, "layers": []any{}, "subject": map[string]any{"digest": subject}})
}

func (a *attachable) walk(t *testing.T, opt bundle.WalkOptions) (*bundle.Graph, error) {
	t.Helper()
	opt.Discovery = a.discovery
	return bundle.Walk(t.Context(), a.reg, refs(a.image), opt)
}

func (a *attachable) mustWalk(t *testing.T) *bundle.Graph {
	t.Helper()
	g, err := a.walk(t, bundle.WalkOptions{Jobs: 4})
	require.NoError(t, err)
	return g
}

// attachment is what a graph says of an attachment.
func attachment(subject, d name.Digest, suffix string) bundle.Attachment {
	a := bundle.Attachment{Subject: hash(subject), Digest: hash(d)}
	if suffix != "" {
		a.Tag = "sha256-" + a.Subject.Hex + suffix
	}
	return a
}

// TestAttach: cosign's tags come before what refers to a subject, and attachments have their own, in one
// order whatever was asked, and a closed walk comes to the same graph.
func TestAttach(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	sig, sbom := a.byTag(a.image, ".sig"), a.byTag(a.image, ".sbom")
	sbomSig := a.byTag(sbom, ".sig")
	first, second := a.refer(a.image, "1"), a.refer(a.image, "2")
	if first.DigestStr() > second.DigestStr() {
		first, second = second, first
	}
	deep := a.refer(first, "deep")
	a.repo.Tags["sha256-"+strings.Repeat("0", 64)+".sig"] = hash(sig) // of nothing that is carried
	a.repo.Tags["latest"] = hash(a.image)

	want := []bundle.Attachment{
		attachment(a.image, sig, ".sig"), attachment(a.image, sbom, ".sbom"), attachment(a.image, first, ""), attachment(a.image, second, ""),
		attachment(sbom, sbomSig, ".sig"), attachment(first, deep, ""),
	}
	g := a.mustWalk(t)
	assert.Equal(t, want, g.Attachments)
	assert.Empty(t, g.Unseen)
	assert.Empty(t, g.WithoutAttachments())
	require.Len(t, g.Nodes, 7)
	for _, n := range g.Nodes[1:] {
		assert.Equal(t, bundle.Attached, n.Kind)
		assert.Equal(t, len(n.Tags) == 0, n.IsChild, "what has no tag is put by its digest")
	}
	assert.Equal(t, "reg.test/app:"+want[0].Tag, g.Nodes[1].Name())
	assert.Equal(t, "reg.test/app@"+deep.DigestStr(), g.Nodes[6].Name())

	once := slices.DeleteFunc(slices.Clone(a.asked), func(s string) bool { return !strings.HasPrefix(s, "tags") })
	assert.Equal(t, []string{"tags reg.test/app"}, once, "one listing, whatever the depth")

	a.pages = 10_000 // so that tags are asked for one by one
	oneByOne := a.mustWalk(t)
	a.referrers, a.pages = nil, 0
	for subject, list := range map[name.Digest][]name.Digest{a.image: {second, first}, first: {deep}} {
		var manifests []v1.Descriptor
		for _, d := range list {
			manifests = append(manifests, a.repo.Describe(d))
		}
		a.repo.Tags["sha256-"+hash(subject).Hex] = hash(a.repo.PutJSON(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, Manifests: manifests}))
	}
	byTagSchema := a.mustWalk(t)
	a.pages = 10_000
	unlisted := a.mustWalk(t)
	closed := mustWalk(t, a.repo, bundle.WalkOptions{Closed: true, Attachments: want}, a.image)
	for name, other := range map[string]*bundle.Graph{"one by one": oneByOne, "tag schema": byTagSchema, "tag schema, tags not listed": unlisted, "closed": closed} {
		assert.Equal(t, g.Attachments, other.Attachments, name)
		assert.Equal(t, g.Nodes, other.Nodes, name)
		assert.Empty(t, other.Unseen, name)
	}
	none, err := bundle.Walk(t.Context(), a.reg, refs(a.image), bundle.WalkOptions{})
	require.NoError(t, err)
	assert.Len(t, none.Nodes, 1)
	assert.Equal(t, []string{a.image.Name()}, none.WithoutAttachments())
}

// TestAttachChildren: children of an index have attachments, and an attached index has children.
func TestAttachChildren(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	child := a.image
	a.image = a.repo.PutIndex(child)
	sig := a.byTag(child, ".sig")
	part := putArtifact(a.repo, `{"part":1}`)
	attached := a.tag(a.image, ".att", a.repo.PutIndex(part))
	partSig := a.byTag(part, ".sig")
	g := a.mustWalk(t)
	assert.Equal(t, []bundle.Attachment{attachment(a.image, attached, ".att"), attachment(child, sig, ".sig"), attachment(part, partSig, ".sig")}, g.Attachments)
	var kinds []bundle.Kind
	for _, n := range g.Nodes {
		kinds = append(kinds, n.Kind)
	}
	assert.Equal(t, []bundle.Kind{bundle.Index, bundle.Plain, bundle.Index, bundle.Attached, bundle.Attached, bundle.Attached}, kinds)
	assert.Equal(t, hashes(part), g.Node(hash(attached)).Children)
	assert.Empty(t, g.WithoutAttachments())

	closed := mustWalk(t, a.repo, bundle.WalkOptions{Closed: true, Attachments: g.Attachments}, a.image)
	assert.Equal(t, g.Nodes, closed.Nodes)
}

// TestAttachedBundle: what looks like a bundle and is only attached is carried as it is.
func TestAttachedBundle(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	a.tag(a.image, ".sbom", bundleOf(a.repo, digestRef(t, "elsewhere.test/x@sha256:"+strings.Repeat("1", 64))))
	g := a.mustWalk(t)
	assert.Equal(t, bundle.Attached, g.Nodes[1].Kind)
}

// TestAttachWithoutTags: some registries do not know a repository that has no tag. It is asked for none then.
func TestAttachWithoutTags(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	a.noTags = fs.ErrNotExist
	g := a.mustWalk(t)
	assert.Empty(t, g.Attachments)
	assert.Empty(t, g.Unseen)
	assert.Equal(t, []string{a.image.Name()}, a.reg.Calls())
}

// apart lists the tags of a repository of signatures, too.
type apart struct {
	*discovery
	signatures *interop.Repo
}

func (a apart) Tags(ctx context.Context, repo name.Repository, requests int) ([]string, bool, error) {
	if repo.Name() != a.signatures.Name {
		return a.discovery.Tags(ctx, repo, requests)
	}
	return slices.Collect(maps.Keys(a.signatures.Tags)), true, nil
}

// TestAttachSignatures: of a repository of signatures, only the tags are read that it lists.
func TestAttachSignatures(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	from := a.reg.Repo("reg.test/signatures")
	sig := putArtifact(from, "signature")
	want := attachment(a.image, sig, ".sig")
	from.Tags[want.Tag] = hash(sig)
	repo := sig.Context()
	opt := bundle.WalkOptions{Signatures: &repo, Discovery: apart{a.discovery, from}}
	g, err := bundle.Walk(t.Context(), a.reg, refs(a.image), opt)
	require.NoError(t, err)
	assert.Equal(t, []bundle.Attachment{want}, g.Attachments)
	assert.Equal(t, []string{a.image.Name(), repo.Tag(want.Tag).Name()}, a.reg.Calls())
}

// TestAttachUnseen: found, absent and refused are three things, and what is listed is not always there.
func TestAttachUnseen(t *testing.T) {
	t.Parallel()
	unseen := func(list ...string) []bundle.Unseen {
		var all []bundle.Unseen
		for _, s := range list {
			f := strings.Fields(s)
			all = append(all, bundle.Unseen{Reference: f[0], What: f[1], Reason: f[2]})
		}
		return all
	}
	gone := digest.Of([]byte("gone"))
	tests := map[string]func(a *attachable) []bundle.Unseen{
		"absent": func(*attachable) []bundle.Unseen { return nil },
		"tags refused": func(a *attachable) []bundle.Unseen {
			a.noTags = fs.ErrPermission
			return unseen("reg.test/app tags refused")
		},
		"referrers refused": func(a *attachable) []bundle.Unseen {
			a.refuse = fs.ErrPermission
			return unseen("reg.test/app referrers refused")
		},
		"a signature refused": func(a *attachable) []bundle.Unseen {
			a.byTag(a.image, ".sig")
			tag := "sha256-" + hash(a.image).Hex + ".sig"
			a.repo.Fail = func(id string) error {
				if id == tag {
					return fs.ErrPermission
				}
				return nil
			}
			return unseen("reg.test/app:" + tag + " manifest refused")
		},
		"all tags refused": func(a *attachable) []bundle.Unseen {
			a.pages = 1000
			a.repo.Fail = func(id string) error {
				if strings.HasPrefix(id, "sha256-") {
					return fs.ErrPermission
				}
				return nil
			}
			return unseen("reg.test/app tags refused")
		},
		"listed and gone": func(a *attachable) []bundle.Unseen {
			a.referrers[hash(a.image)] = []v1.Hash{gone}
			return unseen("reg.test/app@" + gone.String() + " manifest gone")
		},
		"of another subject": func(a *attachable) []bundle.Unseen {
			other := a.artifact(gone.String(), "x")
			a.referrers[hash(a.image)] = hashes(other)
			return unseen(other.Name() + " manifest other-subject")
		},
		"of no subject": func(a *attachable) []bundle.Unseen {
			other := putArtifact(a.repo, "{}")
			a.referrers[hash(a.image)] = hashes(other)
			return unseen(other.Name() + " manifest other-subject")
		},
		"no manifest": func(a *attachable) []bundle.Unseen {
			a.repo.PutManifest("text/plain", []byte("{}"), "sha256-"+hash(a.image).Hex+".sig")
			return unseen("reg.test/app:sha256-" + hash(a.image).Hex + ".sig manifest unreadable")
		},
		"a list that is none": func(a *attachable) []bundle.Unseen {
			a.referrers = nil
			a.tag(a.image, "", putArtifact(a.repo, "{}"))
			return unseen("reg.test/app:sha256-" + hash(a.image).Hex + " manifest unreadable")
		},
		"its own signature": func(a *attachable) []bundle.Unseen {
			a.tag(a.image, ".sig", a.image)
			return unseen("reg.test/app:sha256-" + hash(a.image).Hex + ".sig manifest circular")
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttachable()
			want := change(a)
			g := a.mustWalk(t)
			assert.Equal(t, want, g.Unseen)
			assert.Empty(t, g.Attachments)
			assert.Equal(t, []string{a.image.Name()}, g.WithoutAttachments())
			for _, u := range g.Unseen {
				assert.True(t, u.Valid(), "%v", u)
			}
		})
	}
}

// TestAttachCycle: signatures that sign each other end.
func TestAttachCycle(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	sig := a.byTag(a.image, ".sig")
	next := a.byTag(sig, ".sig")
	a.tag(next, ".sig", sig)
	g := a.mustWalk(t)
	assert.Len(t, g.Attachments, 2)
	assert.Equal(t, "circular", g.Unseen[0].Reason)
}

// TestAttachFails: an error that is neither absence nor refusal ends the walk, and so does a registry that
// attaches without end.
func TestAttachFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := map[string]struct {
		change func(a *attachable)
		says   string
	}{
		"tags":      {func(a *attachable) { a.noTags = boom }, "list the tags of reg.test/app: boom"},
		"referrers": {func(a *attachable) { a.refuse = boom }, "list the referrers of reg.test/app@"},
		"a signature": {func(a *attachable) {
			a.byTag(a.image, ".sig")
			a.repo.Fail = func(id string) error {
				if strings.HasSuffix(id, ".sig") {
					return boom
				}
				return nil
			}
		}, "boom"},
		"too many": {func(a *attachable) {
			for i := range 2001 {
				a.referrers[hash(a.image)] = append(a.referrers[hash(a.image)], digest.Of([]byte{byte(i), byte(i >> 8)}))
			}
		}, "has more than 2000 attachments"},
		"too deep": {func(a *attachable) {
			for d := a.image; len(a.repo.Tags) < 20; {
				d = a.byTag(d, ".sig")
			}
		}, "more than 8 deep"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttachable()
			test.change(a)
			_, err := a.walk(t, bundle.WalkOptions{Jobs: 2})
			require.ErrorContains(t, err, test.says)
		})
	}
}

// TestClosedAttachments: what an inventory says and the content does not bear out is left out, so that the
// graph is another one than the inventory's.
func TestClosedAttachments(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	sig := a.byTag(a.image, ".sig")
	other := a.artifact(digest.Of([]byte("another")).String(), "x")
	good := attachment(a.image, sig, ".sig")
	tests := map[string][]bundle.Attachment{
		"the tag of another":   {{Subject: good.Subject, Digest: good.Digest, Tag: "sha256-" + good.Digest.Hex + ".sig"}},
		"an unknown tag":       {{Subject: good.Subject, Digest: good.Digest, Tag: "sha256-" + good.Subject.Hex + ".exe"}},
		"a tag of imgpkg's":    {{Subject: good.Subject, Digest: good.Digest, Tag: imgpkg.DefaultTag(good.Subject)}},
		"no tag":               {{Subject: good.Subject, Digest: good.Digest}},
		"a subject elsewhere":  {{Subject: hash(other), Digest: good.Digest, Tag: "sha256-" + hash(other).Hex + ".sig"}},
		"another's":            {attachment(a.image, other, "")},
		"not there":            {{Subject: good.Subject, Digest: digest.Of(nil), Tag: good.Tag}},
		"itself":               {attachment(a.image, a.image, ".sig")},
		"a subject of no form": {{Digest: good.Digest, Tag: "sha256-.sig"}},
	}
	for name, list := range tests {
		g := mustWalk(t, a.repo, bundle.WalkOptions{Closed: true, Attachments: list}, a.image)
		assert.Empty(t, g.Attachments, name)
		assert.Empty(t, g.Unseen, name)
		assert.Len(t, g.Nodes, 1, name)
	}
	g := mustWalk(t, a.repo, bundle.WalkOptions{Closed: true, Attachments: []bundle.Attachment{good, good}}, a.image)
	assert.Equal(t, []bundle.Attachment{good}, g.Attachments, "twice is once")
}

// TestAttachIncomplete: an attachment of which a blob is missing, damaged or not shown is left out and named, and so
// is what hangs on it; a large blob is asked for and not read.
func TestAttachIncomplete(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 1<<20+1)
	for name, c := range map[string]struct {
		content string
		harm    func(r *interop.Repo, d v1.Hash)
		reason  string
	}{
		"whole":         {"small", func(*interop.Repo, v1.Hash) {}, ""},
		"gone":          {"small", func(r *interop.Repo, d v1.Hash) { delete(r.Blobs, d) }, "incomplete"},
		"damaged":       {"small", func(r *interop.Repo, d v1.Hash) { r.Blobs[d] = []byte("SMALL") }, "incomplete"},
		"large":         {large, func(*interop.Repo, v1.Hash) {}, ""},
		"gone, large":   {large, func(r *interop.Repo, d v1.Hash) { delete(r.Blobs, d) }, "incomplete"},
		"large damaged": {large, func(r *interop.Repo, d v1.Hash) { r.Blobs[d] = []byte("x") }, ""}, // the copy sees it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttachable()
			d := a.refer(a.image, c.content)
			a.byTag(d, ".sig")
			c.harm(a.repo, digest.Of([]byte(c.content)))
			g := a.mustWalk(t)
			if c.reason == "" {
				assert.Len(t, g.Attachments, 2)
				assert.Empty(t, g.Unseen)
				return
			}
			assert.Empty(t, g.Attachments)
			assert.Equal(t, []bundle.Unseen{{Reference: d.Name(), What: "manifest", Reason: c.reason}}, g.Unseen)
			assert.True(t, g.Unseen[0].Valid())
		})
	}
}

// TestAttachIncompleteIndex: an index that is attached, and a part of which is missing, is left out whole.
func TestAttachIncompleteIndex(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(a *attachable, child name.Digest){
		"whole":           func(*attachable, name.Digest) {},
		"a child":         func(a *attachable, child name.Digest) { delete(a.repo.Manifests, hash(child)) },
		"a child's blobs": func(a *attachable, _ name.Digest) { delete(a.repo.Blobs, digest.Of([]byte("part"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttachable()
			child := putArtifact(a.repo, "part")
			index := a.repo.PutIndex(child)
			a.tag(a.image, ".sig", index)
			harm(a, child)
			g := a.mustWalk(t)
			if name == "whole" {
				assert.Len(t, g.Attachments, 1)
				assert.Empty(t, g.Unseen)
				return
			}
			assert.Empty(t, g.Attachments)
			require.Len(t, g.Unseen, 1)
			assert.Equal(t, "incomplete", g.Unseen[0].Reason)
		})
	}
}

// TestAttachListedTwice: a referrers API that lists cosign's tags, as Harbor's does, is not believed, and as they are
// carried by their tags there is nothing to report.
func TestAttachListedTwice(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	sig := a.byTag(a.image, ".sig")
	other := putArtifact(a.repo, `{"of":"nothing"}`)
	a.referrers[hash(a.image)] = []v1.Hash{hash(sig), hash(other)}
	g := a.mustWalk(t)
	assert.Equal(t, []bundle.Attachment{attachment(a.image, sig, ".sig")}, g.Attachments)
	assert.Equal(t, []bundle.Unseen{{Reference: other.Name(), What: "manifest", Reason: "other-subject"}}, g.Unseen)
}

// TestAttachedToReplaced: what is attached to a manifest in place of which another was made is listed apart, from one
// list of tags. It is neither read nor carried, and where it cannot be read nothing is left out.
func TestAttachedToReplaced(t *testing.T) {
	t.Parallel()
	a := newAttachable()
	signature := a.byTag(a.image, ".sig")
	was := a.repo.PutPlain(`{"other":1}`)
	want := []bundle.Attachment{attachment(was, a.byTag(was, ".sig"), ".sig"), attachment(was, a.refer(was, "sbom"), "")}
	a.referrers[hash(was)] = append(a.referrers[hash(was)], hash(signature), hash(was)) // which name no subject
	opt := bundle.WalkOptions{Replaced: []*bundle.Node{{Descriptor: v1.Descriptor{Digest: hash(was)}, From: was.Context()}}}
	g, err := a.walk(t, opt)
	require.NoError(t, err)
	assert.Equal(t, want, g.Inapplicable)
	assert.Equal(t, []bundle.Attachment{attachment(a.image, signature, ".sig")}, g.Attachments)
	assert.Len(t, g.Nodes, 2)
	assert.Empty(t, g.Unseen)
	assert.Equal(t, 1, strings.Count(strings.Join(a.asked, "\n"), "tags "))

	closed := bundle.WalkOptions{Closed: true, Replaced: opt.Replaced, Attachments: append(want, g.Attachments...)}
	g, err = bundle.Walk(t.Context(), a.reg, refs(a.image), closed)
	require.NoError(t, err)
	assert.Equal(t, want, g.Inapplicable)

	other := &discovery{repo: a.repo, noTags: fs.ErrPermission, refuse: fs.ErrPermission}
	opt.Discovery, opt.Made = other, func(d v1.Hash) bool { return d == hash(a.image) }
	g, err = bundle.Walk(t.Context(), a.reg, refs(a.image), opt)
	require.NoError(t, err)
	assert.Equal(t, want[:1], g.Inapplicable, "asked for by name")
	assert.Empty(t, g.Unseen)
}
