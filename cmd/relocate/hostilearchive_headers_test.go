package main

import (
	"bytes"
	"fmt"
	"strings"
)

// Headers, the seal, and where the file ends.

// field writes text into the header of blob 1 at offset at.
func field(at int, text string) func(*forge) *crafted {
	return changed(4, func(m *member) { m.header = func(h []byte) { copy(h[at:], text) } })
}

// sum writes the checksum of a header in another way.
func sum(format string) func(*forge) *crafted {
	return changed(4, func(m *member) {
		m.forged = func(h []byte) {
			var n int
			_, _ = fmt.Sscanf(string(h[148:154]), "%o", &n) // was just written
			copy(h[148:156], fmt.Sprintf(format, n))
		}
	})
}

// sized writes the size of blob 1 in another way: format takes the number.
func sizedAs(spell func(size int) string) func(*forge) *crafted {
	return changed(4, func(m *member) {
		m.header = func(h []byte) { copy(h[124:136], spell(len(m.content))) }
	})
}

// base256 is a number in GNU's form.
func base256(n int) string {
	return "\x80" + strings.Repeat("\x00", 7) + string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

var hostileHeaders = []hostile{
	{name: "setuid", why: "r4", make: field(100, "0004755\x00"), status: statusDamage, says: notHeader},
	{name: "another mode", why: "r6", make: field(100, "0000600\x00"), status: statusDamage, says: notHeader},
	{name: "mode with blanks", why: "r6", make: field(100, "   644 \x00"), status: statusDamage, says: notHeader},
	{name: "uid", why: "r6", make: field(108, "0001000\x00"), status: statusDamage, says: notHeader},
	{name: "gid", why: "r6", make: field(116, "0001000\x00"), status: statusDamage, says: notHeader},
	{name: "user name", why: "r6", make: field(265, "root"), status: statusDamage, says: notHeader},
	{name: "group name", why: "r6", make: field(297, "wheel"), status: statusDamage, says: notHeader},
	{name: "time", why: "r6", make: field(136, "14700000000\x00"), status: statusDamage, says: notHeader},
	{name: "negative time", why: "r6", make: field(136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), status: statusDamage, says: notHeader},
	{name: "device numbers", why: "r4", make: field(329, "0000010\x000000003\x00"), status: statusDamage, says: notHeader},
	{name: "link name of a file", why: "r4", make: field(157, "/etc/passwd"), status: statusDamage, says: notHeader},
	{name: "GNU magic", why: "r6", make: field(257, "ustar  \x00"), status: statusDamage, says: notHeader},
	{name: "no magic", why: "r6", make: field(257, "\x00\x00\x00\x00\x00\x00\x00\x00"), status: statusDamage, says: notHeader},
	{name: "bytes behind the fields", why: "r6", make: field(500, "hidden"), status: statusDamage, says: notHeader},
	{name: "size larger than the inventory's", why: "r5, i13", make: sizedAs(func(n int) string { return fmt.Sprintf("%011o", n+512) }), status: statusDamage, says: notHeader},
	{name: "size smaller than the inventory's", why: "r5, i13", make: sizedAs(func(n int) string { return fmt.Sprintf("%011o", n-1) }), status: statusDamage, says: notHeader},
	{name: "size in base 256", why: "r6: one legal form", make: sizedAs(base256), status: statusDamage, says: notHeader},
	{name: "negative size in base 256", why: "r6", make: sizedAs(func(int) string { return strings.Repeat("\xff", 12) }), status: statusDamage, says: notHeader},
	{name: "size with blanks", why: "r6", make: sizedAs(func(n int) string { return fmt.Sprintf("%11o ", n) }), status: statusDamage, says: notHeader},
	{name: "size of twelve digits", why: "r6", make: sizedAs(func(n int) string { return fmt.Sprintf("%012o", n) }), status: statusDamage, says: notHeader},
	{name: "size with a sign", why: "r6", make: sizedAs(func(n int) string { return fmt.Sprintf("+%010o", n) }), status: statusDamage, says: notHeader},
	{name: "size in decimal", why: "r6", make: sizedAs(func(n int) string { return fmt.Sprintf("%011d", n) }), status: statusDamage, says: notHeader},
	{name: "inventory's size in base 256", why: "r6", make: changed(2, func(m *member) { m.header = func(h []byte) { copy(h[124:136], base256(len(m.content))) } }),
		status: statusDamage, says: noHeader + " relocate.json"},
	{name: "inventory of 2^62 bytes", why: "r8", make: changed(2, func(m *member) {
		m.header = func(h []byte) { copy(h[124:136], "\x80\x00\x00\x00\x3f\xff\xff\xff\xff\xff\xff\xff") }
	}), status: statusDamage, says: "relocate.json has"},
	{name: "inventory of more than 64 bits", why: "r8", make: changed(2, func(m *member) { m.header = func(h []byte) { copy(h[124:136], "\x80\x01") } }),
		status: statusDamage, says: noHeader + " relocate.json"},
	{name: "inventory over its limit", why: "r8, i22", make: changed(2, func(m *member) {
		m.header = func(h []byte) { copy(h[124:136], fmt.Sprintf("%011o\x00", 1<<32)) }
	}), status: statusDamage, says: "relocate.json has 4294967296 bytes, more than the limit of"},
	{name: "index over its limit", why: "r8, i22", make: changed(1, func(m *member) {
		m.header = func(h []byte) { copy(h[124:136], fmt.Sprintf("%011o\x00", 1<<30)) }
	}), status: statusDamage, says: "index.json has 1073741824 bytes, more than the limit of"},
	{name: "checksum wrong", why: "r6", make: changed(4, func(m *member) { m.forged = func(h []byte) { h[150]++ } }), status: statusDamage, says: notHeader},
	{name: "checksum with blanks", why: "r6", make: sum("%6o\x00 "), status: statusDamage, says: notHeader},
	{name: "checksum of seven digits", why: "r6", make: sum("%07o\x00"), status: statusDamage, says: notHeader},
	{name: "checksum with a blank before the NUL", why: "r6", make: sum("%06o \x00"), status: statusDamage, says: notHeader},
	{name: "signed checksum", why: "r6", make: sum("%06o\x00\x00"), status: statusDamage, says: notHeader},
}

func sealed(change func(m *member)) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.seal = change
		return a
	}
}

