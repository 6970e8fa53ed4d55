package kbld_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/yamlnode"
	"relocate/render/kbld"
)

const configHead = "apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\n"

// lockOf returns an ImagesLock that replaces images by the same ones of private.test.
func lockOf(ids ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n")
	for _, id := range ids {
		b.WriteString("- {image: private.test/all@" + digest + ", annotations: {kbld.carvel.dev/id: '" + id + "'}}\n")
	}
	return b.String()
}

// inputs makes inputs of texts: the stream, and files 1.yml, 2.yml.
func inputs(stream string, files ...string) []kbld.Input {
	list := []kbld.Input{{Path: "-", Data: []byte(stream)}}
	for i, file := range files {
		list = append(list, kbld.Input{Path: string(rune('1'+i)) + ".yml", Data: []byte(file)})
	}
	return list
}

// TestRunRules: what kapp-controller v0.53.1 made of the same with its own kbld.
func TestRunRules(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", "rules", name))
		require.NoError(t, err)
		return data
	}
	in := []kbld.Input{{"-", read("stream.yml")}, {"rules.yml", read("rules.yml")}, {".imgpkg/images.yml", read("images.yml")}}
	out, err := kbld.Run(in)
	require.NoError(t, err)
	require.Equal(t, string(read("output.yml")), string(out.Text))
	const lock, five = "registry.test/rules@sha256:", "5555555555555555555555555555555555555555555555555555555555555555"
	two, four := strings.ReplaceAll(five, "5", "2"), strings.ReplaceAll(five, "5", "4")
	locked := func(digit string, entry int) kbld.Result {
		return kbld.Result{Image: lock + digit, File: ".imgpkg/images.yml", Lock: true, Entry: entry}
	}
	assert.Equal(t, []kbld.Image{
		{0, "/data/conf.json", "app:1.0", locked(two, 0)},
		{0, "/data/conf.yaml", "app:1.0", locked(two, 0)},
		{0, "/data/sidecarImage", "docker.io/library/side", locked(four, 1)},
		{0, "/spec/any/0/ref", "app:1.0", locked(two, 0)},
		{0, "/spec/any/1/image", "moved/repo:7@sha256:" + strings.ReplaceAll(five, "5", "6"), kbld.Result{Image: lock + five, File: "rules.yml", Entry: -1}},
		{0, "/spec/any/1/ref", "app:1.0", locked(two, 0)},
		{0, "/spec/args/1", "app:1.0", locked(two, 0)},
		{1, "/image", "app:1.0", locked(two, 0)},
		{2, "/image", "side:x@sha256:" + strings.ReplaceAll(five, "5", "7"),
			kbld.Result{Outcome: kbld.Kept, Image: "index.docker.io/library/side@sha256:" + strings.ReplaceAll(five, "5", "7"), Entry: -1}},
		{3, "/image", "app:1.0", locked(two, 0)},
	}, out.Images)
	assert.ElementsMatch(t, []kbld.Fault{
		{kbld.Rounded, kbld.Source{Item: -1}, "12345678901234567890"},
		{kbld.LostAnnotations, kbld.Source{Document: 1, Item: -1}, "number"},
		{kbld.LostWrapper, kbld.Source{Document: 3, Item: -1}, "Four"},
	}, out.Faults)
	require.Len(t, out.Documents, 4)
	assert.Equal(t, kbld.Source{Document: 3, Item: 0}, out.Documents[3].Source)
	var whole strings.Builder
	for _, doc := range out.Documents {
		whole.Write(doc.Text)
	}
	assert.Equal(t, string(out.Text), whole.String())
}

