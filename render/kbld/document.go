package kbld

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"

	"relocate/internal/yamlnode"
)

// split cuts a stream into documents as the YAML reader of Kubernetes does: at each line that begins
// with "---", whatever YAML says of it.
func split(data []byte) (docs [][]byte, err error) {
	var doc []byte
	for line := range bytes.Lines(data) {
		if text, ok := bytes.CutSuffix(line, []byte("\n")); ok {
			line = bytes.TrimSuffix(text, []byte("\r"))
		}
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok {
			if rest = bytes.TrimSpace(rest); len(rest) > 0 && rest[0] != '#' {
				return nil, fmt.Errorf("invalid Yaml document separator: %s", rest)
			}
			if len(doc) > 0 {
				docs, doc = append(docs, doc), nil
				continue
			}
		}
		doc = append(append(doc, line...), '\n')
	}
	if len(doc) > 0 {
		docs = append(docs, doc)
	}
	return docs, nil
}

// toJSON converts a document, or the first of several that "..." separates.
func toJSON(text []byte) ([]byte, error) {
	raw, err := yamlnode.ToJSON(text)
	if err != nil && !errors.Is(err, yamlnode.ErrLimit) {
		err = fmt.Errorf("error converting YAML to JSON: %w", err)
	}
	return raw, err
}

// decode returns the content of a document, with its JSON where numbers may be lost in the content.
func decode(text []byte) (content map[string]any, raw []byte, err error) {
	value, ok, err := yamlnode.JSONValue(text)
	if err != nil {
		return nil, nil, err
	}
	content, isMap := value.(map[string]any)
	if ok && (isMap || value == nil) {
		return content, nil, nil
	}
	if raw, err = toJSON(text); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, nil, fmt.Errorf("error unmarshaling JSON: while decoding JSON: %w", err)
	}
	return content, raw, nil
}

// decodeAll returns the documents of a string, without empty ones; not ok when it is not YAML. The
// error is that of a limit.
func decodeAll(value string) (contents []any, ok bool, err error) {
	docs, err := split([]byte(value))
	if err != nil {
		return nil, false, nil
	}
	for _, doc := range docs {
		raw, err := toJSON(doc)
		var content any
		switch {
		case errors.Is(err, yamlnode.ErrLimit):
			return nil, false, err
		case err != nil || json.Unmarshal(raw, &content) != nil:
			return nil, false, nil
		case content != nil:
			contents = append(contents, content)
		}
	}
	return contents, true, nil
}

// failed returns kbld's own message, unless a limit of ours is the reason.
func failed(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if errors.Is(err, yamlnode.ErrLimit) {
		return err
	}
	return &FailedError{err.Error()}
}

// hasLongDigits reports whether a text has what may be an integer that a float64 cannot hold: 16
// digits.
func hasLongDigits(text []byte) bool {
	digits := 0
	for _, c := range text {
		if digits++; c < '0' || c > '9' {
			digits = 0
		}
		if digits == 16 {
			return true
		}
	}
	return false
}

// encode returns what sigs.k8s.io/yaml makes of a document: it writes JSON, reads that as YAML, and
// writes what it read. Where that changes integers only, they are changed in place instead.
func encode(content map[string]any) ([]byte, error) {
	if !isUnchanged(content) {
		return yaml.Marshal(content)
	}
	return yamlv2.Marshal(withIntegers(content))
}

const (
	maxExact = 1 << 53 // up to which a float64 holds each integer
	maxKey   = 128     // bytes of a key that YAML reads, however it is escaped
)

// isUnchanged reports whether a value written as JSON is the same for a YAML parser, but for integers
// that come back as such.
func isUnchanged(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for key, value := range v {
			if len(key) > maxKey || !isUnchanged(key) || !isUnchanged(value) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !isUnchanged(item) })
	case float64:
		return math.Abs(v) < maxExact
	case string:
		return !strings.ContainsFunc(v, isSpecial)
	}
	return true
}

