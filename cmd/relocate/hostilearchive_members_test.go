package main

import (
	"bytes"
	"slices"
	"strings"
)

// Members: which, in which order, of which type, under which name.

// changed changes member i of the sample, as it stands in the file; -1 is the last blob.
func changed(i int, change func(m *member)) func(*forge) *crafted {
	return arranged(func(list []member) []member {
		if i < 0 {
			i += len(list)
		}
		change(&list[i])
		return list
	})
}

// arranged changes the members of the sample. Their seal is right.
func arranged(change func(list []member) []member) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.members = change
		return a
	}
}

// between puts a member before blob 2, and takes as many bytes off the end: the size of the file does not
// tell.
func between(m member) func(*forge) *crafted {
	return sameSize(func(list []member) []member { return slices.Insert(list, 5, m) })
}

// sameSize changes the members of the sample and cuts the file to the size that it had.
func sameSize(change func(list []member) []member) func(*forge) *crafted {
	return func(f *forge) *crafted {
		a := f.sample()
		a.members = change
		a.file = func(b []byte) []byte { return b[:len(f.good)] }
		return a
	}
}

// typed gives member i of the sample another type, and a target if it is a link.
func typed(i int, typeflag byte, target string) func(*forge) *crafted {
	return changed(i, func(m *member) {
		m.header = func(h []byte) { h[156] = typeflag; copy(h[157:257], target) }
	})
}

// named gives a member of the sample another name in its header.
func named(i int, name string) func(*forge) *crafted {
	return changed(i, func(m *member) {
		m.header = func(h []byte) { clear(h[:100]); copy(h[:100], name) }
	})
}

const (
	notHeader   = "the header is not what the inventory implies"
	noHeader    = "no header of"
	notPadding  = "the padding before it is not zero"
	notSeal     = "the seal is not that of this file"
	notEnd      = "the end of the file is not as it must be"
	followsEnd  = "follow its end"
	otherLayout = "an OCI layout of another program, or damaged"
)

