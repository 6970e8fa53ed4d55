package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// schema is the part of OpenAPI that testdata/schemas.yml is written in.
type schema struct {
	Ref                  string            `json:"$ref"`
	Type                 string            `json:"type"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties *schema           `json:"additionalProperties"`
	Required             []string          `json:"required"`
	Items                *schema           `json:"items"`
	Enum                 []string          `json:"enum"`
	Pattern              string            `json:"pattern"`
}

// schemas are the shapes of objects, by API version and kind.
type schemas struct {
	kinds, definitions map[string]schema
}

func readSchemas(t *testing.T) schemas {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "schemas.yml"))
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, yaml.UnmarshalStrict(text, &all))
	var s schemas
	definitions, err := yaml.Marshal(all["definitions"])
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(definitions, &s.definitions))
	delete(all, "definitions")
	kinds, err := yaml.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(kinds, &s.kinds))
	return s
}

// check returns what is wrong with a value at path.
func (s schemas) check(path string, want schema, v any) []string {
	if want.Ref != "" {
		want = s.definitions[want.Ref]
	}
	wrong := func(format string, args ...any) []string { return []string{path + " " + fmt.Sprintf(format, args...)} }
	var all []string
	switch v := v.(type) {
	case map[string]any:
		if want.Type != "object" {
			return wrong("is an object, not %q", want.Type)
		}
		for _, key := range want.Required {
			if v[key] == nil {
				all = append(all, wrong("lacks %s", key)...)
			}
		}
		for key, value := range v {
			property, known := want.Properties[key]
			if !known && want.AdditionalProperties == nil {
				all = append(all, wrong("has an unknown field %s", key)...)
				continue
			}
			if !known {
				property = *want.AdditionalProperties
			}
			all = append(all, s.check(path+"."+key, property, value)...)
		}
	case []any:
		if want.Type != "array" {
			return wrong("is an array, not %q", want.Type)
		}
		for i, item := range v {
			all = append(all, s.check(fmt.Sprintf("%s[%d]", path, i), *want.Items, item)...)
		}
	case string:
		if want.Type != "string" || (want.Enum != nil && !slices.Contains(want.Enum, v)) || !regexp.MustCompile(want.Pattern).MatchString(v) {
			return wrong("is %q, which is no %s %s %v", v, want.Type, want.Pattern, want.Enum)
		}
	case bool:
		if want.Type != "boolean" {
			return wrong("is a boolean, not %q", want.Type)
		}
	case float64:
		if want.Type != "integer" || v != math.Trunc(v) {
			return wrong("is the number %v, not %q", v, want.Type)
		}
	default:
		return wrong("is %T", v)
	}
	return all
}

// emittedObject is what tests look at of an object.
type emittedObject struct {
	APIVersion, Kind string
	Metadata         struct {
		Name, Namespace string
		Annotations     map[string]string
	}
	Type       string
	StringData map[string]string
	Spec       map[string]any
}

// objects decodes YAML documents strictly and holds each to its schema.
func objects(t *testing.T, text string) []emittedObject {
	t.Helper()
	all := readSchemas(t)
	var list []emittedObject
	for i, doc := range strings.Split("\n"+strings.TrimPrefix(text, "---\n"), "\n---\n") {
		doc = strings.TrimSuffix(doc, "\n") + "\n"
		var v map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(doc), &v), doc)
		kind := fmt.Sprintf("%v %v", v["apiVersion"], v["kind"])
		want, known := all.kinds[kind]
		require.True(t, known, "document %d is a %s:\n%s", i, kind, doc)
		delete(v, "apiVersion")
		delete(v, "kind")
		assert.Empty(t, all.check(kind, want, v), doc)
		var o emittedObject
		require.NoError(t, yaml.Unmarshal([]byte(doc), &o))
		list = append(list, o)
	}
	return list
}

// TestSchemas: the check finds what is wrong.
func TestSchemas(t *testing.T) {
	t.Parallel()
	all := readSchemas(t)
	for text, wrong := range map[string]string{
		"metadata: {name: a, namespace: b}\nspec: {fetch: {}}":                                                                "",
		"metadata: {name: a, namespace: b}\nspec: {fetch: {imgpkgBundle: {image: a:1}}}":                                      ".spec.fetch.imgpkgBundle.image is",
		"metadata: {name: a, namespace: b}\nspec: {fetch: {}, extra: 1}":                                                      ".spec has an unknown field extra",
		"metadata: {name: a, namespace: b}":                                                                                   " lacks spec",
		"metadata: {name: A, namespace: b}\nspec: {fetch: {}}":                                                                ".metadata.name is",
		"metadata: {name: a, namespace: b.c}\nspec: {fetch: {}}":                                                              ".metadata.namespace is",
		"metadata: {name: a, namespace: b, annotations: {x: true}}\nspec: {fetch: {}}":                                        ".metadata.annotations.x is a boolean",
		"metadata: {name: a, namespace: b}\nspec: {fetch: {http: {url: [a]}}}":                                                ".spec.fetch.http.url is an array",
		"metadata: {name: a, namespace: b}\nspec: {fetch: {image: {tagSelection: {semver: {prereleases: {identifier: a}}}}}}": "has an unknown field identifier",
	} {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(text), &v))
		got := strings.Join(all.check("x", all.kinds["packaging.carvel.dev/v1alpha1 PackageRepository"], v), "\n")
		if wrong == "" {
			assert.Empty(t, got)
		} else {
			assert.Contains(t, got, wrong)
		}
	}
}