// isSpecial reports whether JSON has a character as it is that YAML refuses, or takes for a line
// break or a byte order mark.
func isSpecial(r rune) bool {
	return 0x7f <= r && r < 0xa0 || r == 0xfeff || 0xfffd <= r && r < 0x10000
}

// withIntegers makes the floats in a value that are integers such.
func withIntegers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = withIntegers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = withIntegers(v[i])
		}
	case float64:
		if v == math.Trunc(v) {
			return int64(v)
		}
	}
	return value
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// textAt returns the string at a path of a document; empty for none.
func textAt(content map[string]any, path ...string) string {
	for _, key := range path[:len(path)-1] {
		content, _ = content[key].(map[string]any)
	}
	s, _ := content[path[len(path)-1]].(string)
	return s
}

// pointer returns a path as JSON pointer.
func pointer(path []Part) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteByte('/')
		if p.IsIndex {
			b.WriteString(strconv.Itoa(p.Index))
		} else {
			b.WriteString(pointerEscape.Replace(p.Key))
		}
	}
	return b.String()
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// imagesAnnotation is the annotation that kbld adds.
const imagesAnnotation = "kbld.k14s.io/images"

// image is an image of the annotation.
type image struct {
	Origins []origin `json:"origins,omitempty"`
	URL     string   `json:"url"`
}

// origin is where an image comes from, as far as kbld keeps it from a lock.
type origin struct {
	Git *struct {
		RemoteURL string   `json:"remoteURL"`
		SHA       string   `json:"sha"`
		Dirty     bool     `json:"dirty"`
		Tags      []string `json:"tags,omitempty"`
	} `json:"git,omitempty"`
	Local *struct {
		Path string `json:"path"`
	} `json:"local,omitempty"`
	Resolved *struct {
		URL string `json:"url"`
		Tag string `json:"tag,omitempty"`
	} `json:"resolved,omitempty"`
	Tagged *struct {
		Tags []string `json:"tags"`
	} `json:"tagged,omitempty"`
	Preresolved      *preresolved `json:"preresolved,omitempty"`
	PlatformSelected *struct {
		Index        string `json:"index,omitempty"`
		OS           string `json:"os,omitempty"`
		Architecture string `json:"architecture,omitempty"`
		Variant      string `json:"variant,omitempty"`
	} `json:"platformSelected,omitempty"`
}

type preresolved struct {
	URL string `json:"url"`
}

// withPreresolved returns the origins of an image that an override names as it is.
func withPreresolved(origins []origin, url string) []origin {
	if slices.ContainsFunc(origins, func(o origin) bool { return o.Preresolved != nil && o.Preresolved.URL == url }) {
		return origins
	}
	return append(slices.Clip(origins), origin{Preresolved: &preresolved{url}})
}

// annotate adds kbld's annotation to a document in which it saw images.
func (r *run) annotate(i int, content map[string]any) error {
	slices.SortStableFunc(r.images, func(a, b image) int { return strings.Compare(a.URL, b.URL) })
	var list []image
	var texts []string
	for _, img := range r.images {
		if len(img.Origins) == 0 {
			continue
		}
		text, err := json.Marshal(img)
		if err != nil {
			return err
		}
		if !slices.Contains(texts, string(text)) {
			list, texts = append(list, img), append(texts, string(text))
		}
	}
	text, err := yaml.Marshal(list)
	if err != nil {
		return err
	}
	if _, known := content["metadata"]; !known {
		content["metadata"] = map[string]any{}
	}
	metadata, ok := content["metadata"].(map[string]any)
	if !ok {
		return nil
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	if !ok && metadata["annotations"] != nil {
		r.fault(LostAnnotations, r.documents[i].Source, "")
	}
	for _, key := range sortedKeys(annotations) {
		if _, ok := annotations[key].(string); !ok {
			r.fault(LostAnnotations, r.documents[i].Source, key)
			annotations = nil
			break
		}
	}
	if annotations == nil {
		annotations = map[string]any{}
	}
	annotations[imagesAnnotation] = string(text)
	metadata["annotations"] = annotations
	return nil
}