var hostileMembers = []hostile{
	{name: "blob is a symbolic link", why: "r4, i3–i6", make: typed(-1, '2', "/etc/shadow"), status: statusDamage, says: notHeader},
	{name: "blob is a hard link", why: "r4, i5", make: typed(-1, '1', "relocate.json"), status: statusDamage, says: notHeader},
	{name: "blob is a character device", why: "r4", make: typed(-1, '3', ""), status: statusDamage, says: notHeader},
	{name: "blob is a block device", why: "r4", make: typed(-1, '4', ""), status: statusDamage, says: notHeader},
	{name: "blob is a folder", why: "r4", make: typed(-1, '5', ""), status: statusDamage, says: notHeader},
	{name: "blob is a FIFO", why: "r4", make: typed(-1, '6', ""), status: statusDamage, says: notHeader},
	{name: "blob is contiguous", why: "r4", make: typed(-1, '7', ""), status: statusDamage, says: notHeader},
	{name: "blob has the type of old tar", why: "r6: one legal form", make: typed(-1, 0, ""), status: statusDamage, says: notHeader},
	{name: "inventory is a link", why: "r4, i12", make: typed(2, '2', "/etc/passwd"), status: statusDamage, says: noHeader + " relocate.json"},
	{name: "index is a link", why: "r4, i12", make: typed(1, '2', "relocate.json"), status: statusDamage, says: noHeader + " index.json"},
	{name: "oci-layout is a link", why: "r4, i12", make: typed(0, '2', "index.json"), status: statusDamage, says: "is not an archive"},
	{name: "old GNU sparse blob", why: "i17", make: typed(-1, 'S', ""), status: statusDamage, says: notHeader},
	{name: "GNU long name", why: "r4: one header a member", make: between(member{name: "././@LongLink", content: []byte("../../etc/cron.d/x\x00"),
		header: func(h []byte) { h[156] = 'L'; copy(h[257:], "ustar  \x00") }}), status: statusDamage, says: notHeader},
	{name: "GNU long link", why: "r4", make: between(member{name: "././@LongLink", content: []byte("/etc/passwd\x00"),
		header: func(h []byte) { h[156] = 'K'; copy(h[257:], "ustar  \x00") }}), status: statusDamage, says: notHeader},
	{name: "PAX size before a blob", why: "i13: two sizes hide members", make: between(pax("12 size=512\n")), status: statusDamage, says: notHeader},
	{name: "PAX path before a blob", why: "r4", make: between(pax("26 path=../../../etc/cron\n")), status: statusDamage, says: notHeader},
	{name: "PAX record malformed", why: "i14: skipped in silence", make: between(pax("99 size=\n")), status: statusDamage, says: notHeader},
	{name: "PAX sparse map", why: "i16", make: between(pax("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n")), status: statusDamage, says: notHeader},
	{name: "PAX global header", why: "r4", make: between(member{name: "pax_global_header", content: []byte("12 size=512\n"),
		header: func(h []byte) { h[156] = 'g' }}), status: statusDamage, says: notHeader},
	{name: "PAX header in front", why: "i13", make: arranged(func(list []member) []member { return slices.Insert(list, 0, pax("12 size=512\n")) }),
		status: statusDamage, says: "another size in its header than in PAX records"},
	{name: "PAX header before the inventory", why: "i13", make: arranged(func(list []member) []member { return slices.Insert(list, 2, pax("12 size=512\n")) }),
		status: statusDamage, says: noHeader + " relocate.json"},
	{name: "name leads out", why: "r3, i1", make: named(-1, "../../etc/cron.d/relocate"), status: statusDamage, says: notHeader},
	{name: "name is absolute", why: "r3, i1", make: named(-1, "/etc/cron.d/relocate"), status: statusDamage, says: notHeader},
	{name: "name with a dot", why: "r4: once after cleaning", make: named(2, "./relocate.json"), status: statusDamage, says: noHeader + " relocate.json"},
	{name: "name with two slashes", why: "r4", make: changed(-1, func(m *member) {
		m.header = func(h []byte) { copy(h[:100], "blobs//sha256/"+m.name[len("blobs/sha256/"):]) }
	}), status: statusDamage, says: notHeader},
	{name: "digest in capitals", why: "r2", make: changed(-1, func(m *member) {
		m.header = func(h []byte) { copy(h[:100], "blobs/sha256/"+strings.ToUpper(m.name[len("blobs/sha256/"):])) }
	}), status: statusDamage, says: notHeader},
	{name: "blob under sha512", why: "r2", make: named(-1, "blobs/sha512/"+strings.Repeat("0", 64)), status: statusDamage, says: notHeader},
	{name: "name goes on behind its NUL", why: "r6", make: changed(2, func(m *member) { m.header = func(h []byte) { h[99] = 'x' } }),
		status: statusDamage, says: noHeader + " relocate.json"},
	{name: "name in the prefix field", why: "r4: the prefix of ustar", make: changed(-1, func(m *member) {
		m.header = func(h []byte) { copy(h[345:], "blobs"); clear(h[:100]); copy(h, m.name[len("blobs/"):]) }
	}), status: statusDamage, says: notHeader},
	{name: "prefix field", why: "r4", make: changed(-1, func(m *member) { m.header = func(h []byte) { copy(h[345:], "/etc") } }), status: statusDamage, says: notHeader},
	{name: "member not allowed", why: "r4: allow list", make: between(member{name: "etc/passwd", content: []byte("root::0:0")}), status: statusDamage, says: notHeader},
	{name: "member not allowed, in front", why: "r4", make: arranged(func(list []member) []member {
		return slices.Insert(list, 0, member{name: "README", content: []byte("read me")})
	}), status: statusDamage, says: `it is a tar that begins with "README"`},
	{name: "member of no size", why: "r4", make: between(member{name: "blobs"}), status: statusDamage, says: notHeader},
	{name: "blob twice", why: "r4: each once", make: arranged(func(list []member) []member { return append(list, list[len(list)-1]) }), status: statusDamage, says: notEnd},
	{name: "blob twice, with other content", why: "r4, i19", make: sameSize(func(list []member) []member {
		twin := list[3]
		twin.content = bytes.Repeat([]byte("x"), len(twin.content))
		return slices.Insert(list, 4, twin)
	}), status: statusDamage, says: notHeader},
	{name: "index twice", why: "r4", make: arranged(func(list []member) []member { return slices.Insert(list, 2, list[1]) }), status: statusDamage, says: noHeader + " relocate.json"},
	{name: "inventory twice", why: "r4", make: sameSize(func(list []member) []member { return slices.Insert(list, 3, list[2]) }), status: statusDamage, says: notHeader},
	{name: "no index", why: "r4", make: arranged(func(list []member) []member { return slices.Delete(list, 1, 2) }), status: statusDamage, says: noHeader + " index.json"},
	{name: "no inventory", why: "r4", make: arranged(func(list []member) []member { return slices.Delete(list, 2, 3) }), status: statusDamage, says: noHeader + " relocate.json"},
	{name: "no oci-layout", why: "r4", make: arranged(func(list []member) []member { return list[1:] }), status: statusDamage, says: `begins with "index.json"`},
	{name: "a blob less", why: "r5", make: arranged(func(list []member) []member { return slices.Delete(list, 6, 7) }), status: statusDamage, says: "is cut off"},
	{name: "no blobs", why: "r5", make: arranged(func(list []member) []member { return list[:3] }), status: statusDamage, says: "is cut off"},
	{name: "documents in another order", why: "r6", make: arranged(func(list []member) []member { slices.Reverse(list[1:3]); return list }),
		status: statusDamage, says: noHeader + " index.json"},
	{name: "blobs in another order", why: "r6", make: arranged(func(list []member) []member { slices.Reverse(list[3:5]); return list }), status: statusDamage, says: notHeader},
	{name: "blobs with each other's names", why: "r1", make: arranged(func(list []member) []member {
		list[3].name, list[4].name = list[4].name, list[3].name
		return list
	}), status: statusDamage, says: notHeader},
	{name: "hidden in the padding of a document", why: "i13, r6", make: changed(1, func(m *member) { m.padding = 'x' }), status: statusDamage, says: "index.json"},
	{name: "hidden in the padding of a blob", why: "i13, r6", make: changed(4, func(m *member) { m.padding = 1 }), status: statusDamage, says: notPadding},
}

// pax is a PAX header with the records given.
func pax(records string) member {
	return member{name: "PaxHeaders.0/x", content: []byte(records), header: func(h []byte) { h[156] = 'x' }}
}
