package kbld_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/render/kbld"
)

// inside is what the lock of the tests makes of all images.
const inside = "private.example/all@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// locked returns an input with a lock of ids.
func locked(ids ...string) kbld.Input {
	text := "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"
	for _, id := range ids {
		text += "- image: " + inside + "\n  annotations: {kbld.carvel.dev/id: \"" + id + "\"}\n"
	}
	return kbld.Input{Path: ".imgpkg/images.yml", Data: []byte(text)}
}

func asIs(image string) string { return image }

// inPlace has texts in which each image is a:1 or b:2, and all must become INSIDE.
var inPlace = map[string]string{
	"plain, with comments":     "# first\nkind: Pod # a pod\nspec:\n  containers:\n  - {name: x,   image: a:1} # a:1\n  - image:   b:2   # b:2\n",
	"quotes":                   "image: 'a:1'\nx: {image: \"b:2\"}\n",
	"characters before it":     "x: {ä: \"\u00fc€😀\", image: a:1}\nimage: b:2\n",
	"block scalars":            "x:\n  image: |-\n    a:1\ny:\n  image: >2-\n    b:2\n",
	"anchor and tag":           "image: &i a:1\nx:\n  image: !!str b:2\n",
	"alias":                    "x: &i a:1\nimage: *i\ny: {image: *i }\n",
	"merge":                    "base: &b {image: a:1}\nx:\n  <<: *b\n  image: b:2\n",
	"several documents":        "---\nimage: a:1\n--- # next\n# nothing\n---\nx: 1\n---\nimage: b:2\n...\n",
	"list":                     "kind: List\nitems:\n- image: a:1\n- {image: b:2}\n",
	"carriage returns":         "x: 1\r\nimage: a:1\r\ny:\r\n- image: \"b:2\"\r\n",
	"JSON":                     "{\"image\": \"a:1\",\n \"x\": [{\"image\":\"b:2\"}]}\n",
	"no end of line":           "x: b:2\nimage: a:1",
	"the longer of two":        "x: a:1\nimage: a:1\nimages: [a:1]\n",
	"marks in other places":    "image: a:1\nx: |\n  image: b:2\n  --- no\n",
	"strings that are no YAML": "image: a:1\nconfig: 'image: : ['\n",
}

// TestInPlace holds that the references that kbld finds are replaced where they are, and nothing else.
func TestInPlace(t *testing.T) {
	for name, text := range inPlace {
		t.Run(name, func(t *testing.T) {
			inputs := []kbld.Input{locked("a:1", "b:2"), {Path: "f.yml", Data: []byte(text)}}
			found, err := kbld.Find(inputs)
			require.NoError(t, err)
			require.NotEmpty(t, found)
			out, err := kbld.InPlace(inputs, asIs)
			require.NoError(t, err)
			assert.Empty(t, strings.TrimSpace(string(out[0])), "the lock is no object")
			assert.Equal(t, len(text)+len(found)*len(inside)-widths(found, text), len(out[1]))
			assert.Equal(t, len(found), strings.Count(string(out[1]), inside))
			want, err := kbld.Run(inputs)
			require.NoError(t, err)
			for _, f := range found {
				assert.Equal(t, 1, f.Input)
				assert.Contains(t, strings.Split(text, "\n")[f.Line-1], f.Value[:1])
			}
			again, err := kbld.Run([]kbld.Input{{Path: "f.yml", Data: out[1]}})
			require.NoError(t, err)
			assert.Len(t, again.Documents, len(want.Documents))
		})
	}
}

// widths returns how long the replaced texts are.
func widths(found []kbld.Found, text string) (n int) {
	for _, f := range found {
		if n += len(f.Value); strings.Contains(strings.Split(text, "\n")[f.Line-1], "*i") {
			n += len("*i") - len(f.Value)
		}
	}
	return n
}

// TestInPlaceEmbedded: what a Config finds in strings is replaced there, and the Config is no object.
func TestInPlaceEmbedded(t *testing.T) {
	config := `---
apiVersion: kbld.k14s.io/v1alpha1
kind: Config
keys: [sidecarImage]
searchRules:
- keyMatcher: {name: config.yaml}
  updateStrategy:
    yaml:
      searchRules:
      - keyMatcher: {name: image}
- keyMatcher: {name: config.json}
  updateStrategy:
    json:
      searchRules:
      - keyMatcher: {name: image}
- keyMatcher: {name: left}
  updateStrategy: {none: {}}
---
`
	object := `kind: ConfigMap
sidecarImage: b:2
left: a:1
data:
  config.yaml: |
    # a comment
    pods:

    - image: a:1   # here
      z: 1
    ---
    image: "b:2"
  config.json: '{"b": 1, "image": "a:1"}'
`
	out, err := kbld.InPlace([]kbld.Input{locked("a:1", "b:2"), {Path: "f.yml", Data: []byte(config + object)}}, asIs)
	require.NoError(t, err)
	want := strings.NewReplacer("Image: b:2", "Image: "+inside, "image: a:1", "image: "+inside, `image: "b:2"`, `image: "`+inside+`"`, `"a:1"`, `"`+inside+`"`).Replace(object)
	assert.Equal(t, "---\n"+want, string(out[1]))
}

// TestInPlaceRefused: what cannot be replaced where it is, is refused, and no text comes out that says something else than
// kbld's.
func TestInPlaceRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"escape":                   {"x: 1\nimage: \"\\u0061:1\"\n", "f.yml: line 2: \"a:1\" cannot be replaced in the text"},
		"what a terminal obeys":    {"image: a:1\n...\n" + strings.Repeat("# far away\n", 10_000) + "# \x1b[2J\n", "f.yml: is not UTF-8, or has control characters"},
		"lines that YAML folds":    {"image: >-\n  a:1\n\n\n", ""},
		"JSON in escapes":          {"kind: X\ndata: \"{\\\"image\\\": \\\"a:1\\\"}\"\n", "document 1: its references cannot be replaced in the text"},
		"an alias of two meanings": {"x: &m {of: a:1}\nkeyed: {sub: *m}\n", "document 1: its references cannot be replaced in the text"},
	} {
		t.Run(name, func(t *testing.T) {
			config := kbld.Input{Path: "c.yml", Data: []byte("apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\nsearchRules:\n" +
				"- keyMatcher: {name: data}\n  updateStrategy: {json: {searchRules: [{keyMatcher: {name: image}}]}}\n- keyMatcher: {path: [keyed, sub, of]}\n")}
			out, err := kbld.InPlace([]kbld.Input{locked("a:1", "b:2"), config, {Path: "f.yml", Data: []byte(c.text)}}, asIs)
			if c.want == "" {
				require.NoError(t, err)
				assert.Equal(t, strings.Replace(c.text, "a:1", inside, 1), string(out[2]))
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}
