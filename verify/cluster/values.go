package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/render"
	"relocate/render/ytt"
)

// maxValues is the limit on the bytes of Secrets and ConfigMaps that are kept.
const maxValues = 64 << 20

// objectKey names an object of a kind.
type objectKey struct{ kind, namespace, name string }

// kept is the data of a Secret or a ConfigMap.
type kept struct {
	data  map[string][]byte
	wrong string // why there is none
}

// keep keeps the data of a Secret or a ConfigMap: a PackageInstall may name it.
func (x *extraction) keep(n *yaml.Node) {
	if yamlnode.Text(n, "type") == "helm.sh/release.v1" { // of helm itself, and large
		return
	}
	o, k := x.objects, kept{data: map[string][]byte{}}
	for key, value := range yamlnode.Pairs(yamlnode.Get(n, "data")) {
		k.data[key] = []byte(value.Value)
		if x.object.Kind == "Secret" {
			decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value.Value), ""))
			if err != nil {
				k.wrong = "its data is not in base64"
			}
			k.data[key] = decoded
		}
	}
	if x.object.Kind == "Secret" {
		for key, value := range yamlnode.Pairs(yamlnode.Get(n, "stringData")) {
			k.data[key] = []byte(value.Value)
		}
	}
	for key, value := range k.data {
		o.kept += len(key) + len(value)
	}
	if o.kept > maxValues {
		k.wrong = "the Secrets and ConfigMaps of the input have more than " + strconv.Itoa(maxValues) + " bytes"
	}
	if k.wrong != "" {
		k.data = nil
	}
	if o.values == nil {
		o.values = map[objectKey]kept{}
	}
	o.values[objectKey{x.object.Kind, x.object.Namespace, x.object.Name}] = k
}

// annotationPrefix is that of the annotations by which a PackageInstall changes its App.
const annotationPrefix = "ext.packaging.carvel.dev/"

// needs returns the Secrets and ConfigMaps that the App of a PackageInstall reads besides its values
// Secrets: those that its annotations and its steps name.
func (i *install) needs(spec []byte) []objectKey {
	var keys []objectKey
	for _, key := range slices.Sorted(maps.Keys(i.annotations)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, annotationPrefix), ".")
		if name == "ytt-paths-from-secret-name" || name == "helm-template-values-from-secret-name" {
			keys = append(keys, objectKey{"Secret", i.object.Namespace, i.annotations[key]})
		}
	}
	type source struct {
		SecretRef, ConfigMapRef *struct{ Name string }
	}
	type step struct {
		ValuesFrom []source
		Inline     struct{ PathsFrom []source }
	}
	var app struct {
		Fetch    []step
		Template []map[string]json.RawMessage
	}
	if json.Unmarshal(spec, &app) != nil { // rendering it says so
		return keys
	}
	steps := app.Fetch
	for _, t := range app.Template {
		for _, kind := range slices.Sorted(maps.Keys(t)) {
			var s step
			if json.Unmarshal(t[kind], &s) == nil {
				steps = append(steps, s)
			}
		}
	}
	for _, s := range steps {
		for _, from := range slices.Concat(s.ValuesFrom, s.Inline.PathsFrom) {
			if from.SecretRef != nil {
				keys = append(keys, objectKey{"Secret", i.object.Namespace, from.SecretRef.Name})
			}
			if from.ConfigMapRef != nil {
				keys = append(keys, objectKey{"ConfigMap", i.object.Namespace, from.ConfigMapRef.Name})
			}
		}
	}
	return keys
}

// valuesFiles returns the keys of a values Secret as files.
func valuesFiles(data map[string][]byte) (files []ytt.File) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		files = append(files, ytt.File{Path: key, Data: data[key]})
	}
	return files
}

// redactor takes the values of Secrets out of messages: ytt quotes what it refuses.
type redactor struct {
	whole *strings.Replacer
	words *regexp.Regexp // short values, which may be parts of other words; nil for none
}

// hidden stands for a value.
const hidden = "…"

// shortValue is the length below which a value is replaced only as a word.
const shortValue = 4

// newRedactor returns a redactor for the data of Secrets.
func newRedactor(secrets []render.Object) *redactor {
	values := map[string]bool{}
	for _, s := range secrets {
		if s.Kind != "Secret" {
			continue
		}
		for _, data := range s.Data {
			addValues(values, data)
		}
	}
	var pairs, words []string
	for _, v := range slices.SortedFunc(maps.Keys(values), func(a, b string) int { return len(b) - len(a) }) {
		switch quoted := strconv.Quote(v); {
		case len(v) < shortValue:
			words = append(words, regexp.QuoteMeta(v))
		case quoted[1:len(quoted)-1] != v:
			pairs = append(pairs, quoted[1:len(quoted)-1], hidden)
			fallthrough
		default:
			pairs = append(pairs, v, hidden)
		}
	}
	r := &redactor{whole: strings.NewReplacer(pairs...)}
	if len(words) > 0 {
		r.words = regexp.MustCompile(`\b(?:` + strings.Join(words, "|") + `)\b`)
	}
	return r
}

// keyOfLine matches what is before the value in a line of YAML.
var keyOfLine = regexp.MustCompile(`^\s*(?:-\s+)*(?:[^\s"'#:]+:(?:\s+|$))?`)

// addValues adds the values in data: the scalars of its YAML, line by line, and what its lines have
// after a key.
func addValues(values map[string]bool, data []byte) {
	add := func(s string) {
		for l := range strings.Lines(s) {
			if l = strings.TrimSpace(l); isSecret(l) {
				values[l] = true
			}
		}
	}
	for l := range bytes.Lines(data) {
		add(string(l[len(keyOfLine.Find(l)):]))
	}
	for doc := range yamlnode.Parse(data) {
		eachScalar(doc.Root, add)
	}
}

// isSecret reports whether a text can be a secret: not marks only, no switch, no small number.
func isSecret(s string) bool {
	if _, err := strconv.ParseBool(s); err == nil {
		return false
	}
	if n, err := strconv.Atoi(s); err == nil && n > -1000 && n < 1000 {
		return false
	}
	return s != "null" && strings.Trim(s, "-|>+{}[]#.,:\"' ") != ""
}

// eachScalar calls visit for the scalar values below n.
func eachScalar(n *yaml.Node, visit func(string)) {
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode {
		visit(n.Value)
	}
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			eachScalar(child, visit)
		}
	}
}

// clean returns a message without values of Secrets.
func (r *redactor) clean(s string) string {
	s = r.whole.Replace(s)
	if r.words != nil {
		s = r.words.ReplaceAllString(s, hidden)
	}
	return s
}
