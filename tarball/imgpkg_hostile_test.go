package tarball_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/oci"
	"relocate/tarball"
)

// entry is an element of manifest.json.
type entry map[string]map[string]any

// what returns the image or index.
func (e entry) what() map[string]any {
	if e["Image"] != nil {
		return e["Image"]
	}
	return e["ImageIndex"]
}

func (e entry) labels() map[string]any {
	labels, _ := e.what()["Labels"].(map[string]any)
	return labels
}

// changed changes the manifest.json of a tar.
func changed(t testing.TB, b []byte, change func([]entry) []entry) []byte {
	t.Helper()
	members := unpack(t, b)
	var doc []entry
	d := json.NewDecoder(bytes.NewReader(members[0].data))
	d.UseNumber()
	require.NoError(t, d.Decode(&doc))
	text, err := json.Marshal(change(doc))
	require.NoError(t, err)
	members[0].data = text
	return pack(t, members)
}

// imgpkgForge makes a hostile tar of a good one: of imgpkg's, of a package repository.
type imgpkgForge struct {
	name, says string // empty when the tar is taken
	make       func(t testing.TB, good []byte) []byte
}

// document changes the text of manifest.json.
func document(change func(text string) string) func(testing.TB, []byte) []byte {
	return func(t testing.TB, good []byte) []byte {
		members := unpack(t, good)
		members[0].data = []byte(change(string(members[0].data)))
		return pack(t, members)
	}
}

// in replaces something in manifest.json, once.
func in(old, with string) func(testing.TB, []byte) []byte {
	return func(t testing.TB, good []byte) []byte {
		require.Contains(t, string(good), old)
		return document(func(text string) string { return strings.Replace(text, old, with, 1) })(t, good)
	}
}

// entries changes the entries of manifest.json.
func entries(change func(doc []entry) []entry) func(testing.TB, []byte) []byte {
	return func(t testing.TB, good []byte) []byte { return changed(t, good, change) }
}

// eachEntry changes each entry.
func eachEntry(change func(what map[string]any)) func(testing.TB, []byte) []byte {
	return entries(func(doc []entry) []entry {
		for _, e := range doc {
			change(e.what())
		}
		return doc
	})
}

// packed changes the members.
func packed(change func(members []member) []member) func(testing.TB, []byte) []byte {
	return func(t testing.TB, good []byte) []byte { return pack(t, change(unpack(t, good))) }
}

// raw changes the bytes.
func raw(change func(b []byte) []byte) func(testing.TB, []byte) []byte {
	return func(_ testing.TB, good []byte) []byte { return change(slices.Clone(good)) }
}

