package main

import (
	"encoding/json"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/report"
)

// The three documents. What the inventory says is changed with all that follows from it, so that only
// what the content says is against it.

// said changes what the inventory of the sample says.
func said(change func(a *crafted)) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		change(a)
		return a
	}
}

// spelled changes a text of relocate.json.
func spelled(old, text string) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.inventory = replace(f.t, old, text)
		return a
	}
}

// indexed changes a text of index.json.
func indexed(old, text string) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.index = replace(f.t, old, text)
		return a
	}
}

// laidOut gives oci-layout another text.
func laidOut(text string) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.layout = func(string) string { return text }
		return a
	}
}

const (
	inArchive  = "is not in the archive"
	notImplied = "is not what the inventory implies"
	notSpelled = "is not written as relocate writes it"
	tooMuch    = "are more than a file can have"
)

var hostileIndexes = []hostile{
	{name: "layout of another version", why: "r6", make: laidOut(`{"imageLayoutVersion":"1.1.0"}`), status: statusDamage, says: notImplied},
	{name: "layout with one more key", why: "r8", make: laidOut(`{"imageLayoutVersion":"1.0.0","x":1}`), status: statusDamage, says: otherLayout},
	{name: "layout with a blank", why: "r6", make: laidOut(`{"imageLayoutVersion": "1.0.0"}`), status: statusDamage, says: otherLayout},
	{name: "layout is empty", why: "r8", make: laidOut(""), status: statusDamage, says: otherLayout},
	{name: "an entry more", why: "r5", make: indexed("\"manifests\":[\n", "\"manifests\":[\n"+`{"mediaType":"x","digest":"sha256:0","size":1,"annotations":{}},`), status: statusDamage, says: notImplied},
	{name: "an entry less", why: "r5", make: func(f *forge) *crafted {
		a := f.sample()
		a.index = func(s string) string { i := strings.LastIndex(s, ",\n{"); return s[:i] + "]}\n" }
		return a
	}, status: statusDamage, says: notImplied},
	{name: "entries in another order", why: "r6", make: func(f *forge) *crafted {
		a := f.sample()
		a.index = func(s string) string {
			l := strings.Split(s, ",\n")
			l[2], l[3] = l[3], l[2]
			return strings.Join(l, ",\n")
		}
		return a
	}, status: statusDamage, says: notImplied},
	{name: "another reference", why: "i32: names that nobody asked for", make: indexed("/corp/repository:1.0.0", "/corp/repository:9.0.0"), status: statusDamage, says: notImplied},
	{name: "one more annotation", why: "r5, i7", make: indexed(`"annotations":{`, `"annotations":{"org.opencontainers.image.title":"../../x",`), status: statusDamage, says: notImplied},
	{name: "urls", why: "r16, i33", make: indexed(`"annotations":{`, `"urls":["http://169.254.169.254/"],"annotations":{`), status: statusDamage, says: notImplied},
	{name: "a key twice", why: "r8", make: indexed(`"schemaVersion":2`, `"schemaVersion":2,"schemaVersion":2`), status: statusDamage, says: notImplied},
	{name: "a key in capitals", why: "r8", make: indexed(`"schemaVersion"`, `"SchemaVersion"`), status: statusDamage, says: notImplied},
	{name: "text behind it", why: "r8", make: indexed("]}\n", "]}\n{}"), status: statusDamage, says: notImplied},
	{name: "invalid UTF-8", why: "r8", make: indexed(`"manifests"`, "\"manifests\xff\""), status: statusDamage, says: notImplied},
	{name: "is empty", why: "r8", make: func(f *forge) *crafted { a := f.sample(); a.index = func(string) string { return "" }; return a }, status: statusDamage, says: "is cut off"},
}

