package tarball_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/tarball"
)

// region is a part of an archive.
type region struct {
	member string
	kind   string // header, content or padding
	start  int
}

// regions says of every byte of an archive what it belongs to; the end is the padding of the seal.
func regions(t testing.TB, archive []byte) []region {
	t.Helper()
	var all []region
	add := func(r region, n int) {
		r.start = len(all)
		all = append(all, slices.Repeat([]region{r}, n)...)
	}
	for _, m := range unpack(t, archive) {
		add(region{member: m.Name, kind: "header"}, 512)
		add(region{member: m.Name, kind: "content"}, len(m.data))
		add(region{member: m.Name, kind: "padding"}, -len(m.data)&511)
	}
	add(region{member: "seal", kind: "padding"}, len(archive)-len(all))
	return all
}

// TestEveryByte flips a bit of every byte; Check finds each, and says where.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	for at, r := range regions(t, good) {
		if at%stride != 0 {
			continue
		}
		bad := slices.Clone(good)
		bad[at] ^= 1 << (at % 8)
		damage, err := inspect(bad)
		what := fmt.Sprintf("byte %d: %s of %s: %v, %v", at, r.kind, r.member, damage, err)
		if err != nil {
			assertSpeaks(t, err)
			require.Contains(t, []string{"oci-layout", "index.json", "relocate.json"}, r.member, what)
			require.True(t, r.kind == "header" || r.member == "relocate.json", what)
			require.ErrorIs(t, err, tarball.ErrDamaged, what)
			continue
		}
		require.NotEmpty(t, damage, what)
		if r.member == "relocate.json" && r.kind == "content" {
			continue // which member then seems wrong depends on what the inventory says now
		}
		require.Len(t, damage, 1, what)
		if r.kind == "content" && strings.HasPrefix(r.member, "blobs/") {
			require.Equal(t, r.member, damage[0].Member, what)
			require.Equal(t, int64(r.start), damage[0].Offset, what)
			require.Equal(t, r.member, "blobs/sha256/"+damage[0].Digest.Hex, what)
			continue
		}
		require.Equal(t, int64(at), damage[0].Offset, what)
		require.Zero(t, damage[0].Digest, what)
		if r.kind != "padding" {
			require.Equal(t, r.member, damage[0].Member, what)
		}
	}
}

// assertSpeaks holds an error of Open to the meanings that it may have.
func assertSpeaks(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, tarball.ErrNotArchive) && !errors.Is(err, tarball.ErrTruncated) && !errors.Is(err, tarball.ErrDamaged) {
		t.Errorf("got the error %q, which is none of ErrNotArchive, ErrTruncated, ErrDamaged", err)
	}
}