// reheader changes the header of the member at byte at, whose checksum fits afterwards.
func reheader(b []byte, at int, change func(h []byte)) []byte {
	h := b[at : at+512]
	change(h)
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// secondHeader is where the header of the first layer is.
func secondHeader(b []byte) int { return bytes.Index(b, []byte("\x00sha256-")) + 1 }

func nestIndexes(n int) func(testing.TB, []byte) []byte {
	return in(`"Indexes":null`, strings.Repeat(`"Indexes":[{`, n)+`"Indexes":null`+strings.Repeat("}]", n))
}

var imgpkgForges = []imgpkgForge{
	// What imgpkg takes, and what is safe to take.
	{"as it is", "", raw(func(b []byte) []byte { return b })},
	{"manifest.json last", "", packed(func(m []member) []member { return append(m[1:], m[0]) })},
	{"other members", "", packed(func(m []member) []member {
		return append([]member{file("README", noise(700)), folder("x/")}, append(m, link("sha256", "/etc/passwd"))...)
	})},
	{"a layer that nobody names", "", packed(func(m []member) []member {
		return append(m, file(strings.Replace(digest.Of(noise(9)).String(), ":", "-", 1)+".tar.gz", noise(9)))
	})},
	{"PAX records", "", packed(func(m []member) []member { return pax(m, "comment", "hello") })},
	{"blocks of zeros behind the end", "", raw(func(b []byte) []byte { return append(b, make([]byte, 10240)...) })},
	{"unknown fields", "", eachEntry(func(what map[string]any) { what["Size"], what["x"] = 1, []any{map[string]any{"Raw": "x"}} })},
	{"blanks between", "", document(func(s string) string { return " \n" + strings.ReplaceAll(s, `,"Image":`, ",\n\t \"Image\" : ") + "\n" })},
	{"without DiffIDs", "", document(func(s string) string { return strings.ReplaceAll(s, `"DiffID":"sha256:`, `"DiffId":"`) })},
	{"without origins", "", eachEntry(func(what map[string]any) { what["OrigRef"] = "" })},
	{"without Labels and Tags", "", eachEntry(func(what map[string]any) { delete(what, "Labels"); delete(what, "Tag") })},

	// manifest.json
	{"no list", "is not a list", document(func(string) string { return "{}" })},
	{"null", "lists no image", document(func(string) string { return "null" })},
	{"empty list", "lists no image", document(func(string) string { return "[]" })},
	{"null in the list", "[0]: is neither an image nor an index", document(func(string) string { return "[null]" })},
	{"empty entry", "[0]: is neither", document(func(string) string { return "[{}]" })},
	{"image and index", "is both", document(func(s string) string { return strings.Replace(s, `"ImageIndex":null,`, `"ImageIndex":{},`, 1) })},
	{"null in an index", "has null for an image", entries(func(doc []entry) []entry {
		for _, e := range doc {
			if list, ok := e.what()["Images"].([]any); ok {
				e.what()["Images"] = append(list, nil)
			}
		}
		return doc
	})},
	{"cut in its middle", "unexpected EOF", document(func(s string) string { return s[:len(s)/2] })},
	{"something behind it", "something after its end", document(func(s string) string { return s + "[]" })},
	{"not UTF-8", "is not UTF-8", in(`"Tag":"1.0.0"`, "\"Tag\":\"1\xff0\"")},
	{"a key twice", "twice", in(`"Tag":"1.0.0"`, `"Tag":"1.0.0","Tag":"2.0.0"`)},
	{"a key twice, in another case", "twice", in(`"Tag":"1.0.0"`, `"Tag":"1.0.0","tag":"2.0.0"`)},
	{"deep", "nested more than", nestIndexes(500)},
	{"another type", "cannot unmarshal", in(`"Tag":"1.0.0"`, `"Tag":[1]`)},
	{"large entry", "more than 33554432 bytes", document(func(s string) string { return strings.Replace(s, "[", "["+strings.Repeat(" ", 33<<20), 1) })},

	// Entries
	{"no Refs", "has 0 Refs", eachEntry(func(what map[string]any) { what["Refs"] = nil })},
	{"two Refs", "has 2 Refs", eachEntry(func(what map[string]any) { what["Refs"] = append(what["Refs"].([]any), what["Refs"].([]any)...) })},
	{"Refs of another digest", "is not a reference with the digest", in(`"Refs":["127.0.0.1:5110/src/images/worker@sha256:1`, `"Refs":["127.0.0.1:5110/src/images/worker@sha256:2`)},
	{"Refs by a tag", "is not a reference", eachEntry(func(what map[string]any) { what["Refs"] = []string{"127.0.0.1:5110/src:latest"} })},
	{"Refs out of the API", "is not a reference", document(func(s string) string {
		return strings.ReplaceAll(s, "src/images/worker@", "src/../../worker@")
	})},
	{"OrigRef of another digest", "OrigRef", in(`"OrigRef":"127.0.0.1:5110/src/images/worker@sha256:1`, `"OrigRef":"127.0.0.1:5110/src/images/worker@sha256:2`)},
	{"Tag that is none", "is not a tag", in(`"Tag":"1.0.0"`, `"Tag":"../1"`)},
	{"Tag of two", "stands for both", entries(func(doc []entry) []entry {
		other := doc[0].what()
		other["Tag"], other["Refs"] = "1.0.0", []string{"127.0.0.1:5110/src/repository@" + other["Manifest"].(map[string]any)["Digest"].(string)}
		return doc
	})},
	{"pin that is none", "is not a tag", in(`"dev.carvel.imgpkg.copy.root-bundle":""`, `"dev.carvel.imgpkg.copy.root-bundle":"","relocate.pins":"a@b"`)},
	{"Digest that is none", "is not a sha256 digest", document(func(s string) string { return strings.ReplaceAll(s, "sha256:1af6c5a0", "sha512:1af6c5a0") })},
	{"Digest with capitals", "is no", document(func(s string) string { return strings.ReplaceAll(s, "sha256:1af6c5a0", "sha256:1AF6C5A0") })},

	// Content
	{"Raw of a manifest changed", "digest", in(`"Raw":"{\"schemaVersion\":2`, `"Raw":"{ \"schemaVersion\":2`)},
	{"Raw of a config changed", "digest", in(`"Raw":"{\"architecture`, `"Raw":"{ \"architecture`)},
	{"Raw that is no text", "has no Raw", in(`"Raw":"{\"schemaVersion\":2`, `"Raw":{},"raw2":"{\"schemaVersion\":2`)},
	{"Raw missing", "has no Raw", in(`"Raw":"{\"schemaVersion\":2`, `"raw2":"{\"schemaVersion\":2`)},
	{"media type of an index", "has the media type", in(`"MediaType":"application/vnd.oci.image.manifest.v1+json","Digest":"sha256:1af6`, `"MediaType":"application/vnd.oci.image.index.v1+json","Digest":"sha256:1af6`)},
	{"media type of another manifest", "is served as", in(`"MediaType":"application/vnd.oci.image.manifest.v1+json","Digest":"sha256:1af6`, `"MediaType":"application/vnd.docker.distribution.manifest.v2+json","Digest":"sha256:1af6`)},
	{"two media types", "elsewhere", in(`"MediaType":"application/vnd.docker.distribution.manifest.v2+json","Digest":"sha256:6f4f`, `"MediaType":"application/vnd.oci.image.manifest.v1+json","Digest":"sha256:6f4f`)},
	{"Layers of another image", "its Layers are not", eachEntry(func(what map[string]any) {
		if layers, ok := what["Layers"].([]any); ok && len(layers) > 1 {
			what["Layers"] = layers[1:]
		}
	})},
	{"Size of a layer", "its Layers are not", in(`"Size":40259`, `"Size":40258`)},
	{"another Config", "its Config is", eachEntry(func(what map[string]any) {
		if what["Layers"] != nil {
			what["Config"] = map[string]any{"Digest": digest.Of([]byte("{}")).String(), "Raw": "{}"}
		}
	})},
	{"an image missing", "is not in the archive", entries(func(doc []entry) []entry { return doc[1:] })},
	{"child of an index missing", "is not in the archive", eachEntry(func(what map[string]any) {
		if list, ok := what["Images"].([]any); ok {
			what["Images"] = list[1:]
		}
	})},
	{"child that an index does not name", "does not name it", entries(func(doc []entry) []entry {
		artifact := map[string]any{}
		for _, e := range doc {
			if list, ok := e.what()["Images"].([]any); ok {
				manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b","size":2,"digest":"` + digest.Of([]byte("{}")).String() + `"},"layers":[]}`
				d := digest.Of([]byte(manifest)).String()
				artifact["Refs"], artifact["Config"] = []string{"a.example/b@" + d}, map[string]any{"Digest": digest.Of([]byte("{}")).String(), "Raw": "{}"}
				artifact["Manifest"] = map[string]any{"MediaType": "application/vnd.oci.image.manifest.v1+json", "Digest": d, "Raw": manifest}
				e.what()["Images"] = append(list, artifact)
			}
		}
		return doc
	})},

	// Members
	{"a layer missing", "it does not hold sha256-", packed(func(m []member) []member { return m[:len(m)-1] })},
	{"a bundle's layer missing", "is not in the archive", packed(func(m []member) []member { return append(m[:1], m[2:]...) })},
	{"a layer twice", "two members", packed(func(m []member) []member { return append(m, m[3]) })},
	{"manifest.json twice", "two members", packed(func(m []member) []member { return append(m, m[0]) })},
	{"a layer longer", "bytes, ", packed(func(m []member) []member { m[2].data = append(m[2].data, 0); return m })},
	{"a layer shorter", "bytes, ", packed(func(m []member) []member { m[2].data = m[2].data[1:]; return m })},
	{"a layer with other bytes", "digest", packed(func(m []member) []member { m[2].data[5] ^= 1; return m })},
	{"a bundle's layer with other bytes", "digest", packed(func(m []member) []member { m[1].data[9] ^= 1; return m })},
	{"a layer that is a link", "is not a regular file", packed(func(m []member) []member {
		m[2] = link(m[2].Name, m[1].Name)
		return m
	})},
	{"manifest.json that is a link", "is not a regular file", packed(func(m []member) []member {
		m[0] = link("manifest.json", "/etc/passwd")
		return m
	})},
	{"a layer that is a hard link with content", "not a regular file", raw(func(b []byte) []byte {
		return reheader(b, secondHeader(b), func(h []byte) { h[156] = '1' })
	})},
	{"a device with a layer's name", "is not a regular file", packed(func(m []member) []member {
		m[2] = member{Header: tar.Header{Name: m[2].Name, Typeflag: tar.TypeChar}}
		return m
	})},
	{"sparse", "is sparse", raw(func(b []byte) []byte {
		return reheader(b, secondHeader(b), func(h []byte) { h[156] = 'S'; copy(h[257:], "ustar  \x00") })
	})},
	{"another size in PAX records", "another size", raw(func(b []byte) []byte {
		at := secondHeader(b)
		record := make([]byte, 1024)
		copy(record, b[at:at+512])
		copy(record[512:], "12 size=512\n")
		record = reheader(record, 0, func(h []byte) { h[156] = 'x'; copy(h[124:], "00000000014\x00") })
		return slices.Insert(b, at, record...)
	})},
	{"another name in PAX records", "another name", raw(func(b []byte) []byte {
		at := secondHeader(b)
		record := make([]byte, 1024)
		copy(record, b[at:at+512])
		copy(record[512:], "22 path=manifest.json\n")
		record = reheader(record, 0, func(h []byte) { h[156] = 'x'; copy(h[124:], "00000000026\x00") })
		return slices.Insert(b, at, record...)
	})},
	{"PAX records for all", "PAX records for all", packed(func(m []member) []member {
		return append([]member{{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"path": "manifest.json"}}}}, m...)
	})},
	{"names in ./", "begins with", packed(func(m []member) []member {
		for i := range m {
			m[i].Name = "./" + m[i].Name
		}
		return m
	})},
	{"cut in its middle", "is cut off", raw(func(b []byte) []byte { return b[:len(b)/2] })},
	{"cut behind the last layer", "is cut off", raw(func(b []byte) []byte { return b[:len(b)-1024] })},
	{"cut in the end", "is cut off", raw(func(b []byte) []byte { return b[:len(b)-512] })},
	{"something behind the end", "follow its end", raw(func(b []byte) []byte { return append(b, "x"...) })},
	{"a tar behind the end", "follow its end", raw(func(b []byte) []byte { return append(b, b...) })},
	{"padding", "padding", raw(func(b []byte) []byte { b[secondHeader(b)-1] = 1; return b })},
	{"a header changed", "no header", raw(func(b []byte) []byte { b[secondHeader(b)+200] ^= 1; return b })},
	{"the first header changed", "no header", raw(func(b []byte) []byte { b[200] ^= 1; return b })},
}