func ending(change func(end []byte) []byte) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.end = change
		return a
	}
}

func filed(change func(b []byte) []byte) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.file = change
		return a
	}
}

var hostileSeals = []hostile{
	{name: "none", why: "r6", make: sealed(func(m *member) { m.name = "" }), status: statusDamage, says: "is cut off"},
	{name: "wrong", why: "r6", make: sealed(func(m *member) { m.content[10] ^= 1 }), status: statusDamage, says: notSeal},
	{name: "in capitals", why: "r2, r6", make: sealed(func(m *member) { m.content = append([]byte("sha256:"), bytes.ToUpper(m.content[7:])...) }), status: statusDamage, says: notSeal},
	{name: "of zeros", why: "r6", make: sealed(func(m *member) { m.content = []byte("sha256:" + strings.Repeat("0", 64) + "\n") }), status: statusDamage, says: notSeal},
	{name: "without a line feed", why: "r6", make: sealed(func(m *member) { m.content[71] = 0 }), status: statusDamage, says: notSeal},
	{name: "shorter by a byte", why: "r6", make: sealed(func(m *member) { m.content = m.content[:71] }), status: statusDamage, says: notEnd},
	{name: "with more behind it", why: "r6", make: sealed(func(m *member) { m.content = append(m.content, "x\n"...) }), status: statusDamage, says: notEnd},
	{name: "with bytes in its padding", why: "r6", make: sealed(func(m *member) { m.padding = 7 }), status: statusDamage, says: notEnd},
	{name: "under another name", why: "r4", make: sealed(func(m *member) { m.name = "SEAL" }), status: statusDamage, says: notEnd},
	{name: "of another type", why: "r4", make: sealed(func(m *member) { m.header = func(h []byte) { h[156] = '5' } }), status: statusDamage, says: notEnd},
	{name: "of another archive", why: "i42, r7", make: func(f *forge) *crafted {
		other := f.sample().bytes(f.t)
		c := f.content()
		a := c.archive(c.bundleOf(nil))
		a.seal = func(m *member) { copy(m.content, other[len(other)-1024-512:]) }
		return a
	}, status: statusDamage, says: notSeal},
	{name: "twice", why: "r4", make: func(f *forge) *crafted {
		a := f.sample()
		a.file = func(b []byte) []byte {
			return append(b[:len(b)-1024], append(bytes.Clone(b[len(b)-2048:len(b)-1024]), make([]byte, 1024)...)...)
		}
		return a
	}, status: statusDamage, says: notEnd},
	{name: "before the blobs", why: "r4", make: sameSize(func(list []member) []member {
		m := member{name: "seal", content: []byte("sha256:" + strings.Repeat("0", 64) + "\n")}
		return append(append(append([]member{}, list[:3]...), m), list[3:]...)
	}), status: statusDamage, says: notHeader},
}