// TestSeveralDamages: all is reported, in file order.
func TestSeveralDamages(t *testing.T) {
	t.Parallel()
	b := repository(t).bytes(t)
	var want []string
	for at, r := range regions(t, b) {
		if r.start == at && (r.kind == "header" && at%1024 == 0 && strings.HasPrefix(r.member, "blobs/") || r.kind == "content" && strings.HasPrefix(r.member, "blobs/")) {
			b[at] ^= 1
			want = append(want, fmt.Sprint(r.member, " ", at))
		}
	}
	for _, jobs := range []int{0, 1, 8} {
		a, err := open(b)
		require.NoError(t, err)
		damage, err := a.Check(t.Context(), jobs, nil)
		require.NoError(t, err)
		var got []string
		for _, d := range damage {
			got = append(got, fmt.Sprint(d.Member, " ", d.Offset))
			assert.Contains(t, d.String(), d.Reason)
		}
		assert.Equal(t, want, got)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	for n := range len(good) {
		if n%512 > 1 && n%512 != 511 && n%97 != 0 {
			continue
		}
		_, err := inspect(good[:n])
		if n < 512 && errors.Is(err, tarball.ErrNotArchive) {
			continue
		}
		require.ErrorIs(t, err, tarball.ErrTruncated, "cut to %d bytes", n)
	}
}

// TestBlocks damages whole blocks; the seal is recomputed where that makes sense, so that it is
// not the seal alone that tells.
func TestBlocks(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	for at := 0; at < len(good)-1024; at += 512 {
		bad := slices.Clone(good)
		clear(bad[at : at+512])
		assertRefused(t, bad, "block at %d zeroed", at)
	}
	for at := 0; at <= len(good); at += 512 {
		if at < len(good)-1024 { // where it is not one of those after the end
			assertRefused(t, slices.Insert(slices.Clone(good), at, make([]byte, 512)...), "block put in at %d", at)
		}
		if at < len(good) {
			assertRefused(t, slices.Delete(slices.Clone(good), at, at+512), "block taken out at %d", at)
		}
	}
	for _, more := range [][]byte{[]byte("x"), append(make([]byte, 10240), 1), good} {
		_, err := inspect(slices.Concat(good, more))
		assert.ErrorIs(t, err, tarball.ErrDamaged, "%d bytes appended", len(more))
		assert.ErrorContains(t, err, "follow its end")
	}
}

// assertRefused holds that an archive does not open or is found damaged.
func assertRefused(t testing.TB, b []byte, format string, args ...any) {
	t.Helper()
	damage, err := inspect(b)
	if err != nil {
		assertSpeaks(t, err)
		return
	}
	assert.NotEmpty(t, damage, format, args)
}

// TestMembers changes members of an archive that has the right seal all the same.
func TestMembers(t *testing.T) {
	t.Parallel()
	good := repository(t).bytes(t)
	last := len(unpack(t, good)) - 1 // the seal
	tests := map[string]func(m []member) []member{
		"two swapped":               func(m []member) []member { m[4], m[5] = m[5], m[4]; return m },
		"documents swapped":         func(m []member) []member { m[1], m[2] = m[2], m[1]; return m },
		"one twice":                 func(m []member) []member { return slices.Insert(m, 5, m[4]) },
		"one twice at the end":      func(m []member) []member { return slices.Insert(m, last, m[4]) },
		"a second inventory":        func(m []member) []member { return slices.Insert(m, last, m[2]) },
		"one dropped":               func(m []member) []member { return slices.Delete(m, 4, 5) },
		"the last dropped":          func(m []member) []member { return slices.Delete(m, last-1, last) },
		"no oci-layout":             func(m []member) []member { return m[1:] },
		"no index.json":             func(m []member) []member { return slices.Delete(m, 1, 2) },
		"no relocate.json":          func(m []member) []member { return slices.Delete(m, 2, 3) },
		"no seal":                   func(m []member) []member { return m[:last] },
		"something after the seal":  func(m []member) []member { return append(m, file("more", nil)) },
		"something before the seal": func(m []member) []member { return slices.Insert(m, last, file("more", nil)) },
		"a folder":                  func(m []member) []member { return slices.Insert(m, 3, folder("blobs/")) },
		"a link":                    func(m []member) []member { return slices.Insert(m, last, link("blobs/sha256/x", "/etc/passwd")) },
		"a blob as a link":          func(m []member) []member { m[4] = link(m[4].Name, "../../seal"); return m },
		"another name":              func(m []member) []member { m[4].Name = "../../" + m[4].Name; return m },
		"another mode":              func(m []member) []member { m[4].Mode = 0o755; return m },
		"another owner":             func(m []member) []member { m[4].Uid = 1000; return m },
		"another owner's name":      func(m []member) []member { m[4].Uname = "root"; return m },
		"another device":            func(m []member) []member { m[4].Devmajor = 1; return m },
		"GNU's header":              func(m []member) []member { m[4].Format = tar.FormatGNU; return m },
		"a PAX record":              func(m []member) []member { return pax(m, "comment", "hello") },
		"a PAX path":                func(m []member) []member { return pax(m, "path", "elsewhere") },
		"a global PAX header": func(m []member) []member {
			return slices.Insert(m, 4, member{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, nil})
		},
		"other content of the same size": func(m []member) []member { m[last-1].data = make([]byte, len(m[last-1].data)); return m },
		"layout of another version":      func(m []member) []member { m[0].data = []byte(`{"imageLayoutVersion":"1.0.1"}`); return m },
		"index.json of an annotation changed": func(m []member) []member {
			m[1].data = bytes.Replace(m[1].data, []byte(`"registry.example/also@`), []byte(`"registry.example/alsO@`), 1)
			return m
		},
		"index.json with a blank": func(m []member) []member {
			m[1].data = bytes.Replace(m[1].data, []byte(`{`), []byte(`{ `), 1)
			return m
		},
		"an empty index.json": func(m []member) []member { m[1].data = nil; return m },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := pack(t, change(unpack(t, good)))
			require.NotEqual(t, good, bad)
			assertRefused(t, bad, name)
		})
	}
}

