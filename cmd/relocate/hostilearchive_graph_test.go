package main

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/bundle"
)

// Manifests and the graph that they make. Each archive agrees with itself.

// locked makes an archive whose root locks what make adds.
func locked(make func(c *content) v1.Descriptor) func(*forge) *crafted {
	return func(f *forge) *crafted {
		c := f.content()
		return c.archive(c.bundleOf([]v1.Descriptor{make(c)}))
	}
}

// imageText makes an archive whose root locks an image manifest of the text that change makes of a right one.
func imageText(change func(c *content, text string) string) func(*forge) *crafted {
	return textOf(types.OCIManifestSchema1, change)
}

// textOf does so with another media type.
func textOf(mediaType types.MediaType, change func(c *content, text string) string) func(*forge) *crafted {
	return locked(func(c *content) v1.Descriptor {
		config, layer := c.blob(types.OCIConfigJSON, []byte(`{}`)), c.blob(types.OCILayer, []byte("layer"))
		text := change(c, imageJSON(string(encode(c.t, config)), string(encode(c.t, layer))))
		return c.manifest(bundle.Plain, mediaType, []byte(text), []v1.Descriptor{config, layer})
	})
}

// changedTo changes one place of a manifest.
func changedTo(old, text string) func(*content, string) string {
	return func(c *content, s string) string { return replace(c.t, old, text)(s) }
}

// indexText makes an archive whose root locks an index of one child with the text changed.
func indexText(change func(c *content, text string) string) func(*forge) *crafted {
	return locked(func(c *content) v1.Descriptor {
		child := c.image("layer")
		text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.OCIImageIndex, encode(c.t, child))
		return c.manifest(bundle.Index, types.OCIImageIndex, []byte(change(c, text)), nil, child)
	})
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