// TestImgpkgHostile: a tar of imgpkg's format is taken, or refused with a reason.
func TestImgpkgHostile(t *testing.T) {
	t.Parallel()
	good := imgpkgTar(t, "repository")
	a, err := open(good)
	require.NoError(t, err)
	want, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	refused := 0
	for _, f := range imgpkgForges {
		t.Run(f.name, func(t *testing.T) {
			b := f.make(t, good)
			err := judged(t, b)
			if f.says != "" {
				refused++
				require.ErrorContains(t, err, f.says)
				if missing, _ := bundle.Missing(err); missing == nil && !errors.Is(err, oci.ErrMalformed) && !errors.Is(err, digest.ErrMismatch) {
					assertSpeaks(t, err)
				}
				return
			}
			require.NoError(t, err)
			a, err := open(b)
			require.NoError(t, err)
			plan, err := a.Plan(t.Context(), 1, nil)
			require.NoError(t, err)
			for _, n := range want.Graph.Nodes {
				require.NotNil(t, plan.Graph.Node(n.Descriptor.Digest))
				assert.Equal(t, n.Blobs, plan.Graph.Node(n.Descriptor.Digest).Blobs)
			}
			assert.Len(t, plan.Blobs, len(want.Blobs))
		})
	}
	assert.GreaterOrEqual(t, refused, 50)
}

