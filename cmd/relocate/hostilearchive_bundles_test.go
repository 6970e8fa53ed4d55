package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Locks, Packages, and the layer that has them. Each archive agrees with itself.

// lockOf makes an archive whose root has the lock that change makes of a right one, with one image.
func lockOf(change func(lock string) string) func(*forge) *crafted {
	return func(f *forge) *crafted {
		c := f.content()
		image := c.image("layer")
		return c.archive(c.layered(zip(f.t, tarOf(f.t, ".imgpkg/images.yml", change(c.lock(image)))), image))
	}
}

func lockWith(old, text string) func(*forge) *crafted {
	return func(f *forge) *crafted { return lockOf(replace(f.t, old, text))(f) }
}

// bomb is a YAML mapping whose last key has 10^n items when its aliases are written out.
func bomb(n int) string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < n; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return text
}

var hostileLocks = []hostile{
	{name: "right", why: "what the others are like: taken", make: lockOf(func(s string) string { return s }), says: "1 image"},
	{name: "unknown key", why: "as imgpkg", make: lockWith("images:", "run: sh\nimages:"), status: statusFailed, says: `unknown field "run"`},
	{name: "key twice", why: "r8", make: lockWith("images:", "images: []\nimages:"), status: statusFailed, says: "ImagesLock: "},
	{name: "of another kind", why: "as imgpkg", make: lockWith("ImagesLock", "BundleLock"), status: statusFailed, says: "kind: is"},
	{name: "of another version", why: "as imgpkg", make: lockWith("v1alpha1", "v9"), status: statusFailed, says: "apiVersion: is"},
	{name: "alias bomb", why: "i27", make: lockWith("images:", bomb(9)+"images:"), status: statusFailed, says: "ImagesLock: "},
	{name: "alias bomb in annotations", why: "i27", make: lockWith("  annotations:\n", "  annotations:\n"+strings.ReplaceAll("    "+bomb(9), "\na", "\n    a")), status: statusFailed, says: "ImagesLock: "},
	{name: "an alias within itself", why: "i27", make: lockWith("images:", "x: &x [*x]\nimages:"), status: statusFailed, says: "ImagesLock: "},
	{name: "100 levels", why: "r8", make: lockWith("images:", "x: "+nested(100)+"\nimages:"), status: statusFailed, says: "ImagesLock: "},
	{name: "100,000 levels", why: "r8, i27", make: lockWith("images:", "x: "+nested(100_000)+"\nimages:"), status: statusFailed, says: "ImagesLock: "},
	{name: "merge key", why: "what another reader may not know", make: lockWith("images:", "x: &x {y: 1}\n<<: *x\nimages:"), status: statusFailed, says: "unknown field"},
	{name: "over 4 MiB", why: "r8", make: lockOf(func(s string) string { return s + strings.Repeat("#", 4<<20) }), status: statusFailed, says: "more than the limit of 4194304"},
	{name: "invalid UTF-8", why: "r8", make: lockWith("images:", "# \xff\nimages:"), status: statusFailed, says: "is not UTF-8"},
	{name: "UTF-16", why: "r8: two readers", make: lockOf(func(s string) string { return "\xff\xfe" + strings.ReplaceAll(s, "", "\x00") }), status: statusFailed, says: "is not UTF-8"},
	{name: "a NUL", why: "r8", make: lockWith("images:", "# \x00\nimages:"), status: statusFailed, says: "ImagesLock: "},
	{name: "a carriage return hides an entry", why: "i28", make: lockWith("images:", "# x\rimages:\n#"), status: statusFailed, says: "line break"},
	{name: "a next-line hides an entry", why: "i28", make: lockWith("images:", "# x\u0085images:\n#"), status: statusFailed, says: "line break"},
	{name: "a reference by tag", why: "i41", make: lockOf(func(s string) string { return cutDigest(s, ":latest") }), status: statusFailed, says: "has no digest"},
	{name: "a reference without anything", why: "i41", make: lockOf(func(s string) string { return cutDigest(s, "") }), status: statusFailed, says: "has no digest"},
	{name: "an empty reference", why: "r2", make: lockWith("images:", "images:\n- image: ''"), status: statusFailed, says: "images[0].image: is empty"},
	{name: "a digest of sha512", why: "r2", make: lockOf(func(s string) string { return cutDigest(s, "@sha512:"+strings.Repeat("0", 128)) }), status: statusFailed, says: "images[0].image: "},
	{name: "a digest in capitals", why: "r2", make: lockOf(func(s string) string { return cutDigest(s, "@sha256:"+strings.Repeat("A", 64)) }), status: statusFailed, says: "images[0].image: "},
	{name: "a digest that is a path", why: "r2, i20", make: lockOf(func(s string) string { return cutDigest(s, "@sha256:../../../../etc/passwd") }), status: statusFailed, says: "images[0].image: "},
	{name: "a reference that is a URL", why: "r2", make: lockOf(func(s string) string { return strings.Replace(s, "- image: ", "- image: http://", 1) }), status: statusFailed, says: "images[0].image: "},
	{name: "a long reference", why: "r2", make: lockOf(func(s string) string { return strings.Replace(s, "/app@", strings.Repeat("/a", 1000)+"@", 1) }), status: statusFailed, says: "more than the limit of 1024"},
	{name: "an entry that the archive has not", why: "i51", make: lockOf(func(s string) string {
		return s + "- image: gone.example/gone@sha256:" + strings.Repeat("0", 64) + "\n"
	}), status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "a second document", why: "imgpkg reads the first only: taken", make: lockOf(func(s string) string { return s + "---\nkind: Secret\n" }), says: "1 image"},
	{name: "is a list", why: "r8", make: lockOf(func(string) string { return "[]" }), status: statusFailed, says: "ImagesLock: "},
	{name: "is empty", why: "r8", make: lockOf(func(string) string { return "" }), status: statusFailed, says: "apiVersion: is"},
	{name: "50,001 entries", why: "r9", make: lockOf(func(s string) string {
		return s + "- &e {image: a@sha256:" + strings.Repeat("0", 64) + "}\n" + strings.Repeat("- *e\n", 49_999)
	}), status: statusFailed, says: "names 50001 images, more than the limit of 50000"},
}