// TestRun: documents as kbld cuts, reads and writes them.
func TestRun(t *testing.T) {
	t.Parallel()
	annotated := func(url string) string {
		return "metadata:\n  annotations:\n    kbld.k14s.io/images: |\n      - origins:\n        - preresolved:\n            url: " + url + "\n        url: " + url + "\n"
	}
	const private = "private.test/all@"
	for name, test := range map[string]struct {
		in     []kbld.Input
		want   string
		faults []kbld.FaultKind
	}{
		"nothing":                 {inputs("", ""), "", nil},
		"empty documents":         {inputs("---\n---\n{}\n--- # comment\nnull\n---\n# a\n--- \nb: 2\na: 1\n"), "---\na: 1\nb: 2\n", nil},
		"carriage returns":        {inputs("a: 1\r\n---\r\nb: 2\r\n"), "---\na: 1\n---\nb: 2\n", nil},
		"list":                    {inputs("kind: List\nitems: [{image: a}, {}]\n", lockOf("a")), "---\nimage: " + private + digest + "\n" + annotated(private+digest) + "---\n{}\n", nil},
		"items that are no array": {inputs("items: {a: 1}\n"), "---\nitems:\n  a: 1\n", nil},
		"items lost":              {inputs("kind: A\nitems: []\n"), "", []kbld.FaultKind{kbld.LostWrapper}},
		"text lost":               {inputs("a: 1\n...\nb: 2\n"), "---\na: 1\n", []kbld.FaultKind{kbld.LostText}},
		"JSON lost":               {inputs(`{"a": 1} {"b": 2}`), "---\na: 1\n", []kbld.FaultKind{kbld.LostText}},
		"end of a document":       {inputs("a: 1\n...\n# b\n"), "---\na: 1\n", nil},
		"rounded":                 {inputs("a: 9007199254740993\nb: '9007199254740993'\nc: 9007199254740992\n"), "---\na: 9007199254740992\nb: \"9007199254740993\"\nc: 9007199254740992\n", []kbld.FaultKind{kbld.Rounded}},
		"configuration in the stream, after it is used": {inputs("image: a\n---\n" + lockOf("a")), "---\nimage: " + private + digest + "\n" + annotated(private+digest), nil},
		"no annotation without images":                  {inputs("metadata: {annotations: {a: 1}}\n"), "---\nmetadata:\n  annotations:\n    a: 1\n", nil},
		"metadata that is no map":                       {inputs("metadata: a\nimage: a\n", lockOf("a")), "---\nimage: " + private + digest + "\nmetadata: a\n", nil},
		"origins of the lock":                           {inputs("image: a\n", strings.Replace(lockOf("a"), "'a'", "a, kbld.carvel.dev/origins: '[{git: {sha: x, other: 1}}, {preresolved: {url: private.test/all@"+digest+"}}]'", 1)), "---\nimage: " + private + digest + "\nmetadata:\n  annotations:\n    kbld.k14s.io/images: |\n      - origins:\n        - git:\n            dirty: false\n            remoteURL: \"\"\n            sha: x\n        - preresolved:\n            url: " + private + digest + "\n        url: " + private + digest + "\n", nil},
		"an override is not looked up twice":            {inputs("image: a\n", configHead+"overrides: [{image: a, newImage: 'bb@"+digest+"'}, {image: 'bb@"+digest+"', newImage: c, preresolved: true}]"), "---\nimage: index.docker.io/library/bb@" + digest + "\nmetadata:\n  annotations:\n    kbld.k14s.io/images: |\n      null\n", nil},
		"yaml is JSON first":                            {inputs("a: '{\"image\": \"x\", \"n\": 1.0}'\n", configHead+"searchRules: [{keyMatcher: {name: a}, updateStrategy: {yaml: {}}}]"), "---\na: '{\"image\":\"x\",\"n\":1}'\n", nil},
		"yaml without documents":                        {inputs("a: '# only a comment'\n", configHead+"searchRules: [{keyMatcher: {name: a}, updateStrategy: {yaml: {}}}]"), "---\na: \"\"\n", nil},
		"yaml that is none":                             {inputs("a: '--- x'\n", configHead+"searchRules: [{keyMatcher: {name: a}, updateStrategy: {yaml: {}}}]"), "---\na: '--- x'\n", nil},
		"name and path":                                 {inputs("a: {image: x}\nb: {image: a}\n", configHead+"searchRules: [{keyMatcher: {name: image, path: [a, image]}, updateStrategy: {none: {}}}]"), "---\na:\n  image: x\nb:\n  image: a\n", nil},
		"old enough":                                    {inputs("a: 1\n", configHead+"minimumRequiredVersion: 0.44.1"), "---\na: 1\n", nil},
	} {
		out, err := kbld.Run(test.in)
		if !assert.NoError(t, err, name) {
			continue
		}
		assert.Equal(t, test.want, string(out.Text), name)
		var faults []kbld.FaultKind
		for _, f := range out.Faults {
			faults = append(faults, f.Kind)
		}
		assert.Equal(t, test.faults, faults, name)
	}
}

