package leak_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"iter"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/render"
	"relocate/render/ytt"
	"relocate/report"
	"relocate/testdata/interop"
	"relocate/verify/leak"
)

// seeded is a file of testdata/repository: a package repository with its bundles and images, and what is
// to be found in it. The README there describes it.
type seeded struct {
	t       *testing.T
	sources interop.Registry
	target  string                       // "host:port/path" of the private repository
	files   map[string]map[string]string // of each bundle
	images  map[string][]string          // what each is
	setup   map[string][]string          // verb → names
	want    map[string]string            // "", "scan", "resolve", "installs" → lines
	values  render.Values                // that the operator gives
	renders bool                         // the packages are rendered
	refs    map[string]name.Digest       // what was built
}

// root is the name of the repository bundle in a case.
const root = "repository"

func readSeeded(t *testing.T, file, target string) *seeded {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	c := &seeded{t: t, target: target, files: map[string]map[string]string{}, images: map[string][]string{},
		setup: map[string][]string{}, want: map[string]string{}, refs: map[string]name.Digest{}}
	for path, text := range sections(string(data)) {
		of, rest, _ := strings.Cut(path, "/")
		if of == "bundles" {
			of, rest, _ = strings.Cut(rest, "/")
		}
		switch {
		case of == "values":
			c.values = append(c.values, render.GivenValues{Package: rest, File: ytt.File{Path: "values.yml", Data: []byte(text)}})
		case rest != "":
			if c.files[of] == nil {
				c.files[of] = map[string]string{}
			}
			c.files[of][rest] = text
		case of == "images" || of == "setup":
			for line := range strings.Lines(text) {
				words := strings.Fields(line)
				if of == "images" {
					c.images[words[0]] = words[1:]
				} else {
					c.setup[words[0]] = append(c.setup[words[0]], words[1:]...)
				}
			}
		case of == "want" || of == "want.scan" || of == "want.resolve" || of == "want.installs":
			c.want[strings.TrimPrefix(of[len("want"):], ".")] = text
		default:
			require.Fail(t, "no such section: "+path, file)
		}
	}
	if c.files[root] != nil {
		c.build(root)
	}
	for name := range c.images {
		c.build(name)
	}
	for name := range c.files {
		c.build(name)
	}
	return c
}

var sectionMark = regexp.MustCompile(`(?m)^-- (.+) --\n`)

// sections returns the files of a txtar archive.
func sections(data string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		marks := append(sectionMark.FindAllStringSubmatchIndex(data, -1), []int{len(data)})
		for i, m := range marks[:len(marks)-1] {
			if !yield(data[m[2]:m[3]], data[m[1]:marks[i+1][0]]) {
				return
			}
		}
	}
}

// repo is where something of a case comes from.
func (c *seeded) repo(name string) *interop.Repo { return c.sources.Repo("reg.test/" + name) }

// build makes the image or bundle called called, and before it what it names.
func (c *seeded) build(called string) name.Digest {
	c.t.Helper()
	if ref, known := c.refs[called]; known {
		return ref
	}
	repo := c.repo(called)
	var ref name.Digest
	if files, isBundle := c.files[called]; isBundle {
		content := map[string]string{}
		for path, text := range files {
			if path == "lock" {
				path, text = carvel.LockFile, lockOf(text)
			}
			content[path] = c.expand(text)
		}
		ref = repo.PutBundle(packCharts(c.t, content))
	} else {
		words, known := c.images[called]
		require.True(c.t, known, "%s is neither an image nor a bundle", called)
		ref = c.image(repo, called, words)
	}
	c.refs[called] = ref
	repo.Tags["1"] = interop.Hash(ref)
	return ref
}

// packCharts puts the files below a folder NAME.tgz into a file of that name, packed.
func packCharts(t *testing.T, files map[string]string) map[string]string {
	out, packed := map[string]string{}, map[string]map[string]string{}
	for path, text := range files {
		chart, inner, isPacked := strings.Cut(path, ".tgz/")
		if !isPacked {
			out[path] = text
			continue
		}
		if chart += ".tgz"; packed[chart] == nil {
			packed[chart] = map[string]string{}
		}
		packed[chart][inner] = text
	}
	for chart, files := range packed {
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		tw := tar.NewWriter(zw)
		files = packCharts(t, files)
		for _, path := range slices.Sorted(maps.Keys(files)) {
			require.NoError(t, tw.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(files[path]))}))
			_, err := tw.Write([]byte(files[path]))
			require.NoError(t, err)
		}
		require.NoError(t, tw.Close())
		require.NoError(t, zw.Close())
		out[chart] = b.String()
	}
	return out
}

