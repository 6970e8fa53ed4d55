package kbld_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"sigs.k8s.io/yaml"

	"relocate/render/kbld"
	"relocate/testdata/realkbld"
)

// generator makes inputs of kbld: what occurs, and what is odd.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// often is true n times in 100.
func (g generator) often(n int) bool { return g.IntN(100) < n }

const hash1, hash2 = "sha256:1111111111111111111111111111111111111111111111111111111111111111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"

// references are mostly those that locks have.
func (g generator) reference() string {
	if g.often(90) {
		return pick(g, "nginx", "nginx:1.27", "docker.io/library/nginx", "a.test/b/c:1", "a.test:5000/bb:x", "a.test/bb@"+hash1, "a.test/bb:1@"+hash2, "moved/repo:7@"+hash1, "redis@"+hash1)
	}
	return pick(g, "postgres:17", "other.test/a", "A B", "", "x", "a.test/bb@sha256:12", "a.test/B:1", "http://a.test/b", "über/x:1", "a.test/b:1", "localhost/b@"+hash1, "b@"+hash1, "localhost.test/:1", "a.test/bb@sha512:12", "a.test/bb:", "-.test/bb@"+hash1, "A.test/bb@"+hash1, "a..test//bb@"+hash1, "a:b:c", "{{ image }}", "a.test/bb:"+strings.Repeat("x", 130))
}

func (g generator) key() string {
	return pick(g, "image", "image", "image", "sidecarImage", "data", "spec", "args", "ref", "conf.yaml", "conf.json", "name", "a/b~c", "on", "1", "kind", "images")
}

// scalar is the value of a key, in JSON.
func (g generator) scalar() any {
	return pick[any](g, g.reference(), g.reference(), 1, 1.5, 1e21, json.Number("9007199254740993"), json.Number("12345678901234567890"), true, nil, "yes", "<&>", "a\nb\n", "  x", "1.10", "2001-01-01", "é\u2028")
}

func (g generator) value(depth int) any {
	switch n := g.IntN(10); {
	case depth > 0 && n < 3:
		return g.mapping(depth - 1)
	case depth > 0 && n < 5:
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.value(depth-1))
		}
		return list
	case depth > 0 && n == 5:
		return g.embedded(depth - 1)
	}
	return g.scalar()
}

func (g generator) mapping(depth int) map[string]any {
	m := map[string]any{}
	for range 1 + g.IntN(4) {
		key := g.key()
		m[key] = g.value(depth)
		if key == "image" || key == "sidecarImage" || key == "ref" {
			if g.often(85) {
				m[key] = g.reference()
			}
		}
		if strings.HasPrefix(key, "conf.") && g.often(80) {
			m[key] = g.embedded(depth)
		}
	}
	return m
}