// cutDigest puts text in the place of the first digest of a lock.
func cutDigest(lock, text string) string {
	i := strings.Index(lock, "@sha256:")
	return lock[:i] + text + lock[i+len("@sha256:")+64:]
}

// packaged makes an archive whose root has a file below packages/ and one image in its lock.
func packaged(text func(c *content) string) func(*forge) *crafted {
	return func(f *forge) *crafted {
		c := f.content()
		return c.archive(c.bundleOf([]v1.Descriptor{c.image("layer")}, "packages/p.yml", text(c)))
	}
}

// fetching is a Package with the fetch given, in flow style.
func fetching(fetch string) func(*content) string {
	return func(c *content) string {
		return "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: Package\nmetadata: {name: p.1.0.0}\n" +
			"spec:\n  refName: p\n  version: 1.0.0\n  template: {spec: {fetch: [" + strings.ReplaceAll(fetch, "HOST", c.host) + "]}}\n"
	}
}

func plainText(s string) func(*content) string { return func(*content) string { return s } }

var hostilePackages = []hostile{
	{name: "no image is meant", why: "r16, i49: reported, nobody is asked, taken", make: packaged(fetching(
		"{http: {url: http://HOST/x}}, {git: {url: http://HOST/x.git}}, {helmChart: {name: x, repository: {url: http://HOST/}}}")), says: "by helmChart"},
	{name: "an image by tag that has no pin", why: "r16, i49: nobody is asked", make: packaged(fetching("{imgpkgBundle: {image: HOST/app:1.0}}")),
		status: statusDamage, says: "it does not hold", verify: "is not recorded"},
	{name: "an image by digest that is not there", why: "i51", make: packaged(fetching("{image: {url: HOST/app@sha256:" + strings.Repeat("0", 64) + "}}")),
		status: statusDamage, says: "it does not hold", verify: inArchive},
	{name: "no reference", why: "reported, taken", make: packaged(fetching("{image: {url: '--from-tar /etc/passwd'}}")), says: "which is not an image reference"},
	{name: "a long reference", why: "r2: reported, taken", make: packaged(fetching("{image: {url: HOST/" + strings.Repeat("a/", 100_000) + "a}}")), says: "which is not an image reference"},
	{name: "a tag selection", why: "reported, taken", make: packaged(fetching("{imgpkgBundle: {image: HOST/app, tagSelection: {semver: {}}}}")), says: "with a tagSelection"},
	{name: "60,000 fetches", why: "r9, i27", make: packaged(fetching("&a {image: {url: HOST/a}}" + strings.Repeat(", *a", 60_000))), status: statusFailed, says: "more than the limit of 50000"},
	{name: "alias bomb", why: "i27: not read, taken", make: packaged(plainText(bomb(5) + "b: [*a4, *a4, *a4, *a4, *a4]\n")), says: "(not-read)"},
	{name: "an alias within itself", why: "i27: not read, taken", make: packaged(plainText("x: &x [*x]\n")), says: "(not-read)"},
	{name: "1,000 levels", why: "r8: not read, taken", make: packaged(plainText(nested(1_000))), says: "(not-read)"},
	{name: "20,000 documents", why: "r8: not all read, taken", make: packaged(plainText(strings.Repeat("a: 1\n---\n", 20_000))), says: "more than 10000 documents"},
	{name: "invalid UTF-8", why: "r8: not read, taken", make: packaged(plainText("a: \xff\n")), says: "is not UTF-8"},
	{name: "ytt", why: "run, taken", make: packaged(plainText("apiVersion: v1\nkind: #@ 'Sec' + 'ret'\n")), says: `"v1 Secret" is neither`},
	{name: "a carriage return hides a document", why: "i28: reported, taken", make: packaged(plainText("a: 1 # \r---\rkind: Secret\n")), says: "line break"},
	{name: "no YAML", why: "reported, taken", make: packaged(plainText("\t{")), says: "(not-read)"},
	{name: "names that are paths", why: "i11: names are data, taken", make: packaged(func(*content) string {
		return packageText("../../../etc/cron.d/x", "1.0.0", "':'") + "---\n" + packageText("/etc/passwd", "../..", "':'")
	}), says: "/etc/passwd"},
	{name: "a version that is none", why: "names are data, taken", make: packaged(plainText(packageText("p", strings.Repeat("9", 1000)+"."+strings.Repeat("0", 1000), "':'"))), says: "1 version of 1 package"},
	{name: "a Secret", why: "what kapp-controller drops: taken", make: packaged(plainText("apiVersion: v1\nkind: Secret\n")), says: "0 versions of 0 packages"},
}