func folder(name string) member {
	return member{tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir, Format: tar.FormatUSTAR}, nil}
}

func link(name, target string) member {
	return member{tar.Header{Name: name, Linkname: target, Mode: 0o644, Typeflag: tar.TypeSymlink, Format: tar.FormatUSTAR}, nil}
}

func pax(m []member, key, value string) []member {
	m[4].Format = tar.FormatPAX
	m[4].PAXRecords = map[string]string{key: value}
	if key == "path" {
		m[4].PAXRecords, m[4].Name = nil, value+"\u00e4" // not ASCII: Go writes a record
	}
	return m
}

// TestIndexIsWhatTheInventoryImplies: the seal is right, and only the rule tells.
func TestIndexIsWhatTheInventoryImplies(t *testing.T) {
	t.Parallel()
	members := unpack(t, tiny(t).bytes(t))
	members[1].data = bytes.Replace(members[1].data, []byte(`repo:1.0"`), []byte(`repo:2.0"`), 1)
	damage, err := inspect(pack(t, members))
	require.NoError(t, err)
	require.NotEmpty(t, damage)
	assert.Equal(t, "index.json", damage[0].Member)
	assert.Equal(t, "is not what the inventory implies", damage[0].Reason)
}

// TestHeaderForms: what other programs would take for the same header.
func TestHeaderForms(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	start := 0
	for at, r := range regions(t, good) {
		if r.kind == "header" && strings.HasPrefix(r.member, "blobs/") {
			start = at
			break
		}
	}
	size := string(good[start+124 : start+136])
	for name, field := range map[string]struct {
		at   int
		text string
	}{
		"size with a blank":            {124, strings.Replace(size, "\x00", " ", 1)},
		"size with blanks in front":    {124, strings.Replace(size, "0000000", "       ", 1)},
		"size in base 256":             {124, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + string(rune(0x2f))},
		"old regular file":             {156, "\x00"},
		"contiguous file":              {156, "7"},
		"old magic":                    {257, "ustar  \x00"},
		"no magic":                     {257, "\x00\x00\x00\x00\x00\x00\x00\x00"},
		"prefix":                       {345, "blobs"},
		"name with something after it": {0 + 99, "x"},
		"something unused":             {511, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := slices.Clone(good)
			h := bad[start : start+512]
			copy(h[field.at:], field.text)
			copy(h[148:], "        ")
			sum := 0
			for _, c := range h {
				sum += int(c)
			}
			copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
			if field.at != 124 {
				bad = reseal(t, bad)
			}
			damage, err := inspect(bad)
			require.NoError(t, err)
			require.NotEmpty(t, damage)
			assert.Equal(t, int64(start), damage[0].Offset/512*512)
		})
	}
}