// embedded is a document as text, JSON or YAML.
func (g generator) embedded(depth int) string {
	switch g.IntN(6) {
	case 0, 1:
		return mustJSON(g.mapping(depth))
	case 2, 3:
		return "# comment\n" + g.stream(func() string { return mustYAML(g.mapping(depth)) })
	case 4:
		return mustJSON([]any{g.mapping(depth), g.scalar()})
	}
	return pick(g, "image: [", "--- x", "", "# only a comment", "image: nginx\n...\nimage: redis\n", "just text", `"a string"`, "1e999", "{\"image\": \"nginx\"} x", "\tx: 1")
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func mustYAML(v any) string {
	b, err := yaml.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// stream joins documents with the separators that occur.
func (g generator) stream(doc func() string) string {
	var b strings.Builder
	if g.often(50) {
		b.WriteString(pick(g, "---\n", "---\n---\n", "# comment\n---\n", "\n\n"))
	}
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			b.WriteString(pick(g, "---\n", "---\n", "---\n", "--- \n", "--- # comment\n", "---\r\n", "---\n---\n"))
			if g.often(2) {
				b.WriteString(pick(g, "---x\n", "--- {a: 1}\n", "...\n"))
			}
		}
		text := doc()
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if g.often(10) {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		b.WriteString(text)
	}
	return b.String()
}

// document is an object, or something else.
func (g generator) document() string {
	if g.often(4) {
		return pick(g, "", "# comment", "{}", "null", "[1, 2]", "text", "a: [\n", "a: &a {image: nginx}\nb: *a\n", "a: 1\na: 2\n", "x: !!binary aGk=\n", "? [a]\n: 1\n", "a: 1\n...\nb: 2\n", "{\"a\": 1} {\"b\": 2}", "a: \"\\x7f\"", "\ufeffa: 1")
	}
	m := g.mapping(3)
	m["kind"], m["apiVersion"] = pick(g, "A", "ConfigMap", "List", "ThingList"), "v1"
	if g.often(80) {
		m["metadata"] = map[string]any{"name": "x"}
		if g.often(50) {
			m["metadata"] = map[string]any{"annotations": pick[any](g, map[string]any{"a": "b"}, map[string]any{"a": 1, "b": "c"}, map[string]any{"kbld.k14s.io/images": "old"}, nil, "text", map[string]any{})}
		}
	} else if g.often(20) {
		m["metadata"] = pick[any](g, nil, "text", []any{})
	}
	if g.often(10) {
		m["items"] = pick[any](g, []any{}, []any{g.mapping(2), g.mapping(2)}, []any{map[string]any{}}, map[string]any{"image": "nginx"}, "x")
		if g.often(10) {
			m["items"] = []any{1}
		}
	}
	if g.often(20) {
		return mustJSON(m)
	}
	return mustYAML(m)
}

func (g generator) rules(depth int) []any {
	list := []any{}
	for range g.IntN(4) {
		r := map[string]any{}
		if g.often(85) {
			r["keyMatcher"] = pick[any](g, map[string]any{"name": g.key()}, map[string]any{"name": g.key(), "path": []any{"image"}}, map[string]any{"path": g.path()}, map[string]any{"path": g.path()})
		}
		if g.often(15) || len(r) == 0 {
			r["valueMatcher"] = pick[any](g, map[string]any{"image": g.reference() + "x"}, map[string]any{"imageRepo": pick(g, "nginx", "a.test/bb", "moved/repo")}, map[string]any{"image": "nginx", "imageRepo": "x"})
		}
		switch strategy := pick(g, "", "none", "entireValue", "json", "yaml", "yaml", "json"); {
		case strategy == "":
		case strategy == "none" || strategy == "entireValue":
			r["updateStrategy"] = map[string]any{strategy: map[string]any{}}
		case depth > 0:
			r["updateStrategy"] = map[string]any{strategy: map[string]any{"searchRules": g.rules(depth - 1)}}
		}
		list = append(list, r)
	}
	return list
}

func (g generator) path() []any {
	list := []any{}
	for range 1 + g.IntN(3) {
		list = append(list, pick[any](g, g.key(), g.key(), map[string]any{"index": g.IntN(3)}, map[string]any{"allIndexes": g.often(80)}))
	}
	if g.often(2) {
		list = append(list, pick[any](g, 1, map[string]any{}, true))
	}
	return list
}

// config is a document of kbld's configuration.
func (g generator) config() string {
	m := map[string]any{"apiVersion": "kbld.k14s.io/v1alpha1", "kind": pick(g, "Config", "Config", "Sources", "ImageOverrides", "ImageDestinations", "ImageKeys", "Other")}
	if g.often(30) {
		m["metadata"] = pick[any](g, map[string]any{"name": "n", "namespace": "ns"}, map[string]any{"generateName": "n-"}, nil)
	}
	if g.often(20) {
		m["keys"] = []any{g.key()}
	}
	if g.often(80) {
		m["searchRules"] = g.rules(2)
	}
	overrides := []any{}
	for range g.IntN(3) {
		o := map[string]any{pick(g, "image", "imageRepo"): pick(g, g.reference(), "nginx", "a.test/bb", "moved/repo"), "newImage": pick(g, "new.test/a@"+hash2, "new.test/a:1@"+hash2, g.reference())}
		if g.often(60) {
			o["preresolved"] = true
		}
		if g.often(10) {
			o["tagSelection"] = pick[any](g, map[string]any{}, map[string]any{"semver": map[string]any{"constraints": ">1.0.0"}}, nil)
		}
		if g.often(5) {
			o["platformSelection"] = map[string]any{"os": "linux", "architecture": "amd64"}
		}
		if g.often(5) {
			o["origins"] = []any{map[string]any{"git": map[string]any{"sha": "x", "tags": []any{"v1"}}}, map[string]any{"preresolved": map[string]any{"url": o["newImage"]}}}
		}
		overrides = append(overrides, o)
	}
	m["overrides"] = overrides
	if g.often(5) {
		m["sources"] = []any{map[string]any{pick(g, "image", "imageRepo"): pick(g, "nginx", "a.test/bb"), "path": pick(g, ".", ".", "")}}
	}
	if g.often(5) {
		m["destinations"] = []any{map[string]any{"image": pick(g, "a", ""), "tags": []any{"x"}}}
	}
	if g.often(10) {
		m["minimumRequiredVersion"] = pick(g, "0.1.0", "0.44", "0.44.1", "0.44.2", "v0.1.0", "1", "x", "0.1, <0.50")
	}
	if g.often(3) {
		m[pick(g, "keys", "searchRules", "overrides", "unknown")] = pick[any](g, "text", []any{1}, []any{nil}, []any{map[string]any{}}, nil)
	}
	return mustYAML(m)
}

// lock is an ImagesLock.
func (g generator) lock() string {
	images := []any{}
	for _, id := range []string{"nginx", "nginx:1.27", "docker.io/library/nginx", "a.test/b/c:1", "a.test:5000/bb:x", "a.test/bb@" + hash1} {
		annotations := map[string]any{"kbld.carvel.dev/id": id}
		if g.often(20) {
			annotations["kbld.carvel.dev/origins"] = pick(g, "", "- resolved: {tag: x, url: "+id+"}\n", "- git: {sha: x, dirty: true, other: 1}\n- preresolved: {url: private.test/all@"+hash1+"}\n", "- local: {path: /x}\n- unknown: 1\n")
		}
		if g.often(1) {
			annotations["kbld.carvel.dev/origins"] = pick(g, "[", "text", "- git: 1")
		}
		if g.often(1) {
			annotations["kbld.carvel.dev/id"] = ""
		}
		images = append(images, map[string]any{"image": pick(g, "private.test/all@", "private.test/all:x@", "ubuntu@") + pick(g, hash1, hash2), "annotations": annotations})
	}
	g.Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
	if g.often(1) {
		images = append(images, map[string]any{"image": "private.test/all:1", "annotations": map[string]any{"kbld.carvel.dev/id": "x"}})
	}
	if g.often(1) {
		images = append(images, map[string]any{"image": "private.test/all@" + hash1, "other": 1})
	}
	return mustYAML(map[string]any{"apiVersion": "imgpkg.carvel.dev/v1alpha1", "kind": "ImagesLock", "images": images})
}

// inputs are the stream, and files before and after it.
func (g generator) inputs() []kbld.Input {
	stream := g.stream(func() string {
		if g.often(5) {
			return pick(g, g.lock, g.config)()
		}
		return g.document()
	})
	list := []kbld.Input{{Path: "-", Data: []byte(stream)}}
	if g.often(70) {
		list = append(list, kbld.Input{Path: "config.yml", Data: []byte(g.stream(g.config))})
	}
	if g.often(90) {
		list = append(list, kbld.Input{Path: ".imgpkg/images.yml", Data: []byte(g.lock())})
	}
	if g.often(10) {
		list = append(list, kbld.Input{Path: "more.yml", Data: []byte(g.document())})
	}
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// TestOracle: a run prints, asks for and refuses what kbld's own code does.
func TestOracle(t *testing.T) {
	t.Parallel()
	oracle := realkbld.Start(t)
	seeds := uint64(600)
	if os.Getenv("RELOCATE_TEST_SOAK") == "1" {
		seeds = 50_000
	}
	outcomes := map[string]int{}
	for seed := range seeds {
		in := generator{rand.New(rand.NewPCG(seed, 0))}.inputs()
		var files []realkbld.File
		for _, f := range in {
			files = append(files, realkbld.File(f))
		}
		theirs := oracle.Ask(t, realkbld.Request{Files: files})
		ours, err := kbld.Run(in)
		outcome, same := compare(ours, err, theirs)
		for range 20 { // the order of images that differ only in their origins is random in kbld
			if same || theirs.Text == "" {
				break
			}
			theirs = oracle.Ask(t, realkbld.Request{Files: files})
			outcome, same = compare(ours, err, theirs)
		}
		outcomes[outcome]++
		if !same {
			var b strings.Builder
			for _, f := range in {
				fmt.Fprintf(&b, "=== %s\n%s\n", f.Path, f.Data)
			}
			text := ""
			if ours != nil {
				text = string(ours.Text)
			}
			assert.Equal(t, theirs.Text, text, "seed %d", seed)
			t.Fatalf("seed %d: we say %q, kbld says %q\n%s", seed, err, theirs.Error, b.String())
		}
	}
	t.Log(outcomes)
	for _, outcome := range []string{"printed", "asked", "image refused", "refused"} {
		assert.GreaterOrEqual(t, outcomes[outcome], 25, "the inputs have each outcome: %v", outcomes)
	}
}

// compare reports whether a run says what kbld says.
func compare(out *kbld.Output, err error, theirs realkbld.Answer) (outcome string, same bool) {
	asked, failed := &kbld.AskedError{}, &kbld.FailedError{}
	switch {
	case err == nil:
		return "printed", theirs.Error == "" && theirs.Text == string(out.Text)
	case errors.As(err, &asked):
		return "asked", theirs.Error != "" && slices.Equal(imageErrors(out), lines(theirs.Error))
	case !errors.As(err, &failed):
		return "limit", false
	case strings.HasPrefix(failed.Message, "\n- "):
		return "image refused", slices.Equal(imageErrors(out), lines(theirs.Error))
	case strings.HasPrefix(failed.Message, "Updating resource references: ") && len(imageErrors(out)) > 0: // kbld asks before it writes
		return "asked", slices.Equal(imageErrors(out), lines(theirs.Error))
	}
	ours, _, _ := strings.Cut(failed.Message, "json: cannot unmarshal") // kbld names its own types
	message, _, _ := strings.Cut(theirs.Error, "json: cannot unmarshal")
	return "refused", ours == message
}

// imageErrors are kbld's lines about images, sorted.
func imageErrors(out *kbld.Output) []string {
	var list []string
	for _, image := range out.Images {
		reason := image.Result.Reason
		if image.Result.Outcome == kbld.Asked {
			reason = "asked"
		}
		if reason != "" {
			list = append(list, image.Value+"': "+reason)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// lines are kbld's lines about images, sorted, without what its client says of a registry.
func lines(message string) []string {
	list := strings.Split(message, "\n- Resolving image '")
	if list[0] != "" {
		return list
	}
	for i, line := range list[1:] {
		if j := strings.LastIndex(line, "': "); j >= 0 && strings.HasSuffix(line, realkbld.Asked) {
			list[i+1] = line[:j] + "': asked"
		}
	}
	slices.Sort(list[1:])
	return list[1:]
}
