package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestReadRefuses: what is no list of objects, with the document and the line; never a silent nothing.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	for name, c := range map[string]struct{ input, says string }{
		"empty":             {"", "it has no objects"},
		"blank":             {" \n\t\r\n", "it has no objects"},
		"byte-order-mark":   {"\ufeff", "it has no objects"},
		"comments":          {"# nothing\n---\n# nothing\n", "it has no objects"},
		"empty-list":        {"apiVersion: v1\nitems: []\nkind: List\n", "it has no objects"},
		"empty-list-block":  {"apiVersion: v1\nitems:\nkind: List\n", "it has no objects"},
		"empty-list-json":   {`{"apiVersion":"v1","items":[],"kind":"List"}`, "it has no objects"},
		"null-list-json":    {`{"apiVersion":"v1","items":null,"kind":"List"}`, "it has no objects"},
		"empty-array":       {"[]", "it has no objects"},
		"a-message":         {"No resources found\n", "document 1, line 1: is no list of Kubernetes objects: it is not an object"},
		"an-error":          {"kind: Pod\n---\nerror: the server has no resource type \"apps\"\n", "document 2, line 3: is no list of Kubernetes objects: it has no kind"},
		"item-without-kind": {"items:\n- metadata: {}\nkind: List\n", "line 2: is no list of Kubernetes objects: it has no kind"},
		"item-no-object":    {"items:\n- kind: Pod\n- text\nkind: List\n", "line 3: is no list of Kubernetes objects: an item is not an object"},
		"items-of-no-list":  {"kind: Pod\nitems:\n- kind: Pod\n", "it has items, and its kind is \"Pod\""},
		"items-no-list":     {"kind: List\nitems:\n  a: b\n", "is no list of Kubernetes objects"},
		"items-twice":       {"kind: List\nitems:\n- kind: Pod\nx: y\nitems:\n- kind: Pod\n", "not written as kubectl writes it"},
		"items-twice-flow":  {"kind: List\nitems: [{kind: Pod}]\nitems:\n- kind: Pod\n", "not written as kubectl writes it"},
		"not-yaml":          {"kind: Pod\n---\n\nkind: Pod\nspec: {a: [}\n", "document 2, line 5: "},
		"not-yaml-in-item":  {"kind: List\nitems:\n- kind: Pod\n- kind: Pod\n  spec: \"a\n- kind: Pod\n", "document 1, line 5: "},
		"not-utf-8":         {"kind: Pod\nx: \xff\n", "it is not UTF-8"},
		"key-twice":         {"kind: Pod\nspec:\n  a: 1\n  b: 1\n  a: 2\n", `document 1, line 5: is no list of Kubernetes objects: it has the key "a" twice`},
		"hidden-document":   {"kind: Pod\n\u2028---\u2028kind: Pod\n", "is no list of Kubernetes objects"},
		"after-the-end":     {"kind: Pod\n...\nkind: Pod\n", "is no list of Kubernetes objects"},
		"alias-bomb":        {"kind: Pod\na: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", "with its aliases"},
		"alias-of-itself":   {"kind: Pod\na: &a [*a]\n", "is no list of Kubernetes objects"},
		"deep":              {"kind: Pod\na: " + deep + "\n", "nested more than 200 deep"},
		"large":             {"kind: Pod\na: |\n" + strings.Repeat("  "+strings.Repeat("x", 1000)+"\n", 5000), "more than 4194304 bytes"},
		"large-line":        {"kind: Pod\na: " + strings.Repeat("x", 5<<20), "line 2: is no list of Kubernetes objects: it has more than 4194304 bytes"},
		"many-nodes":        {"kind: Pod\na:\n" + strings.Repeat("- b\n", 200_000), "keys, values and items"},
		"json-cut":          {`{"kind":"List","items":[{"kind":"Pod"}` + "\n", "document 1, line 1: is no list of Kubernetes objects: it is incomplete"},
		"json-bad":          {"{\"kind\":\"List\",\n\"items\":[\n{\"kind\":\"Pod\",}]}", "document 1, line 3: "},
		"json-second-bad":   {"{\"kind\":\"Pod\"}\n{\"kind\":\n\n?}", "document 2, line 2: "},
		"json-then-yaml":    {"{\"kind\":\"Pod\"}\n---\nkind: Pod\n", "document 2, line 2: "},
		"json-key-twice":    {"{\"kind\":\"Pod\",\"spec\":{\n\"a\":1,\"a\":2}}", `it has the key "a" twice`},
		"json-top-twice":    {`{"kind":"Pod","spec":1,"spec":2}`, `it has the key "spec" twice`},
		"json-items-twice":  {`{"kind":"List","items":[{"kind":"Pod"}],"items":[{"kind":"Pod"}]}`, `it has the key "items" twice`},
		"json-items-object": {`{"kind":"List","items":{}}`, "its items are not a list"},
		"json-of-no-list":   {`{"kind":"Pod","items":[{"kind":"Pod"}]}`, "it has items, and its kind is \"Pod\""},
		"json-item-text":    {`{"kind":"List","items":["a"]}`, "it is not an object"},
		"json-deep":         {`{"kind":"Pod","a":` + deep + `}`, "nested more than 200 deep"},
		"json-large":        {`{"kind":"Pod","a":"` + strings.Repeat("x", 9<<20) + `"}`, "more than 4194304 bytes"},
		"json-not-utf-8":    {"{\"kind\":\"Pod\",\"a\":\"\xff\"}", "it is not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(strings.NewReader(c.input))
			require.ErrorIs(t, err, ErrNotObjects)
			assert.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "\n")
			assert.Less(t, len(err.Error()), 600)
		})
	}
}

func TestReadPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	for _, start := range []string{"", "kind: Pod\n", "kind: List\nitems:\n- kind: Pod\n", `{"kind":"List","items":[`} {
		_, err := Read(io.MultiReader(strings.NewReader(start), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, start)
		require.NotErrorIs(t, err, ErrNotObjects, start)
	}
}

// claims writes what was kept, for comparisons.
func claims(o *Objects) []string {
	var list []string
	for _, c := range o.claims {
		list = append(list, fmt.Sprintf("%d %s %s %s", c.line, c.object, c.path, c.ref))
	}
	return list
}

// TestReadForms: the same objects in every form that a list can have.
func TestReadForms(t *testing.T) {
	t.Parallel()
	pod := func(name string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\nspec:\n  containers:\n  - image: i/" + name + ":1\n"
	}
	indent := func(first, other, text string) string {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		return first + strings.Join(lines, "\n"+other) + "\n"
	}
	want := []string{"Pod a spec.containers[0].image i/a:1", "Pod b spec.containers[0].image i/b:1"}
	for name, c := range map[string]struct {
		input string
		lines []int
	}{
		"stream":        {pod("a") + "---\n" + pod("b"), []int{7, 15}},
		"stream-marks":  {"---\n" + pod("a") + "...\n--- # next\n" + pod("b") + "---\n", []int{8, 17}},
		"crlf":          {strings.ReplaceAll(pod("a")+"---\n"+pod("b"), "\n", "\r\n"), []int{7, 15}},
		"mark-indented": {"\ufeff\n" + indent("  ", "  ", pod("a")) + "---\n" + pod("b"), []int{8, 16}},
		"list":          {"apiVersion: v1\nitems:\n" + indent("- ", "  ", pod("a")) + indent("- ", "  ", pod("b")) + "kind: List\n", []int{9, 16}},
		"list-indented": {"kind: List\nitems:\n\n  # two\n" + indent("  - ", "    ", pod("a")) + "\n" + indent("  -\n    ", "    ", pod("b")) + "metadata: {}\n", []int{11, 20}},
		"lists":         {"items:\n" + indent("- ", "  ", pod("a")) + "kind: List\n---\nkind: PodList\nitems:\n" + indent("- ", "  ", pod("b")), []int{8, 19}},
		"list-flow":     {"kind: List\nitems: [{kind: Pod, metadata: {name: a}, spec: {containers: [{image: 'i/a:1'}]}},\n{kind: Pod, metadata: {name: b}, spec: {containers: [{image: 'i/b:1'}]}}]\n", []int{2, 3}},
		"list-in-list":  {"kind: List\nitems:\n- kind: List\n  items:\n  - kind: List\n    items: []\n" + indent("  - ", "    ", pod("a")) + indent("- ", "  ", pod("b")), []int{13, 20}},
		"sequence":      {indent("- ", "  ", pod("a")) + indent("- ", "  ", pod("b")), []int{7, 14}},
		"aliases":       {"kind: Pod\nmetadata: {name: a}\nspec: {containers: [{image: i/a:1}]}\n---\nx: &x {image: i/b:1}\nkind: Pod\nmetadata: {name: b}\nspec: {containers: [*x]}\n", []int{3, 5}},
		"json":          {`{"kind":"List","items":[` + "\n" + `{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[` + "\n\n" + `{"image":"i/a:1"}]}},{"kind":"Pod","metadata":{"name":"b"},` + "\n" + `"spec":{"containers":[{"image":` + "\n" + `"i/b:1"}]}}]}`, []int{4, 6}},
		"json-stream":   {`{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"image":"i/a:1"}]}}` + "\n\n" + `[{"kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"image":"\u0069\/b:1"}]}}]`, []int{1, 3}},
		"json-raw":      {`{"kind":"PodList","items":[{"metadata":{"name":"a"},"spec":{"containers":[{"image":"i/a:1"}]}},{"metadata":{"name":"b"},"spec":{"containers":[{"image":"i/b:1"}]}}]}`, []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := Read(iotest.HalfReader(strings.NewReader(c.input)))
			require.NoError(t, err)
			var lines []string
			for i, line := range c.lines {
				text := want[i]
				if name == "aliases" && i == 1 {
					lines = append(lines, fmt.Sprintf("%d Pod b x.image i/b:1", line))
				}
				lines = append(lines, fmt.Sprintf("%d %s", line, text))
			}
			assert.Equal(t, lines, claims(o))
			assert.Equal(t, 2, o.count)
		})
	}
}