var hostileInventories = []hostile{
	{name: "format 2", why: "r5", make: spelled(`"format":1`, `"format":2`), status: statusDamage, says: "has format 2; this program reads format 1"},
	{name: "format of a huge number", why: "r8", make: spelled(`"format":1`, `"format":1`+strings.Repeat("0", 30)), status: statusDamage, says: "relocate.json: begins with"},
	{name: "no format", why: "r8", make: spelled(`"format":1,`, ``), status: statusDamage, says: "relocate.json: begins with"},
	{name: "a key twice", why: "r8", make: spelled(`"kind":"bundle"`, `"kind":"bundle","kind":"bundle"`), status: statusDamage, says: notSpelled},
	{name: "a key in another case", why: "r8", make: spelled(`"kind":`, `"KIND":`), status: statusDamage, says: notSpelled},
	{name: "a key with a long s", why: "r8: folding", make: spelled(`"digest":`, `"digeſt":`), status: statusDamage, says: notSpelled},
	{name: "an unknown key", why: "r8", make: spelled(`"kind":`, `"run":"sh","kind":`), status: statusDamage, says: notSpelled},
	{name: "a list twice", why: "r8", make: spelled(`"omitted":[]`, "\"omitted\":[],\n\"omitted\":[]"), status: statusDamage, says: "where the list blobs belongs"},
	{name: "a list less", why: "r8", make: spelled("\"omitted\":[],\n", ""), status: statusDamage, says: "where the list omitted belongs"},
	{name: "text behind it", why: "r8", make: spelled("]}\n", "]}\n{}"), status: statusDamage, says: "has something after its end"},
	{name: "blanks behind it", why: "r8", make: spelled("]}\n", "]}\n\n"), status: statusDamage, says: "has something after its end"},
	{name: "byte order mark", why: "r8", make: spelled(`{"format"`, "\ufeff"+`{"format"`), status: statusDamage, says: "relocate.json: begins with"},
	{name: "carriage returns", why: "r8, i28", make: spelled(",\n", ",\r\n"), status: statusDamage, says: "relocate.json: begins with"},
	{name: "on one line", why: "r8", make: func(f *forge) *crafted {
		a := f.sample()
		a.inventory = func(s string) string { return strings.ReplaceAll(s, "\n", "") }
		return a
	}, status: statusDamage, says: "ends too early"},
	{name: "null for an element", why: "r8", make: spelled("\"blobs\":[\n", "\"blobs\":[\nnull,\n"), status: statusDamage, says: notSpelled},
	{name: "invalid UTF-8", why: "r8", make: spelled(`/corp/`, "/corp\xff/"), status: statusDamage, says: notSpelled},
	{name: "a lone surrogate", why: "r8", make: spelled(`/corp/`, `/corp\ud800/`), status: statusDamage, says: notSpelled},
	{name: "deep nesting", why: "r8", make: spelled(`"kind":"bundle"`, `"kind":`+strings.Repeat("[", 100_000)), status: statusDamage, says: "manifests[0]: "},
	{name: "size with an exponent", why: "r8", make: spelled("\"size\":", "\"size\":1e2"), status: statusDamage, says: "manifests[0]: "},
	{name: "size over 64 bits", why: "r8", make: spelled("\"size\":", "\"size\":99999999999999999999"), status: statusDamage, says: "manifests[0]: "},
	{name: "negative size", why: "r8", make: said(func(a *crafted) { a.Blobs[1].Size = -1 }), status: statusDamage, says: "-1 bytes " + tooMuch},
	{name: "size of 2^63 - 1", why: "r8", make: said(func(a *crafted) { a.Blobs[1].Size = 1<<63 - 1 }), status: statusDamage, says: tooMuch},
	{name: "sizes whose sum overflows", why: "r8", make: said(func(a *crafted) {
		for i := range a.Blobs {
			a.Blobs[i].Size = 1 << 60
		}
	}), status: statusDamage, says: tooMuch},
	{name: "size of a petabyte", why: "r11", make: said(func(a *crafted) { a.Blobs[len(a.Blobs)-1].Size = 1 << 50 }), status: statusDamage, says: "is cut off: it has"},
	{name: "sizes of two blobs exchanged", why: "r5: overlapping", make: said(func(a *crafted) { a.Blobs[0].Size, a.Blobs[1].Size = a.Blobs[1].Size, a.Blobs[0].Size }),
		status: statusDamage, says: notHeader},
	{name: "a blob of sha512", why: "r2", make: said(func(a *crafted) { a.Blobs[1].Digest = v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)} }),
		status: statusDamage, says: "only sha256 is supported"},
	{name: "a digest that is a path", why: "r2, i20", make: spelled(`"blobs":[`+"\n"+`{"digest":"sha256:`, `"blobs":[`+"\n"+`{"digest":"sha256:../../../etc/passwd`),
		status: statusDamage, says: "blobs[0]: "},
	{name: "a digest in capitals", why: "r2", make: said(func(a *crafted) { a.Blobs[0].Digest.Hex = strings.ToUpper(a.Blobs[0].Digest.Hex) }), status: statusDamage, says: "blobs[0]: "},
	{name: "a blob twice", why: "r4", make: said(func(a *crafted) { a.add(a.blobs[3].content) }), status: statusDamage, says: "twice"},
	{name: "a blob more", why: "r5: nothing surplus", make: said(func(a *crafted) { a.add([]byte("surplus")) }), status: statusDamage, says: "blobs, the content"},
	{name: "a layer less", why: "r5", make: said(func(a *crafted) { a.remove(len(a.blobs) - 1) }), status: statusDamage, says: "blobs, the content"},
	{name: "a manifest less", why: "r5", make: said(func(a *crafted) {
		a.remove(slices.Index(a.Blobs, listedBlob{Digest: a.Manifests[3].Digest, Size: a.Manifests[3].Size}))
	}),
		status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "layers in another order", why: "r6", make: said(func(a *crafted) { n := len(a.blobs); slices.Reverse(a.Blobs[n-2:]); slices.Reverse(a.blobs[n-2:]) }),
		status: statusDamage, says: "the inventory's blobs["},
	{name: "a manifest not listed", why: "r5", make: said(func(a *crafted) { a.Manifests = a.Manifests[:len(a.Manifests)-1] }), status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "a manifest listed twice", why: "r5", make: said(func(a *crafted) { a.Manifests = append(a.Manifests, a.Manifests[2]) }), status: statusDamage, says: "manifests, the content"},
	{name: "manifests in another order", why: "r6", make: said(func(a *crafted) { slices.Reverse(a.Manifests[1:3]) }), status: statusDamage, says: "the inventory's manifests[1]"},
	{name: "a bundle called an image", why: "r5", make: said(func(a *crafted) { a.Manifests[0].Kind = bundle.Plain }), status: statusDamage, says: "the inventory's manifests[0]"},
	{name: "a kind that is none", why: "r5", make: said(func(a *crafted) { a.Manifests[1].Kind = "program" }), status: statusDamage, says: "the inventory's manifests[1]"},
	{name: "an index as an image", why: "i19", make: said(func(a *crafted) { a.Manifests[a.first(bundle.Index)].MediaType = types.OCIManifestSchema1 }),
		status: statusFailed, says: "is served as"},
	{name: "an image as an index", why: "i19", make: said(func(a *crafted) { a.Manifests[a.first(bundle.Plain)].MediaType = types.OCIImageIndex }),
		status: statusFailed, says: "is served as"},
	{name: "a layer called a manifest", why: "i19", make: said(func(a *crafted) {
		b := a.Blobs[len(a.Blobs)-1]
		a.Manifests = append(a.Manifests, listedManifest{Digest: b.Digest, MediaType: types.OCIManifestSchema1, Size: b.Size, Kind: bundle.Plain})
	}), status: statusDamage, says: "manifests, the content"},
	{name: "a manifest of another size", why: "r5", make: said(func(a *crafted) { a.Manifests[1].Size++ }), status: statusDamage, says: "the inventory's manifests[1]"},
	{name: "one reference more", why: "i32", make: said(func(a *crafted) { a.Manifests[1].References = append(a.Manifests[1].References, "z") }), status: statusDamage, says: "the inventory's manifests[1]"},
	{name: "a layer left out that is not foreign", why: "r5", make: said(func(a *crafted) {
		n := len(a.Blobs) - 1
		a.Omitted = []report.Omitted{{Digest: a.Blobs[n].Digest, Size: a.Blobs[n].Size, MediaType: string(types.OCILayer), Image: "x", Reason: "non-distributable"}}
		a.remove(n)
	}), status: statusDamage, says: "omitted, the content"},
	{name: "a blob that is there called left out", why: "r5", make: said(func(a *crafted) {
		b := a.Blobs[len(a.Blobs)-1]
		a.Omitted = []report.Omitted{{Digest: b.Digest, Size: b.Size, Reason: "non-distributable"}}
	}), status: statusDamage, says: "omitted, the content"},
	{name: "an image of an index that is there called left out", why: "r5", make: said(func(a *crafted) { a.Omitted = a.children(1) }),
		status: statusDamage, says: "the inventory's manifests["},
	{name: "all images of an index called left out", why: "nothing could be pulled", make: said(func(a *crafted) { a.Omitted = a.children(2) }),
		status: statusFailed, says: "no child of the index is present"},
	{name: "an image of a lock called left out by platform", why: "r5", make: said(func(a *crafted) {
		m := a.Manifests[a.first(bundle.Plain)]
		a.Omitted = []report.Omitted{{Digest: m.Digest, Size: m.Size, MediaType: string(m.MediaType), Image: m.References[0], Reason: "platform"}}
	}), status: statusDamage, says: "omitted, the content"},
	{name: "found elsewhere", why: "only the inventory knows: taken", make: said(func(a *crafted) { a.Manifests[2].From = "elsewhere.example/x" }), says: "contains 3 versions"},
	{name: "found in no repository", why: "r2", make: said(func(a *crafted) { a.Manifests[2].From = "127.0.0.1:1/\x1b[2J" }), status: statusDamage, says: "which is not a repository"},
}