// image makes an image of the kind that words say: plain, foreign, or an index of children.
func (c *seeded) image(repo *interop.Repo, called string, words []string) name.Digest {
	if words[0] == "index" {
		var children []name.Digest
		for _, child := range words[1:] {
			c.refs[child] = c.image(repo, child, []string{"plain"})
			children = append(children, c.refs[child])
		}
		return repo.PutIndex(children...)
	}
	layer := repo.PutBlob([]byte("layer of " + called))
	if words[0] == "foreign" {
		layer.MediaType = types.DockerForeignLayer
	}
	return repo.PutPlain(fmt.Sprintf(`{"image":%q}`, called), layer)
}

var (
	symbol        = regexp.MustCompile(`\$([a-z][a-z0-9]*)(\.digest)?`)
	packageSymbol = regexp.MustCompile(`(?m)^\$package (\S+) (\S+) (\S+)\n`)
)

// expand puts digests in place of symbols.
func (c *seeded) expand(text string) string {
	text = packageSymbol.ReplaceAllString(text, `---
apiVersion: data.packaging.carvel.dev/v1alpha1
kind: Package
metadata: {name: $1.$2}
spec:
  refName: $1
  version: $2
  template:
    spec:
      fetch:
      - imgpkgBundle: {image: "$3"}
      template:
      - ytt: {paths: [config]}
      - kbld: {paths: ["-", .imgpkg/images.yml]}
`)
	return symbol.ReplaceAllStringFunc(text, func(s string) string {
		m := symbol.FindStringSubmatch(s)
		switch {
		case m[1] == "target":
			return c.target
		case m[2] != "":
			return c.build(m[1]).DigestStr()
		}
		return c.build(m[1]).Name()
	})
}

// lockOf makes an ImagesLock of lines "NAME", "NAME ID", or "NAME -" for one without id.
func lockOf(text string) string {
	var out strings.Builder
	out.WriteString("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n")
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		id := "$" + words[0]
		if len(words) > 1 {
			id = words[1]
		}
		out.WriteString("- image: $" + words[0] + "\n")
		if id != "-" {
			out.WriteString("  annotations:\n    kbld.carvel.dev/id: " + id + "\n")
		}
	}
	return out.String()
}

// wanted returns the lines that are wanted of "scan" or "resolve".
func (c *seeded) wanted(of string) []string {
	lines := []string{}
	for line := range strings.Lines(c.expand(c.want[""] + c.want[of])) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// installs returns what packages install as a case writes it.
func installs(list []leak.Install) string {
	var b strings.Builder
	for _, i := range list {
		line := fmt.Sprintf("%s %s | %s:%d | %s %s", i.Package, i.Version, i.File, i.Line, i.Name, i.Constraint)
		if i.Prereleases != nil {
			line = strings.TrimSpace(line) + " " + strings.TrimSpace(fmt.Sprintf("prereleases %s", strings.Join(i.Prereleases.Identifiers, ",")))
		}
		if i.Computed {
			line = strings.TrimSpace(line) + " computed"
		}
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// found returns findings as a case writes them.
func (c *seeded) found(findings []report.Finding) []string {
	names := map[string]string{"": "-"}
	for called, ref := range c.refs {
		names[ref.DigestStr()] = called
	}
	lines := []string{}
	for _, f := range findings {
		digest := f.Bundle[strings.Index(f.Bundle, "@")+1:]
		where := names[digest] + ":" + f.File
		if f.Line > 0 {
			where += fmt.Sprintf(":%d", f.Line)
		}
		pkg := f.Package
		if pkg == "" {
			pkg = "-"
		}
		kind := fmt.Sprintf("%s %s", f.Level, f.Code)
		if c.renders && f.Basis != "" {
			kind += " " + string(f.Basis)
		}
		if strings.HasSuffix(f.Message, ", only with other values") {
			kind += " other"
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s | %s | %s | %s", kind, pkg, where, f.Reference)))
	}
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, " |")
	}
	return lines
}