// TestReadLargeList: a list may be much larger than what one object may have.
func TestReadLargeList(t *testing.T) {
	t.Parallel()
	blob := strings.Repeat("x", 100_000)
	var yaml, json bytes.Buffer
	yaml.WriteString("apiVersion: v1\nitems:\n")
	json.WriteString(`{"apiVersion":"v1","items":[`)
	for i := range 60 {
		fmt.Fprintf(&yaml, "- kind: Pod\n  metadata:\n    annotations:\n      a: %s\n  spec:\n    containers:\n    - image: i/%d:1\n", blob, i)
		fmt.Fprintf(&json, "%s\n{\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"a\":%q}},\n\"spec\":{\"containers\":[{\"image\":\"i/%d:1\"}]}}", map[bool]string{true: ","}[i > 0], blob, i)
	}
	yaml.WriteString("kind: List\n")
	json.WriteString(`],"kind":"List"}`)
	for i, in := range []*bytes.Buffer{&yaml, &json} {
		require.Greater(t, in.Len(), maxObject)
		o, err := Read(in)
		require.NoError(t, err)
		require.Len(t, o.claims, 60)
		assert.Equal(t, "i/59:1", o.claims[59].ref)
		assert.Equal(t, []int{59*7 + 9, 59*2 + 3}[i], o.claims[59].line)
	}
}

// FuzzRead: what is read is not less than what a simple reader of the whole sees, and JSON is the same when it
// is read as YAML.
func FuzzRead(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nitems:\n- kind: Pod\n  spec: {containers: [{image: a}]}\n- kind: Pod\nkind: List\n"))
	f.Add([]byte("kind: Pod\nspec:\n  containers:\n  - image: b\n---\nkind: Job\n"))
	f.Add([]byte(`{"kind":"List","items":[{"kind":"Pod","spec":{"containers":[{"image":"a/b:1"}]}}]}`))
	f.Add([]byte("kind: PackageRepository\napiVersion: packaging.carvel.dev/v1alpha1\nspec: {fetch: {imgpkgBundle: {image: a/b}}}\n"))
	f.Add([]byte("kind: Pod\napiVersion: v1\nspec: {containers: [{name: a, image: b}]}\nstatus: {containerStatuses: [{name: a, imageID: c}]}\n"))
	f.Add([]byte("items:\n- kind: Pod\n  a: \"\n- b\"\nkind: List\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		o, err := Read(bytes.NewReader(input))
		if err != nil {
			require.Nil(t, o)
			return
		}
		require.Positive(t, o.count)
		kept := map[string]int{}
		for _, c := range o.claims {
			require.Positive(t, c.line)
			kept[c.ref]++
		}
		if isJSON(input) {
			again, err := Read(io.MultiReader(strings.NewReader("---\n"), bytes.NewReader(input)))
			if err == nil {
				require.Equal(t, len(o.claims), len(again.claims))
			}
		}
		for image, n := range simpleImages(input) {
			require.GreaterOrEqual(t, kept[cut(image)], n, "%q", image)
		}
	})
}

func isJSON(input []byte) bool {
	input = bytes.TrimLeft(input, " \t\r\n")
	return len(input) > 0 && (input[0] == '{' || input[0] == '[')
}

// simpleImages counts the images of the containers of Pods that a reader of the whole sees.
func simpleImages(input []byte) map[string]int {
	images := map[string]int{}
	d := yaml.NewDecoder(bytes.NewReader(input))
	for {
		var doc struct {
			Kind  string
			Spec  podSpec
			Items []struct {
				Kind string
				Spec podSpec
			}
		}
		if d.Decode(&doc) != nil {
			return images
		}
		count := func(kind string, spec podSpec) {
			for _, c := range spec.Containers {
				if s, ok := c["image"].(string); ok && kind == "Pod" {
					images[s]++
				}
			}
		}
		count(doc.Kind, doc.Spec)
		if strings.HasSuffix(doc.Kind, "List") {
			for _, item := range doc.Items {
				count(item.Kind, item.Spec)
			}
		}
	}
}

type podSpec struct{ Containers []map[string]any }