// Pins and roots.
var hostilePins = []hostile{
	{name: "a pin of a digest", why: "other content in its place", make: said(func(a *crafted) {
		a.Pins = append([]bundle.Pin{{Reference: "a.example/a@" + a.Manifests[2].Digest.String(), Digest: a.Manifests[3].Digest}}, a.Pins...)
	}), status: statusDamage, says: "is not a tag"},
	{name: "a pin that is no reference", why: "r2", make: said(func(a *crafted) { a.Pins[0].Reference = "../../x" }), status: statusDamage, says: "is not a tag"},
	{name: "a pin leads to another bundle", why: "i41", make: said(func(a *crafted) { a.Pins[0].Digest = a.Manifests[1].Digest }), status: statusDamage, says: "the inventory"},
	{name: "a pin leads nowhere", why: "i41", make: said(func(a *crafted) { a.Pins[0].Digest.Hex = strings.Repeat("0", 64) }), status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "a pin that nothing follows", why: "r5", make: said(func(a *crafted) {
		a.Pins = append(a.Pins, bundle.Pin{Reference: "z.example/z:1", Digest: a.Manifests[0].Digest})
	}), status: statusDamage, says: "pins, the content"},
	{name: "a pin twice", why: "r5", make: said(func(a *crafted) { a.Pins = append(a.Pins, a.Pins[0]) }), status: statusDamage, says: "pins, the content"},
	{name: "no pins", why: "r16: nothing is asked", make: said(func(a *crafted) { a.Pins = nil }), status: statusDamage, says: "it does not hold", verify: "is not recorded"},
	{name: "no root", why: "r5", make: said(func(a *crafted) { a.Roots = nil }), status: statusDamage, says: "has no root"},
	{name: "a root that is no reference", why: "r2", make: said(func(a *crafted) { a.Roots[0].Reference = "-b --to-repo" }), status: statusDamage, says: "is not a reference"},
	{name: "a root that is not spelled out", why: "r2", make: said(func(a *crafted) { a.Roots[0].Reference = "repository:1.0" }), status: statusDamage, says: "is not a reference"},
	{name: "a root of another tag", why: "i32, i42", make: said(func(a *crafted) {
		a.Roots[0].Reference = strings.Replace(a.Roots[0].Reference, ":1.0.0", ":2.0.0", 1)
	}), status: statusDamage, says: "it does not hold", verify: "is not recorded"},
	{name: "a root of another digest", why: "i42", make: said(func(a *crafted) { a.Roots[0].Digest = a.Manifests[1].Digest }), status: statusDamage, says: "the inventory's roots[0]"},
	{name: "a root that is not in the graph", why: "r5", make: said(func(a *crafted) {
		a.Roots = append(a.Roots, bundle.Pin{Reference: "a.example/a@sha256:" + strings.Repeat("1", 64), Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}})
	}), status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "a root twice", why: "r5", make: said(func(a *crafted) { a.Roots = append(a.Roots, a.Roots[0]) }), status: statusDamage, says: "roots, the content"},
	{name: "a root that is an image", why: "r5", make: said(func(a *crafted) {
		m := a.Manifests[a.first(bundle.Plain)]
		a.Roots = []bundle.Pin{{Reference: m.References[0], Digest: m.Digest}}
	}), status: statusDamage, says: "the inventory"},
}

// children says that the first images of the first index are left out.
func (a *crafted) children(n int) (list []report.Omitted) {
	index := a.Manifests[a.first(bundle.Index)]
	var doc v1.IndexManifest
	for _, b := range a.blobs {
		if strings.HasSuffix(b.name, index.Digest.Hex) && json.Unmarshal(b.content, &doc) != nil {
			panic("the index cannot be read")
		}
	}
	for _, d := range doc.Manifests[:n] {
		list = append(list, report.Omitted{Digest: d.Digest, Size: d.Size, MediaType: string(d.MediaType), Image: index.References[0], Reason: "platform", Platform: d.Platform.String()})
	}
	return list
}
