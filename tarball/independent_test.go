package tarball_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file writes archives a second time, from the words of doc.go and with Go's archive/tar: to
// compare with what the package writes, and to make archives that are wrong in one thing only.

type member struct {
	tar.Header
	data []byte
}

func file(name string, data []byte) member {
	return member{tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}, data}
}

func unpack(t testing.TB, archive []byte) []member {
	t.Helper()
	var members []member
	tr := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return members
		}
		require.NoError(t, err)
		data, err := io.ReadAll(tr)
		require.NoError(t, err)
		members = append(members, file(h.Name, data))
	}
}

// pack writes a tar of members. What it has as seal is replaced by the right one.
func pack(t testing.TB, members []member) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, m := range members {
		h := m.Header
		h.Size = int64(len(m.data))
		require.NoError(t, tw.WriteHeader(&h))
		_, err := tw.Write(m.data)
		require.NoError(t, err)
	}
	require.NoError(t, tw.Close())
	return reseal(t, b.Bytes())
}

// reseal puts the right seal into an archive, if it has a seal at all.
func reseal(t testing.TB, archive []byte) []byte {
	t.Helper()
	archive = slices.Clone(archive)
	if seal, at := sealOf(t, archive); at >= 0 {
		copy(archive[at:], seal)
	}
	return archive
}

// sealOf computes a seal as doc.go says: SHA-256 over every byte before the seal's header that is not
// content of a blob. It also returns where the content of the seal is; -1 if there is no seal.
func sealOf(t testing.TB, archive []byte) (seal string, at int) {
	t.Helper()
	h := sha256.New()
	for at = 0; ; {
		header := archive[at : at+512]
		name := strings.TrimRight(string(header[:100]), "\x00")
		if name == "seal" || name == "" {
			break
		}
		size, err := strconv.ParseInt(string(header[124:135]), 8, 64)
		require.NoError(t, err)
		end := at + 512 + int(size)
		h.Write(header)
		if !strings.HasPrefix(name, "blobs/") {
			h.Write(archive[at+512 : end])
		}
		at = (end + 511) / 512 * 512
		h.Write(archive[end:at])
	}
	if archive[at] == 0 {
		return "", -1
	}
	return fmt.Sprintf("sha256:%x\n", h.Sum(nil)), at + 512
}

// relocateJSON is what relocate.json has.
type relocateJSON struct {
	Format    int          `json:"format"`
	Roots     []pin        `json:"roots"`
	Pins      []pin        `json:"pins"`
	Manifests []manifested `json:"manifests"`
	Attached  []attached   `json:"attachments"`
	Unseen    []unseen     `json:"unseen"`
	Omitted   []omitted    `json:"omitted"`
	Bases     []base       `json:"bases"`
	Assumed   []assumed    `json:"assumed"`
	Lock      []locked     `json:"lock"`
	Blobs     []blob       `json:"blobs"`
}

type pin struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
}

type manifested struct {
	Digest     string   `json:"digest"`
	MediaType  string   `json:"mediaType"`
	Size       int64    `json:"size"`
	Kind       string   `json:"kind"`
	From       string   `json:"from"`
	References []string `json:"references,omitempty"`
}

type attached struct {
	Subject string `json:"subject"`
	Digest  string `json:"digest"`
	Tag     string `json:"tag,omitempty"`
}

type unseen struct {
	Reference string `json:"reference"`
	What      string `json:"what"`
	Reason    string `json:"reason"`
}

type omitted struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	MediaType string `json:"mediaType"`
	Image     string `json:"image"`
	Reason    string `json:"reason"`
}

type base struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
	Roots  []pin  `json:"roots,omitempty"`
}

type assumed struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Base   int    `json:"base"`
}

type locked struct {
	Image       string            `json:"image"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type blob struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func (inv *relocateJSON) encode(t testing.TB) []byte {
	return []byte(fmt.Sprintf(`{"format":%d,`, inv.Format) + "\n" +
		list(t, "roots", inv.Roots) + ",\n" + list(t, "pins", inv.Pins) + ",\n" + list(t, "manifests", inv.Manifests) + ",\n" +
		list(t, "attachments", inv.Attached) + ",\n" + list(t, "unseen", inv.Unseen) + ",\n" +
		list(t, "omitted", inv.Omitted) + ",\n" +
		optional(t, "bases", inv.Bases) + optional(t, "assumed", inv.Assumed) + optional(t, "lock", inv.Lock) +
		list(t, "blobs", inv.Blobs) + "}\n")
}

// optional is a list that is present only when it has elements.
func optional[T any](t testing.TB, name string, elements []T) string {
	t.Helper()
	if len(elements) == 0 {
		return ""
	}
	return list(t, name, elements) + ",\n"
}

// list has an element a line.
func list[T any](t testing.TB, name string, elements []T) string {
	t.Helper()
	var lines []string
	for _, e := range elements {
		line, err := json.Marshal(e)
		require.NoError(t, err)
		lines = append(lines, "\n"+string(line))
	}
	return `"` + name + `":[` + strings.Join(lines, ",") + "]"
}

// index returns index.json: the roots, then whatever else has a reference.
func (inv *relocateJSON) index(t testing.TB) []byte {
	type entry struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Annotations map[string]string `json:"annotations"`
	}
	var entries []entry
	for _, wantRoots := range []bool{true, false} {
		for _, m := range inv.Manifests {
			var names []string
			for _, root := range inv.Roots {
				if root.Digest == m.Digest {
					names = append(names, root.Reference)
				}
			}
			slices.Sort(names)
			if !wantRoots {
				rest := slices.DeleteFunc(slices.Clone(m.References), func(s string) bool { return slices.Contains(names, s) })
				if len(names)+len(rest) == 0 {
					rest = inv.attachedAs(m)
				}
				names = rest
			}
			for _, name := range names {
				entries = append(entries, entry{m.MediaType, m.Digest, m.Size, map[string]string{"org.opencontainers.image.ref.name": name}})
			}
		}
	}
	return []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",` + "\n" + list(t, "manifests", entries) + "}\n")
}

// attachedAs returns the place of a manifest by its first attachment.
func (inv *relocateJSON) attachedAs(m manifested) []string {
	for _, a := range inv.Attached {
		switch {
		case a.Digest != m.Digest:
		case a.Tag != "":
			return []string{m.From + ":" + a.Tag}
		default:
			return []string{m.From + "@" + m.Digest}
		}
	}
	return nil
}

// tamper changes what an archive says or has, and makes all the rest agree with it: headers,
// index.json and the seal.
func tamper(t testing.TB, archive []byte, change func(inv *relocateJSON, blobs *[]member)) []byte {
	t.Helper()
	members := unpack(t, archive)
	var inv relocateJSON
	require.NoError(t, json.Unmarshal(members[2].data, &inv))
	blobs := slices.Clone(members[3 : len(members)-1])
	change(&inv, &blobs)
	docs := []member{members[0], file("index.json", inv.index(t)), file("relocate.json", inv.encode(t))}
	return pack(t, slices.Concat(docs, blobs, members[len(members)-1:]))
}