// layer makes an archive whose root has the layer given.
func layer(b func(f *forge, lock string) []byte) func(*forge) *crafted {
	return func(f *forge) *crafted {
		c := f.content()
		image := c.image("layer")
		return c.archive(c.layered(b(f, c.lock(image)), image))
	}
}

// member puts a member before the lock.
func withMember(h tar.Header, content string) func(*forge) *crafted {
	return layer(func(f *forge, lock string) []byte {
		return zip(f.t, slices.Concat(tarMember(f, h, content), tarOf(f.t, ".imgpkg/images.yml", lock)))
	})
}

// instead puts a member in the place of the lock.
func instead(h tar.Header, content string) func(*forge) *crafted {
	return layer(func(f *forge, lock string) []byte {
		text := content
		if text == "LOCK" {
			text = lock
		}
		return zip(f.t, append(tarMember(f, h, text), make([]byte, 1024)...))
	})
}

// tarMember is a member of a tar, padded.
func tarMember(f *forge, h tar.Header, content string) []byte {
	var b bytes.Buffer
	h.Size = int64(len(content))
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&h); err != nil {
		f.t.Fatal(err)
	}
	if h.Typeflag == tar.TypeReg || h.Typeflag == 0 {
		b.WriteString(content)
		b.Write(make([]byte, -len(content)&511))
	}
	return b.Bytes()
}