// judged says what is wrong with a tar: what an import would find before it has ended.
func judged(t testing.TB, b []byte) error {
	a, err := open(b)
	if err != nil {
		return err
	}
	if _, err := a.Plan(t.Context(), 1, nil); err != nil {
		return err
	}
	damage, err := a.Check(t.Context(), 1, nil)
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("%w: %s", tarball.ErrDamaged, damage[0])
	}
	return err
}

// TestImgpkgBitrot: of what was changed by chance, nothing is taken for something else but the names, which nothing
// vouches for.
func TestImgpkgBitrot(t *testing.T) {
	t.Parallel()
	good := imgpkgTar(t, "repository")
	doc := len(unpack(t, good)[0].data) + 512
	a, err := open(good)
	require.NoError(t, err)
	want, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	headers := map[int]bool{}
	next := 0
	for _, m := range unpack(t, good) {
		headers[next] = true
		next += 512 + (len(m.data)+511)/512*512
	}
	for at := 0; at < len(good); at += 1 + rand.IntN(150*stride) {
		bad := slices.Clone(good)
		bad[at] ^= 1 << rand.IntN(8)
		if judged(t, bad) != nil {
			continue
		}
		isSum := headers[at-at%512] && at%512 >= 148 && at%512 < 156 // its leading zero may be a blank
		require.True(t, isSum || (at >= 512 && at < doc), "byte %d is taken, and is no part of manifest.json", at)
		a, err := open(bad)
		require.NoError(t, err)
		plan, err := a.Plan(t.Context(), 1, nil)
		require.NoError(t, err)
		require.Len(t, plan.Graph.Nodes, len(want.Graph.Nodes))
		for _, n := range want.Graph.Nodes {
			got := plan.Graph.Node(n.Descriptor.Digest)
			require.NotNil(t, got, "byte %d", at)
			require.Equal(t, n.Descriptor, got.Descriptor)
			require.Equal(t, n.Kind, got.Kind)
			require.Equal(t, n.Locked, got.Locked)
		}
	}
}