var hostileManifests = []hostile{
	{name: "right", why: "what the others are like: taken", make: imageText(func(_ *content, s string) string { return s }), says: "1 image"},
	{name: "index and image in one", why: "i19", make: imageText(changedTo(`"layers"`, `"manifests":[],"layers"`)), status: statusFailed, says: "is an image manifest with manifests"},
	{name: "image and index in one", why: "i19", make: indexText(changedTo(`"manifests"`, `"layers":[],"manifests"`)), status: statusFailed, says: "is an index with config or layers"},
	{name: "index with a config", why: "i19", make: indexText(changedTo(`"manifests"`, `"config":{},"manifests"`)), status: statusFailed, says: "is an index with config or layers"},
	{name: "served as another type", why: "i19", make: textOf(types.DockerManifestSchema2, func(_ *content, s string) string { return s }), status: statusFailed, says: "is served as"},
	{name: "served as an index", why: "i19", make: textOf(types.OCIImageIndex, changedTo(`"mediaType":"`+string(types.OCIManifestSchema1)+`",`, "")), status: statusFailed, says: "is an index with config or layers"},
	{name: "of a type that is none", why: "i19", make: textOf("text/html", changedTo(`"mediaType":"`+string(types.OCIManifestSchema1)+`",`, "")), status: statusFailed, says: "neither an image manifest nor an index"},
	{name: "of schema 1", why: "i57", make: textOf(types.DockerManifestSchema1, changedTo(`"schemaVersion":2`, `"schemaVersion":1`)), status: statusFailed, says: "schema 1 cannot be copied"},
	{name: "schemaVersion 1", why: "i19", make: imageText(changedTo(`"schemaVersion":2`, `"schemaVersion":1`)), status: statusFailed, says: "has schemaVersion 1"},
	{name: "a key twice", why: "r8", make: imageText(changedTo(`"layers"`, `"layers":[],"layers"`)), status: statusFailed, says: "twice"},
	{name: "a key twice in another case", why: "r8", make: imageText(changedTo(`"layers"`, `"Layers":[],"layers"`)), status: statusFailed, says: "twice"},
	{name: "a key twice with a long s", why: "r8", make: imageText(changedTo(`"layers"`, `"layerſ":[],"layers"`)), status: statusFailed, says: "twice"},
	{name: "a key twice by an escape", why: "r8", make: imageText(changedTo(`"layers"`, `"\u006cayers":[],"layers"`)), status: statusFailed, says: "twice"},
	{name: "keys of two lone surrogates", why: "r8", make: imageText(changedTo(`"layers"`, `"\ud800":0,"\udfff":0,"layers"`)), status: statusFailed, says: "twice"},
	{name: "text behind it", why: "r8", make: imageText(func(_ *content, s string) string { return s + `{}` }), status: statusFailed, says: "after the end of its JSON"},
	{name: "a NUL behind it", why: "r8", make: imageText(func(_ *content, s string) string { return s + "\x00" }), status: statusFailed, says: "after the end of its JSON"},
	{name: "invalid UTF-8", why: "r8", make: imageText(changedTo(`"layers"`, "\"x\":\"\xff\",\"layers\"")), status: statusFailed, says: "is not UTF-8"},
	{name: "byte order mark", why: "r8", make: imageText(func(_ *content, s string) string { return "\ufeff" + s }), status: statusFailed, says: "is no manifest"},
	{name: "64 levels", why: "r8: the limit, taken", make: imageText(changedTo(`"layers"`, `"x":`+nested(63)+`,"layers"`)), says: "1 image"},
	{name: "65 levels", why: "r8", make: imageText(changedTo(`"layers"`, `"x":`+nested(64)+`,"layers"`)), status: statusFailed, says: "nested more than 64 deep"},
	{name: "a million levels", why: "r8", make: imageText(changedTo(`"layers"`, `"x":`+nested(1_000_000)+`,"layers"`)), status: statusFailed, says: "nested more than 64 deep"},
	{name: "a long list", why: "r9", make: imageText(changedTo(`"layers"`, `"x":[0`+strings.Repeat(",0", 50_000)+`],"layers"`)), status: statusFailed, says: "has a list of more than 50000"},
	{name: "over 4 MiB", why: "r8, i22", make: imageText(func(_ *content, s string) string { return s + strings.Repeat(" ", 4<<20) }), status: statusFailed, says: "more than the limit of 4194304"},
	{name: "negative size", why: "r8", make: imageText(changedTo(`"size":5`, `"size":-5`)), status: statusFailed, says: "has a descriptor"},
	{name: "size over 64 bits", why: "r8", make: imageText(changedTo(`"size":5`, `"size":18446744073709551621`)), status: statusFailed, says: "is no manifest"},
	{name: "size of 2^63 - 1", why: "r8, i24", make: imageText(changedTo(`"size":5`, `"size":9223372036854775807`)), status: statusDamage, says: "the inventory's blobs["},
	{name: "size with a fraction", why: "r8", make: imageText(changedTo(`"size":5`, `"size":5.5`)), status: statusFailed, says: "is no manifest"},
	{name: "size as text", why: "r8", make: imageText(changedTo(`"size":5`, `"size":"5"`)), status: statusFailed, says: "is no manifest"},
	{name: "another size", why: "r1", make: imageText(changedTo(`"size":5`, `"size":6`)), status: statusDamage, says: "the inventory's blobs["},
	{name: "a digest in capitals", why: "r2", make: imageText(func(_ *content, s string) string {
		i := strings.LastIndex(s, "sha256:") + 7
		return s[:i] + strings.ToUpper(s[i:i+64]) + s[i+64:]
	}), status: statusFailed, says: "is no manifest"},
	{name: "a digest of sha512", why: "r2", make: imageText(func(_ *content, s string) string {
		i := strings.LastIndex(s, "sha256:")
		return s[:i] + "sha512:" + strings.Repeat("0", 128) + s[i+71:]
	}), status: statusFailed, says: "only sha256 digests are supported"},
	{name: "a digest that is a path", why: "r2, i20", make: imageText(func(_ *content, s string) string {
		i := strings.LastIndex(s, "sha256:")
		return s[:i] + "sha256:/../../../v2/" + s[i+71:]
	}), status: statusFailed, says: "is no manifest"},
	{name: "no digest", why: "r2", make: imageText(func(_ *content, s string) string {
		i := strings.LastIndex(s, `"digest":`)
		return s[:i] + `"dig":` + s[i+len(`"digest":`):]
	}), status: statusFailed, says: "has a descriptor"},
	{name: "no config", why: "r8", make: imageText(func(_ *content, s string) string { return strings.Replace(s, `"config"`, `"conf"`, 1) }), status: statusFailed, says: "without config"},
	{name: "layers that are no list", why: "r8", make: imageText(changedTo(`"layers":[`, `"layers":"x","x":[`)), status: statusFailed, says: "is no manifest"},
	{name: "a media type of 300 bytes", why: "r8", make: imageText(changedTo(`"mediaType":"`+string(types.OCILayer), `"mediaType":"`+strings.Repeat("x", 300))), status: statusFailed, says: "has a descriptor"},
	{name: "urls and data of a layer", why: "r16, i33–i35: never fetched, taken", make: imageText(func(c *content, s string) string {
		return replace(c.t, `"size":5`, `"urls":["http://`+c.host+`/layer"],"data":"bGF5ZXI=","size":5`)(s)
	}), says: "1 image"},
	{name: "annotations that differ in case", why: "names are free: taken", make: imageText(changedTo(`"layers"`, `"annotations":{"a":"1","A":"\u001b[2J"},"layers"`)), says: "1 image"},
	{name: "not JSON", why: "r8", make: imageText(func(*content, string) string { return "apiVersion: v1" }), status: statusFailed, says: "is no manifest"},
	{name: "empty", why: "r8", make: imageText(func(*content, string) string { return "" }), status: statusFailed, says: "is no manifest"},
	{name: "null", why: "r8", make: imageText(func(*content, string) string { return "null" }), status: statusFailed, says: "has schemaVersion 0"},
	{name: "child of another size", why: "r1", make: indexText(func(_ *content, s string) string { return strings.Replace(s, `"size":`, `"size":1`, 1) }), status: statusFailed, says: "says"},
	{name: "child of another type", why: "i19", make: indexText(func(_ *content, s string) string {
		return strings.Replace(s, `[{"mediaType":"`+string(types.OCIManifestSchema1), `[{"mediaType":"`+string(types.DockerManifestSchema2), 1)
	}), status: statusFailed, says: "says"},
	{name: "config of 4 MiB", why: "r8, i22", make: locked(func(c *content) v1.Descriptor {
		return c.imageOf(c.blob(types.OCIConfigJSON, []byte(`{"config":{"Labels":{"dev.carvel.imgpkg.bundle":""}}}`+strings.Repeat(" ", 4<<20))))
	}), status: statusFailed, says: "has a config of"},
	{name: "config of a petabyte", why: "r8, i24", make: locked(func(c *content) v1.Descriptor {
		config := c.blob(types.OCIConfigJSON, []byte(`{}`))
		config.Size = 1 << 50
		return c.imageOf(config)
	}), status: statusFailed, says: "has a config of"},
}

