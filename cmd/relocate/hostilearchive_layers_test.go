package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
	"relocate/report"
)

// The content of layers, which the seal does not cover, and text that a terminal would obey.

// rotten changes the content of the blob that which chooses, and nothing else.
func rotten(which func(a *crafted) int, change func(b []byte) []byte) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		i := which(a)
		a.members = func(list []member) []member {
			m := &list[3+i]
			m.content = change(bytes.Clone(m.content))[:len(m.content)]
			return list
		}
		return a
	}
}

func lastBlob(a *crafted) int { return len(a.blobs) - 1 }

// smallBlob returns a config: of the small section, read before anything is written.
func smallBlob(a *crafted) int {
	return slices.IndexFunc(a.blobs, func(m member) bool { return bytes.HasPrefix(m.content, []byte(`{"architecture"`)) })
}

// bundleLayer returns the first layer of a bundle.
func bundleLayer(a *crafted) int {
	return slices.IndexFunc(a.blobs, func(m member) bool { return bytes.HasPrefix(m.content, []byte("\x1f\x8b")) })
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
}

var hostileLayers = []hostile{
	{name: "first bit flipped", why: "r1", make: rotten(lastBlob, flip(0)), status: statusDamage, says: "digest", late: true},
	{name: "last bit flipped", why: "r1", make: rotten(lastBlob, flip(-1)), status: statusDamage, says: "digest", late: true},
	{name: "zeros", why: "r1, F1", make: rotten(lastBlob, func(b []byte) []byte { clear(b); return b }), status: statusDamage, says: "digest", late: true},
	{name: "another layer of the same size", why: "r1, i21", make: rotten(lastBlob, func(b []byte) []byte { return bytes.Repeat([]byte("evil"), len(b)) }), status: statusDamage, says: "digest", late: true},
	{name: "all layers", why: "r1", make: func(f *forge) *crafted {
		a := f.sample()
		a.members = func(list []member) []member {
			for i := len(list) - 4; i < len(list); i++ {
				list[i].content = bytes.Repeat([]byte("x"), len(list[i].content))
			}
			return list
		}
		return a
	}, status: statusDamage, says: "digest", late: true},
	{name: "a layer shorter inside", why: "r1: zeros in its place", make: rotten(lastBlob, func(b []byte) []byte { return append(b[1:], 0) }), status: statusDamage, says: "digest", late: true},
	{name: "a manifest", why: "r1", make: rotten(func(*crafted) int { return 0 }, flip(5)), status: statusDamage, says: "has the digest"},
	{name: "a manifest by another of the same size", why: "r1, i21", make: rotten(func(*crafted) int { return 0 }, func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"schemaVersion":2`), []byte(`"schemaVersion":1`), 1)
	}), status: statusDamage, says: "has the digest"},
	{name: "a config", why: "r1", make: rotten(smallBlob, flip(-3)), status: statusDamage, says: "has the digest"},
	{name: "a bundle's layer", why: "r1", make: rotten(bundleLayer, flip(50)), status: statusDamage, says: "has the digest"},
	{name: "a bundle's layer with a broken gzip", why: "r1: damage explains the rest", make: rotten(bundleLayer, flip(0)), status: statusDamage, says: "has the digest"},
}

const evilText = "\x1b[2J\x1b]0;x\a\u009b31m\u202etxt.exe\u2066\u200f\u2028\x7f\r\b"

var hostileStrings = []hostile{
	{name: "name of a package", why: "r23, i28: taken", make: packaged(plainText("apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: x}\n" +
		"spec: {refName: " + quoted(evilText) + ", version: " + quoted("1.0.0"+evilText) + "}\n")), says: "1 version of 1 package"},
	{name: "metadata of a package", why: "r23, i28: taken", make: packaged(plainText(packageText("p", "1.0.0", "':'") + "---\napiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\n" +
		"metadata: {name: p}\nspec: {displayName: " + quoted(evilText) + ", shortDescription: " + quoted(evilText+"\nOK: x is complete\n") + "}\n")), says: "1 version of 1 package"},
	{name: "reference of a fetch", why: "r23, i28: taken", make: packaged(fetching("{image: {url: " + quoted(evilText) + "}}")), says: "which is not an image reference"},
	{name: "url of a fetch", why: "r23, i28: taken", make: packaged(fetching("{http: {url: " + quoted("http://x/"+evilText) + "}}")), says: "fetches by http"},
	{name: "name of a file", why: "r23, i28: taken", make: func(f *forge) *crafted {
		c := f.content()
		return c.archive(c.bundleOf([]v1.Descriptor{c.image("layer")}, "packages/"+strings.ReplaceAll(evilText, "/", "")+".yml", "#@ ytt\n"))
	}, says: "ytt directives"},
	{name: "error of YAML", why: "r23, i28: taken", make: packaged(plainText("a: *" + strings.ReplaceAll(evilText, "\r", "") + "\n")), says: "not-read"},
	{name: "reference of a lock", why: "r23, i28", make: lockWith("images:", "images:\n- image: "+quoted(evilText)), status: statusFailed, says: "has no digest"},
	{name: "key of a lock", why: "r23, i28", make: lockWith("images:", quoted(evilText)+": 1\nimages:"), status: statusFailed, says: "unknown field"},
	{name: "kind of a lock", why: "r23, i28", make: lockWith("kind: ImagesLock", "kind: "+quoted(evilText)), status: statusFailed, says: "kind: is"},
	{name: "key of a manifest", why: "r23, i28", make: imageText(changedTo(`"layers"`, quoted(evilText)+`:1,`+quoted(evilText)+`:2,"layers"`)), status: statusFailed, says: "twice"},
	{name: "media type of a manifest", why: "r23, i28", make: textOf(types.MediaType("x"+evilText), func(_ *content, s string) string { return s }), status: statusFailed, says: "is served as"},
	{name: "media type of a layer", why: "r23, i28: taken", make: imageText(changedTo(`"mediaType":"`+string(types.OCILayer)+`"`, `"mediaType":`+quoted(evilText))), says: "1 image"},
	{name: "config's label", why: "r23: taken", make: locked(func(c *content) v1.Descriptor {
		return c.imageOf(c.blob(types.OCIConfigJSON, []byte(`{"config":{"Labels":{`+quoted(evilText)+`:"x"}}}`)))
	}), says: "1 image"},
	{name: "name in a layer", why: "r23", make: layer(func(f *forge, lock string) []byte {
		return zip(f.t, tarOf(f.t, "packages/"+evilText+".yml", strings.Repeat("#", 5<<20), lockName, lock))
	}), status: statusFailed, says: "more than the limit of"},
	{name: "root", why: "r23", make: said(func(a *crafted) { a.Roots[0].Reference += evilText }), status: statusDamage, says: "is not a reference"},
	{name: "pin", why: "r23", make: said(func(a *crafted) { a.Pins[0].Reference += evilText }), status: statusDamage, says: "is not a tag"},
	{name: "reference in the inventory", why: "r23", make: said(func(a *crafted) { a.Manifests[1].References[0] = "a" + evilText }), status: statusDamage, says: "the inventory's manifests[1]"},
	{name: "kind in the inventory", why: "r23", make: said(func(a *crafted) { a.Manifests[1].Kind = bundle.Kind(evilText) }), status: statusDamage, says: "the inventory's manifests[1]"},
	{name: "key in the inventory", why: "r23", make: spelled(`"omitted"`, quoted(evilText)), status: statusDamage, says: "where the list omitted belongs"},
	{name: "raw bytes in the inventory", why: "r23", make: spelled(`"omitted"`, `"`+evilText), status: statusDamage, says: "where the list omitted belongs"},
	{name: "digest in the inventory", why: "r23", make: spelled(`"blobs":[`+"\n"+`{"digest":"`, `"blobs":[`+"\n"+`{"digest":"\u001b[2J`), status: statusDamage, says: "blobs[0]: "},
	{name: "left out", why: "r23", make: said(func(a *crafted) {
		a.Omitted = []report.Omitted{{Digest: a.Blobs[0].Digest, MediaType: evilText, Image: evilText, Reason: evilText}}
	}), status: statusDamage, says: "omitted, the content"},
	{name: "first member of another tar", why: "r23", make: func(f *forge) *crafted {
		a := f.sample()
		a.file = func([]byte) []byte { return tarOf(f.t, "a"+evilText, "") }
		return a
	}, status: statusDamage, says: "is not an archive"},
}

// quoted is s as a string of JSON and YAML.
func quoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, "\\u%04x", r)
	}
	return `"` + b.String() + `"`
}