var hostileCuts = []hostile{
	{name: "no zero blocks", why: "r4", make: ending(func([]byte) []byte { return nil }), status: statusDamage, says: "is cut off"},
	{name: "one zero block", why: "r4", make: ending(func(b []byte) []byte { return b[:512] }), status: statusDamage, says: "is cut off"},
	{name: "three zero blocks", why: "r4", make: ending(func(b []byte) []byte { return append(b, make([]byte, 512)...) }), says: "512 zero bytes after its end"},
	{name: "filled up to 10 KiB as by GNU tar", why: "r4", make: filed(func(b []byte) []byte { return append(b, make([]byte, 10240-len(b)%10240)...) }),
		says: "zero bytes after its end"},
	{name: "end not zero", why: "r4", make: ending(func(b []byte) []byte { b[1023] = 1; return b }), status: statusDamage, says: notEnd},
	{name: "a zero more", why: "r4", make: filed(func(b []byte) []byte { return append(b, 0) }), says: "1 zero byte after its end"},
	{name: "a byte more", why: "r4", make: filed(func(b []byte) []byte { return append(b, 1) }), status: statusDamage, says: followsEnd},
	{name: "a member behind the end", why: "r4, i13", make: filed(func(b []byte) []byte { return append(b, b[:2048]...) }), status: statusDamage, says: followsEnd},
	{name: "another archive behind it", why: "A1: append", make: filed(func(b []byte) []byte { return append(b, b...) }), status: statusDamage, says: followsEnd},
	{name: "cut by a byte", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:len(b)-1] }), status: statusDamage, says: "is cut off"},
	{name: "cut to a half", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:len(b)/2] }), status: statusDamage, says: "is cut off"},
	{name: "cut in the inventory", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:bytes.Index(b, []byte(`{"format"`))+100] }), status: statusDamage, says: "is cut off in relocate.json"},
	{name: "cut before the inventory", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:bytes.Index(b, []byte("relocate.json"))+9] }), status: statusDamage, says: "is cut off before relocate.json"},
	{name: "cut in the index", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:1600] }), status: statusDamage, says: "is cut off in index.json"},
	{name: "cut after a block", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:512] }), status: statusDamage, says: "is cut off"},
	{name: "cut in the first header", why: "A1: cut", make: filed(func(b []byte) []byte { return b[:300] }), status: statusDamage, says: "is not an archive"},
	{name: "in gzip", why: "i18", make: func(f *forge) *crafted {
		a := f.sample()
		a.file = func(b []byte) []byte { return zip(f.t, b) }
		return a
	},
		status: statusDamage, says: "it is compressed with gzip"},
	{name: "in zstd", why: "i18", make: filed(func(b []byte) []byte { return append([]byte("\x28\xb5\x2f\xfd"), b...) }), status: statusDamage, says: "it is compressed with zstd"},
	{name: "in bzip2", why: "i18", make: filed(func(b []byte) []byte { return append([]byte("BZh91AY&SY\x00"), b...) }), status: statusDamage, says: "is not an archive"},
	{name: "zeros in front", why: "r4", make: filed(func(b []byte) []byte { return append(make([]byte, 512), b...) }), status: statusDamage, says: "is not an archive"},
}