// TestRunFails: kbld's own messages.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for want, in := range map[string][]kbld.Input{
		"Parsing stdin: invalid Yaml document separator: x":                                                                                                 inputs("a: 1\n---x\n"),
		"Parsing stdin: invalid Yaml document separator: {c: 3}":                                                                                            inputs("a: 1\n--- {c: 3}\n"),
		"Parsing file '1.yml' doc 2: error converting YAML to JSON: yaml: line 1: did not find expected node content":                                       inputs("", "a: 1\n---\n[\n"),
		"Parsing stdin doc 1: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}":     inputs("[1]\n"),
		"Parsing stdin doc 1: items member is not an object: map[string]interface {}":                                                                       inputs("items: [1]\n"),
		"Validating config/c (kbld.k14s.io/v1alpha1) namespace: ns: Validating Overrides[0]: Expected Image or ImageRepo to be non-empty":                   inputs(configHead + "metadata: {name: c, namespace: ns}\noverrides: [{newImage: a}]\n"),
		"Validating imageslock/ (imgpkg.carvel.dev/v1alpha1) cluster: Validating Overrides[0]: Expected Image or ImageRepo to be non-empty":                 inputs("", lockOf("")),
		"Validating config/ (kbld.k14s.io/v1alpha1) cluster: Validating SearchRules[0]: Expected KeyMatcher or ValueMatcher to be non-empty":                inputs("", configHead+"searchRules: [{}]"),
		"Validating config/ (kbld.k14s.io/v1alpha1) cluster: kbld version '0.44.1' does not meet the minimum required version '0.45.0'":                     inputs("", configHead+"minimumRequiredVersion: 0.45.0"),
		"Unmarshaling imageslock/ (imgpkg.carvel.dev/v1alpha1) cluster as ImagesLock: Validating images lock: Expected ref to be in digest form, got 'a:1'": inputs("", "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages: [{image: 'a:1'}]\n"),
		"Updating resource references: yaml: control characters are not allowed":                                                                            inputs("a: {image: zz}\nb: \"\\x7f\"\n"),
		"\n- Resolving image 'A B': repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: A B\n- Resolving image 'app': " + disallowed("app") + "\n- Resolving image 'zz': would ask a registry for zz": inputs(
			"image: zz\na: {image: app}\nb: {image: A B}\nc: {image: A B}\n", configHead+"sources: [{image: app, path: .}]"),
	} {
		out, err := kbld.Run(in)
		failed := &kbld.FailedError{}
		if assert.ErrorAs(t, err, &failed, want) {
			assert.Equal(t, want, failed.Message)
		}
		if out != nil {
			assert.Nil(t, out.Text, want)
			assert.NotEmpty(t, out.Images, want)
		}
	}
}

// TestRunAsks: all that a registry would be asked for is named, and the rest is printed.
func TestRunAsks(t *testing.T) {
	t.Parallel()
	out, err := kbld.Run(inputs("image: zz:1\n---\nimage: side\na: {image: zz:1, b: {image: b}}\n", lockOf("b")))
	asked := &kbld.AskedError{}
	require.ErrorAs(t, err, &asked)
	assert.Equal(t, []string{"side", "zz:1"}, asked.Images)
	assert.Len(t, out.Images, 4)
	assert.Contains(t, string(out.Text), "image: zz:1\n")
	assert.Contains(t, string(out.Text), "image: private.test/all@"+digest+"\n")
}

// TestRunLarge: documents are printed in the same way when there are many.
func TestRunLarge(t *testing.T) {
	t.Parallel()
	doc := "---\nimage: a/b:1\nlong: 9007199254740993\nnumber: 1.5\ntext: " + strings.Repeat("x", 300<<10) + "\n"
	one, err := kbld.Run(inputs(doc, lockOf("a/b:1")))
	require.NoError(t, err)
	require.Contains(t, string(one.Text), "image: private.test/all@"+digest+"\n")
	all, err := kbld.Run(inputs(strings.Repeat(doc, 8), lockOf("a/b:1")))
	require.NoError(t, err)
	require.Equal(t, strings.Repeat(string(one.Text), 8), string(all.Text))
	require.Len(t, all.Faults, 8)
}

// TestRunLimits: foreign text is refused before it takes too much.
func TestRunLimits(t *testing.T) {
	t.Parallel()
	aliases := "a: &a " + strings.Repeat("x", yamlnode.MaxSize/4) + "\nb: [*a, *a, *a, *a]\n"
	for name, in := range map[string][]kbld.Input{
		"aliases":   inputs(aliases),
		"levels":    inputs("a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300)),
		"document":  inputs("a: " + strings.Repeat("x", yamlnode.MaxSize)),
		"documents": inputs(strings.Repeat("a: 1\n---\n", yamlnode.MaxDocuments+1)),
		"rules":     inputs("", configHead+"keys: ["+strings.Repeat("a, ", 201)+"]\n"),
		"embedded":  inputs("a: |\n  "+strings.ReplaceAll(aliases, "\n", "\n  "), configHead+"searchRules: [{keyMatcher: {name: a}, updateStrategy: {yaml: {}}}]"),
		"origins":   inputs("", lockOf("a"), "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: aa@"+digest+"\n  annotations:\n    kbld.carvel.dev/id: b\n    kbld.carvel.dev/origins: |\n      "+strings.ReplaceAll(aliases, "\n", "\n      ")),
	} {
		_, err := kbld.Run(in)
		assert.ErrorIs(t, err, yamlnode.ErrLimit, name)
	}
}