// chain adds n bundles, each of which locks the one before it, twice if twice is set.
func (c *content) chain(n int) v1.Descriptor {
	d := c.image("leaf")
	for i := range n {
		d = c.bundleOf([]v1.Descriptor{d}, "n", fmt.Sprint(i))
	}
	return d
}

var hostileGraphs = []hostile{
	{name: "bundles 32 deep", why: "r9: the limit, taken", make: func(f *forge) *crafted { c := f.content(); return c.archive(c.chain(32)) }, says: "32 bundles"},
	{name: "bundles 33 deep", why: "r9", make: func(f *forge) *crafted { c := f.content(); return c.archive(c.chain(33)) }, status: statusFailed, says: "nested more than 32 deep"},
	{name: "indexes 40 deep", why: "r9", make: locked(func(c *content) v1.Descriptor {
		d := c.image("leaf")
		for range 40 {
			d = c.indexOf(d)
		}
		return d
	}), status: statusFailed, says: "nested more than 32 deep"},
	{name: "a billion ways to one image", why: "r9: each digest once, taken", make: func(f *forge) *crafted {
		c := f.content()
		level := []v1.Descriptor{c.image("leaf")}
		for i := range 30 {
			var next []v1.Descriptor
			for j := range 2 {
				next = append(next, c.bundleOf(level, "n", fmt.Sprint(i, j)))
			}
			level = next
		}
		return c.archive(c.bundleOf(level))
	}, says: "61 bundles"},
	{name: "an image that is not there", why: "i51", make: locked(func(c *content) v1.Descriptor {
		d := c.image("x")
		delete(c.manifests, d.Digest)
		delete(c.blobs, d.Digest)
		return d
	}),
		status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "a config that is not there", why: "i51", make: locked(func(c *content) v1.Descriptor {
		config := c.blob(types.OCIConfigJSON, []byte(`{"gone":1}`))
		delete(c.blobs, config.Digest)
		return c.imageOf(config)
	}), status: statusDamage, says: inArchive},
	{name: "a layer that is not there", why: "i51", make: locked(func(c *content) v1.Descriptor {
		d := c.image("gone")
		delete(c.blobs, descriptor(c.t, "", []byte("gone")).Digest)
		return d
	}), status: statusDamage, says: "blobs, the content"},
	{name: "a lock names a layer", why: "i19", make: locked(func(c *content) v1.Descriptor { c.image("layer"); return descriptor(c.t, "", []byte("layer")) }), status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "a layer is a manifest, too", why: "i19", make: func(f *forge) *crafted {
		c := f.content()
		one := c.image("layer")
		two := c.imageOf(c.blob(types.OCIConfigJSON, []byte(`{}`)), v1.Descriptor{MediaType: types.OCILayer, Size: one.Size, Digest: one.Digest})
		return c.archive(c.bundleOf([]v1.Descriptor{one, two}))
	}, status: statusFailed, says: "is both a manifest and a blob"},
	{name: "a config is a layer, too", why: "one blob in two parts: taken", make: locked(func(c *content) v1.Descriptor {
		config := c.blob(types.OCIConfigJSON, []byte(`{}`))
		return c.imageOf(config, v1.Descriptor{MediaType: types.OCILayer, Size: config.Size, Digest: config.Digest})
	}), says: "1 image"},
	{name: "a blob of two sizes", why: "r1", make: func(f *forge) *crafted {
		c := f.content()
		layer := c.blob(types.OCILayer, []byte("layer"))
		other := layer
		other.Size++
		config := c.blob(types.OCIConfigJSON, []byte(`{}`))
		return c.archive(c.bundleOf([]v1.Descriptor{c.imageOf(config, layer), c.imageOf(config, other)}))
	}, status: statusFailed, says: "in another manifest"},
	{name: "the same layer a thousand times", why: "r9: once, taken", make: locked(func(c *content) v1.Descriptor {
		return c.imageOf(c.blob(types.OCIConfigJSON, []byte(`{}`)), slices.Repeat([]v1.Descriptor{c.blob(types.OCILayer, []byte("x"))}, 1000)...)
	}), says: "1 image"},
	{name: "an index of many children", why: "r9, i25", make: locked(func(c *content) v1.Descriptor {
		child := string(encode(c.t, c.image("layer")))
		text := `{"schemaVersion":2,"manifests":[` + child + strings.Repeat(`,{}`, 50_000) + `]}`
		return c.manifest(bundle.Index, types.OCIImageIndex, []byte(text), nil)
	}), status: statusFailed, says: "has a list of more than 50000"},
	{name: "an index of nothing", why: "empty is something: taken", make: locked(func(c *content) v1.Descriptor { return c.indexOf() }), says: "1 index"},
	{name: "a root without a lock", why: "r10", make: func(f *forge) *crafted { c := f.content(); return c.archive(c.layered(zip(f.t, tarOf(f.t, "a", "b")))) },
		status: statusFailed, says: "has no .imgpkg/images.yml"},
	{name: "a root that is an index of bundles", why: "as -i exports: taken, and no bundle's repository", make: func(f *forge) *crafted {
		c := f.content()
		return c.archive(c.indexOf(c.bundleOf(nil)))
	}, says: "1 index"},
}