// rawMember is a header of the type given and its content, as archive/tar would not write them.
func rawMember(f *forge, name string, typeflag byte, content string) []byte {
	h := tarHeader(f.t, name, int64(len(content)))
	h[156] = typeflag
	setChecksum(h)
	return slices.Concat(h, []byte(content), make([]byte, -len(content)&511))
}

func raw(name string, typeflag byte, content string) func(*forge) *crafted {
	return layer(func(f *forge, lock string) []byte {
		return zip(f.t, slices.Concat(rawMember(f, name, typeflag, content), tarOf(f.t, ".imgpkg/images.yml", lock)))
	})
}

const lockName = ".imgpkg/images.yml"

var hostileBundles = []hostile{
	{name: "right", why: "what the others are like: taken", make: layer(func(f *forge, lock string) []byte { return zip(f.t, tarOf(f.t, lockName, lock)) }), says: "1 image"},
	{name: "lock is a symbolic link", why: "r10, i12", make: instead(tar.Header{Name: lockName, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""), status: statusFailed, says: "has no " + lockName},
	{name: "lock is a hard link", why: "r10, i5", make: instead(tar.Header{Name: lockName, Typeflag: tar.TypeLink, Linkname: "a"}, ""), status: statusFailed, says: "has no " + lockName},
	{name: "lock is a folder", why: "r10", make: instead(tar.Header{Name: lockName + "/", Typeflag: tar.TypeDir}, ""), status: statusFailed, says: "has no " + lockName},
	{name: "lock is a device", why: "r10", make: instead(tar.Header{Name: lockName, Typeflag: tar.TypeChar}, ""), status: statusFailed, says: "has no " + lockName},
	{name: "lock elsewhere", why: "r10", make: instead(tar.Header{Name: "x/" + lockName}, "LOCK"), status: statusFailed, says: "has no " + lockName},
	{name: "lock by a path that leads out", why: "r3: a name is no path; as imgpkg, taken", make: instead(tar.Header{Name: "../../" + lockName}, "LOCK"), says: "1 image"},
	{name: "lock by an absolute path", why: "r3: a name is no path; as imgpkg, taken", make: instead(tar.Header{Name: "/" + lockName}, "LOCK"), says: "1 image"},
	{name: "lock in capitals", why: "r10", make: instead(tar.Header{Name: ".imgpkg/IMAGES.YML"}, "LOCK"), status: statusFailed, says: "has no " + lockName},
	{name: "two locks", why: "the first counts, as in imgpkg: taken", make: layer(func(f *forge, lock string) []byte { return zip(f.t, tarOf(f.t, lockName, lock, lockName, "nonsense")) }), says: "1 image"},
	{name: "two locks, a bad one first", why: "the first counts", make: layer(func(f *forge, lock string) []byte {
		return zip(f.t, tarOf(f.t, "./"+lockName, "nonsense", lockName, lock))
	}), status: statusFailed, says: "ImagesLock: "},
	{name: "links beside it", why: "i3–i6: nothing is unpacked, taken", make: withMember(tar.Header{Name: ".", Typeflag: tar.TypeSymlink, Linkname: "/"}, ""), says: "1 image"},
	{name: "devices beside it", why: "nothing is unpacked, taken", make: withMember(tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock}, ""), says: "1 image"},
	{name: "paths that lead out beside it", why: "r3: nothing is unpacked, taken", make: withMember(tar.Header{Name: "../../../etc/cron.d/x"}, "* * * * * root sh"), says: "1 image"},
	{name: "packages is a link", why: "r10: taken", make: withMember(tar.Header{Name: "packages/p.yml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""), says: "0 versions"},
	{name: "a lock of a petabyte", why: "r10, i24", make: layer(func(f *forge, _ string) []byte {
		h := tarHeader(f.t, lockName, 0)
		copy(h[124:136], base256(0))
		h[129] = 4 // 2^50
		setChecksum(h)
		return zip(f.t, append(h, make([]byte, 4096)...))
	}), status: statusFailed, says: "more than the limit of 4194304"},
	{name: "a lock of 5 MiB", why: "r10", make: instead(tar.Header{Name: lockName}, strings.Repeat("#", 5<<20)), status: statusFailed, says: "more than the limit of 4194304"},
	{name: "GNU sparse lock", why: "i16, i17", make: raw(lockName, 'S', "x"), status: statusFailed, says: "layer"},
	{name: "PAX sparse map", why: "i16", make: layer(func(f *forge, lock string) []byte {
		return zip(f.t, slices.Concat(rawMember(f, "x", 'x', "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.name="+lockName[:5]+"\n"),
			rawMember(f, lockName, '0', "99999999999\n")))
	}), status: statusFailed, says: "layer"},
	{name: "PAX size that is not the header's", why: "i13", make: layer(func(f *forge, lock string) []byte {
		return zip(f.t, slices.Concat(rawMember(f, "x", 'x', "13 size=1024\n"), tarOf(f.t, "a", strings.Repeat("x", 512), lockName, lock)))
	}), status: statusFailed, says: "layer"},
	{name: "PAX header of 2 MiB", why: "i15", make: raw("x", 'x', "2097152 comment="+strings.Repeat("x", 2<<20-len("2097152 comment=\n"))+"\n"), status: statusFailed, says: "layer is no tar"},
	{name: "PAX record malformed", why: "i14", make: raw("x", 'x', "99 path=x\n"), status: statusFailed, says: "layer is no tar"},
	{name: "GNU long name of 2 MiB", why: "i15", make: raw("././@LongLink", 'L', strings.Repeat("x", 2<<20)), status: statusFailed, says: "layer is no tar"},
	{name: "a path of 5,000 bytes", why: "i15", make: layer(func(f *forge, lock string) []byte {
		return zip(f.t, tarOf(f.t, lockName, lock, "packages/"+strings.Repeat("a", 5000)+".yml", ""))
	}), status: statusFailed, says: "is a path of 5013 bytes"},
	{name: "negative size", why: "r8", make: layer(func(f *forge, lock string) []byte {
		h := tarHeader(f.t, "a", 0)
		copy(h[124:136], strings.Repeat("\xff", 12))
		setChecksum(h)
		return zip(f.t, append(h, tarOf(f.t, lockName, lock)...))
	}), status: statusFailed, says: "layer is no tar"},
	{name: "checksum wrong", why: "r6", make: layer(func(f *forge, lock string) []byte { b := tarOf(f.t, lockName, lock); b[150]++; return zip(f.t, b) }), status: statusFailed, says: "layer is no tar"},
	{name: "no gzip", why: "r10", make: layer(func(f *forge, lock string) []byte { return tarOf(f.t, lockName, lock) }), status: statusFailed, says: "layer is not gzip"},
	{name: "empty", why: "r10", make: layer(func(*forge, string) []byte { return nil }), status: statusFailed, says: "layer is not gzip"},
	{name: "no tar", why: "r10", make: layer(func(f *forge, _ string) []byte { return zip(f.t, []byte(strings.Repeat("x", 2000))) }), status: statusFailed, says: "layer is no tar"},
	{name: "gzip cut", why: "imgpkg reads to the end of the tar, and we no further: taken", make: layer(func(f *forge, lock string) []byte { b := zip(f.t, tarOf(f.t, lockName, lock)); return b[:len(b)-9] }), says: "1 image"},
	{name: "gzip checksum wrong", why: "imgpkg reads to the end of the tar, and we no further: taken", make: layer(func(f *forge, lock string) []byte {
		b := zip(f.t, tarOf(f.t, lockName, lock))
		b[len(b)-5] ^= 1
		return b
	}), says: "1 image"},
	{name: "garbage behind the gzip", why: "imgpkg reads to the end of the tar, and we no further: taken", make: layer(func(f *forge, lock string) []byte { return append(zip(f.t, tarOf(f.t, lockName, lock)), "garbage"...) }), says: "1 image"},
	{name: "a member behind the end of the tar", why: "i13: imgpkg does not see it; taken", make: layer(func(f *forge, lock string) []byte {
		return zip(f.t, append(tarOf(f.t, lockName, lock), tarOf(f.t, "packages/p.yml", packageText("p", "1", "':'"))...))
	}), says: "0 versions"},
	{name: "two gzip members", why: "one tar in two parts: taken", make: layer(func(f *forge, lock string) []byte {
		b := tarOf(f.t, lockName, lock)
		return append(zip(f.t, b[:700]), zip(f.t, b[700:])...)
	}), says: "1 image"},
	{name: "bomb before the lock", why: "r10, i23", make: layer(func(f *forge, lock string) []byte { return inflated(f, lock, 300<<20) }), status: statusFailed, says: "unpacks to more than"},
	{name: "bomb of gzip members", why: "r10, i23", make: layer(func(f *forge, lock string) []byte {
		return slices.Concat(zip(f.t, tarHeader(f.t, "zeros", 1<<32)), bytes.Repeat(zip(f.t, make([]byte, 1<<20)), 300))
	}), status: statusFailed, says: "unpacks to more than"},
	{name: "bomb behind the end of the tar", why: "r10, i23: never unpacked, taken", make: layer(func(f *forge, lock string) []byte {
		return slices.Concat(zip(f.t, tarOf(f.t, lockName, lock)), bytes.Repeat(zip(f.t, make([]byte, 1<<20)), 300))
	}), says: "1 image"},
	{name: "empty gzip members", why: "r10: bounded by the layer's size, taken", make: layer(func(f *forge, lock string) []byte {
		return append(zip(f.t, tarOf(f.t, lockName, lock)), bytes.Repeat(zip(f.t, nil), 100_000)...)
	}), says: "1 image"},
	{name: "100,001 members", why: "r10, i26", make: layer(func(f *forge, _ string) []byte {
		return zip(f.t, bytes.Repeat(rawMember(f, "a", '5', ""), 100_001))
	}), status: statusFailed, says: "more than 100000 members"},
	{name: "a layer of OCI's type", why: "as imgpkg", make: func(f *forge) *crafted { return ownLayers(f, types.OCILayer, 1) }, status: statusFailed, says: "has a layer of type"},
	{name: "two layers", why: "as imgpkg", make: func(f *forge) *crafted { return ownLayers(f, types.DockerLayer, 2) }, status: statusFailed, says: "has 2 layers"},
	{name: "no layer", why: "as imgpkg", make: func(f *forge) *crafted { return ownLayers(f, types.DockerLayer, 0) }, status: statusFailed, says: "has 0 layers"},
}

// inflated is a layer with n bytes of zeros before its lock.
func inflated(f *forge, lock string, n int) []byte {
	var b bytes.Buffer
	zw := gzipTo(&b)
	for _, part := range [][]byte{tarHeader(f.t, "zeros", int64(n)), make([]byte, n), tarOf(f.t, lockName, lock)} {
		if _, err := zw.Write(part); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		f.t.Fatal(err)
	}
	return b.Bytes()
}

// ownLayers makes an archive whose root has n layers of a type.
func ownLayers(f *forge, mediaType types.MediaType, n int) *crafted {
	c := f.content()
	config := c.blob(types.DockerConfigJSON, []byte(`{"config":{"Labels":{"dev.carvel.imgpkg.bundle":"true"}}}`))
	own := []v1.Descriptor{config}
	for i := range n {
		own = append(own, c.blob(mediaType, zip(f.t, tarOf(f.t, lockName, c.lock(), "n", fmt.Sprint(i)))))
	}
	text := encode(f.t, v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: config, Layers: own[1:]})
	return c.archive(c.manifest("bundle", types.DockerManifestSchema2, text, own))
}