// TestInventorySpelling: relocate.json has one form, whatever JSON makes of others.
func TestInventorySpelling(t *testing.T) {
	t.Parallel()
	good := tiny(t).bytes(t)
	text := string(unpack(t, good)[2].data)
	blobs := text[strings.Index(text, `"blobs":[`)+len(`"blobs":[`):]
	first, _, _ := strings.Cut(strings.TrimSpace(blobs), "\n") // an element, with its comma
	size := first[strings.Index(first, `"size":`)+len(`"size":`) : strings.Index(first, "}")]
	hexDigits := first[strings.Index(first, "sha256:"):strings.Index(first, `","size"`)]
	sized := func(s string) string {
		return strings.Replace(text, first, strings.Replace(first, `"size":`+size, `"size":`+s, 1), 1)
	}
	tests := map[string][2]string{ // text, what the error says
		"format 2":           {strings.Replace(text, `"format":1`, `"format":2`, 1), "has format 2; this program reads format 1"},
		"format as text":     {strings.Replace(text, `"format":1`, `"format":"1"`, 1), "format"},
		"format 1.0":         {strings.Replace(text, `"format":1`, `"format":1.0`, 1), "format"},
		"no format":          {strings.Replace(text, `"format":1,`, ``, 1), "begins with \"{\""},
		"format twice":       {strings.Replace(text, `"format":1`, `"format":1,"format":1`, 1), "begins with "},
		"key twice":          {strings.Replace(text, `"kind":"bundle"`, `"kind":"bundle","kind":"bundle"`, 1), "not written as"},
		"key in capitals":    {strings.Replace(text, `"kind":`, `"Kind":`, 1), "not written as"},
		"keys in disorder":   {strings.Replace(text, first, `{"size":`+size+`,"digest":"`+hexDigits+`"},`, 1), "not written as"},
		"unknown key":        {strings.Replace(text, `"kind":"bundle"`, `"kind":"bundle","x":1`, 1), "not written as"},
		"unknown list":       {strings.Replace(text, `"blobs"`, `"globs"`, 1), "where the list blobs belongs"},
		"forged line":        {strings.Replace(text, `"blobs"`, `"\nOK"`, 1), "where the list blobs belongs"},
		"list twice":         {strings.Replace(text, `"omitted":[]`, `"omitted":[],"omitted":[]`, 1), "where the list omitted belongs"},
		"list is null":       {strings.Replace(text, `"omitted":[]`, `"omitted":null`, 1), "where the list omitted belongs"},
		"element is null":    {strings.Replace(text, `"omitted":[]`, "\"omitted\":[\nnull]", 1), "not written as"},
		"a blank":            {strings.Replace(text, `":`, `": `, 1), "not written as"},
		"a line less":        {strings.Replace(text, ",\n", ",", 1), "begins with"},
		"another escape":     {strings.Replace(text, `registry.example/repo`, `registry.example\/repo`, 1), "not written as"},
		"no last line feed":  {strings.TrimSpace(text), "ends too early"},
		"something after it": {text + "{}", "has something after its end"},
		"cut":                {text[:len(text)/2], ""},
		"empty":              {"", "ends too early"},
		"a list":             {"[]", "ends too early"},
		"invalid UTF-8":      {strings.Replace(text, `registry.example/repo`, "registry.example/rep\xff", 1), "not written as"},
		"negative size":      {sized("-1"), "-1 bytes are more than a file can have"},
		"negative zero":      {sized("-0"), "not written as"},
		"size of 2^62":       {sized("4611686018427387904"), "more than a file can have"},
		"size of 2^63 - 1":   {sized("9223372036854775807"), "more than a file can have"},
		"size of 2^64":       {sized("18446744073709551616"), "cannot unmarshal"},
		"size with exponent": {sized("1e3"), "cannot unmarshal"},
		"digest in capitals": {strings.Replace(text, hexDigits, "sha256:"+strings.ToUpper(hexDigits[7:]), 1), "hash"},
		"digest too short":   {strings.Replace(text, hexDigits, hexDigits[:70], 1), "wrong number of hex digits"},
		"digest is a path":   {strings.Replace(text, hexDigits, "sha256:../../etc", 1), "hash"},
		"no digest":          {strings.Replace(text, `"digest":"`+hexDigits+`",`, ``, 1), "not written as"},
		"sha512":             {strings.ReplaceAll(text, hexDigits, "sha512:"+strings.Repeat("0", 128)), "only sha256"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotEqual(t, text, test[0])
			members := unpack(t, good)
			members[2].data = []byte(test[0])
			_, err := inspect(pack(t, members))
			require.ErrorIs(t, err, tarball.ErrDamaged)
			assert.ErrorContains(t, err, test[1])
			assert.NotContains(t, err.Error(), "\n", "one line, for one thing that is wrong")
		})
	}
}
