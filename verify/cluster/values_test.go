package cluster

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/render"
)

// TestRedactor: no value of a Secret stays in a message, whatever it looks like and however it is quoted.
func TestRedactor(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"values.yml": `password: hunter2 # an old one: hunter1
short: abc
switch: true
replicas: 3
pin: 31415
block: |
  first line
  second "quoted"
folded: >
  one two
  three
list: [sesame, "tab\there", 'пароль']
nested: {json: '{"a":"deep"}'}
`,
		"broken": "p: [\n- open wide\n\tq: {{ x }}\n",
	}
	data := map[string][]byte{}
	for name, text := range texts {
		data[name] = []byte(text)
	}
	r := newRedactor([]render.Object{{Kind: "Secret", Data: data}, {Kind: "ConfigMap", Data: map[string][]byte{"a": []byte("b: public")}}})
	for _, value := range []string{"hunter2", "abc", "31415", "first line", `second "quoted"`, "one two", "one two three", "sesame", "tab\there", "пароль", `{"a":"deep"}`, "open wide"} {
		for _, said := range []string{value, strconv.Quote(value), "=" + value + "="} {
			got := r.clean("values.yml:\n    | 1 | key: " + said + "\n")
			assert.NotContains(t, got, value, said)
			assert.NotContains(t, got, strings.Trim(strconv.Quote(value), `"`), said)
			assert.Contains(t, got, "| 1 | key: ", said)
		}
	}
	for _, said := range []string{"abcdef is no map", "line 3 is true", "expected: string (by values.yml:4)", "public"} {
		assert.Equal(t, said, r.clean(said))
	}
	for _, line := range strings.Split(texts["values.yml"], "\n") {
		for _, secret := range []string{"hunter", "sesame", "deep", "quoted", "three"} {
			assert.NotContains(t, r.clean("  | 1 | "+line), secret)
		}
	}
}

// TestKeep: a Secret whose data is not base64 has none, and says so; stringData wins, as in a cluster.
func TestKeep(t *testing.T) {
	t.Parallel()
	o, err := Read(strings.NewReader(`---
{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: n}, data: {x: YQ==, y: YQ==}, stringData: {y: b}}
---
{apiVersion: v1, kind: Secret, metadata: {name: bad, namespace: n}, data: {x: "?"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: helm, namespace: n}, type: helm.sh/release.v1, data: {x: YQ==}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: n}, data: {x: YQ==}}
---
{apiVersion: v1, kind: SecretList, items: [{metadata: {name: item, namespace: n}, data: {x: YQ==}}]}
---
{apiVersion: other/v1, kind: Secret, metadata: {name: other, namespace: n}, data: {x: YQ==}}
`))
	require.NoError(t, err)
	assert.Equal(t, map[objectKey]kept{
		{"Secret", "n", "a"}:    {data: map[string][]byte{"x": []byte("a"), "y": []byte("b")}},
		{"Secret", "n", "bad"}:  {wrong: "its data is not in base64"},
		{"Secret", "n", "item"}: {data: map[string][]byte{"x": []byte("a")}},
		{"ConfigMap", "n", "a"}: {data: map[string][]byte{"x": []byte("YQ==")}},
	}, o.values)
}
