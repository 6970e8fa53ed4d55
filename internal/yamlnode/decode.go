package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"

	"relocate/internal/text"
)

// Decode decodes the first document of data into out, which is a pointer to a struct. Strict
// means that unknown and duplicate keys are errors.
func Decode(data []byte, out any, strict bool) error {
	release, err := reserve(data)
	defer release()
	if err != nil {
		return err
	}
	// The library converts YAML to JSON, where each alias becomes a copy. The size of the result is
	// counted first, in what the underlying parser makes of the same bytes: its copies share their
	// text.
	var tree any
	if err := yamlv2.Unmarshal(data, &tree); err != nil {
		return text.Error(err)
	}
	if _, err := expanded(tree, 0); err != nil {
		return err
	}
	decode := yaml.UnmarshalStrict
	if !strict {
		decode = yaml.Unmarshal
	}
	if err := decode(data, out); err != nil {
		return text.Error(err)
	}
	return nil
}

// expanded returns how large a decoded YAML value is with all aliases written out: its nodes and
// the bytes of its text. It is an error when that, or the depth, is over the limit.
func expanded(v any, depth int) (int, error) {
	sum := 1
	add := func(items ...any) error {
		if depth == maxNesting {
			return errNesting
		}
		for _, item := range items {
			n, err := expanded(item, depth+1)
			if err != nil {
				return err
			}
			if sum += n; sum > MaxSize {
				return limitError(fmt.Sprintf("has aliases that make it larger than %d bytes", MaxSize))
			}
		}
		return nil
	}
	switch v := v.(type) {
	case string:
		return 1 + len(v), nil
	case []any:
		return sum, add(v...)
	case map[any]any:
		for key, value := range v {
			if err := add(key, value); err != nil {
				return 0, err
			}
		}
	}
	return sum, nil
}

// ToJSON converts the first document of data to JSON, and returns the library's own error where it
// is no YAML.
//
// Errors: ErrLimit.
func ToJSON(data []byte) ([]byte, error) {
	if len(data) > MaxSize {
		return nil, limitError(fmt.Sprintf("has %d bytes, more than the limit of %d", len(data), MaxSize))
	}
	release, err := reserve(data)
	defer release()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(data, '*') >= 0 { // aliases
		var tree any
		if yamlv2.Unmarshal(data, &tree) == nil {
			if _, err := expanded(tree, 0); err != nil {
				return nil, err
			}
		}
	}
	return yaml.YAMLToJSON(data)
}

// JSONValue returns what encoding/json makes of ToJSON's text, when it can be had without that: ok is
// false where data is no YAML, or has what JSON changes, such as long integers and keys that are no
// strings.
//
// Errors: ErrLimit.
func JSONValue(data []byte) (value any, ok bool, err error) {
	if len(data) > MaxSize {
		return nil, false, limitError(fmt.Sprintf("has %d bytes, more than the limit of %d", len(data), MaxSize))
	}
	release, err := reserve(data)
	defer release()
	if err != nil {
		return nil, false, err
	}
	if yamlv2.Unmarshal(data, &value) != nil {
		return nil, false, nil
	}
	if bytes.IndexByte(data, '*') >= 0 { // aliases
		if _, err := expanded(value, 0); err != nil {
			return nil, false, err
		}
	}
	value, ok = asJSON(value)
	return value, ok, nil
}

// Same reports whether the first documents of two texts have the same content.
func Same(a, b []byte) bool {
	x, ok := jsonValue(a)
	y, isToo := jsonValue(b)
	return ok && isToo && reflect.DeepEqual(x, y)
}

// jsonValue returns what Decode makes of data; not ok where that fails.
func jsonValue(data []byte) (value any, ok bool) {
	value, ok, err := JSONValue(data)
	if err != nil || ok {
		return value, ok
	}
	err = Decode(data, &value, false)
	return value, err == nil
}

// maxExact is the number below which a float64 holds each integer.
const maxExact = 1 << 53

// asJSON returns a value that YAML decoded as JSON decodes it, if it is the same.
func asJSON(value any) (_ any, ok bool) {
	switch v := value.(type) {
	case nil, bool:
		return v, true
	case string:
		return v, utf8.ValidString(v)
	case int:
		return float64(v), -maxExact < v && v < maxExact
	case float64:
		return v, math.Abs(v) < maxExact
	case []any:
		for i := range v {
			if v[i], ok = asJSON(v[i]); !ok {
				return nil, false
			}
		}
		return v, true
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			name, isText := key.(string)
			if m[name], ok = asJSON(item); !ok || !isText || !utf8.ValidString(name) {
				return nil, false
			}
		}
		return m, true
	}
	return nil, false
}

// HasMore reports whether text follows the first document of data, which Decode and ToJSON ignore.
func HasMore(data []byte) bool {
	start := bytes.TrimLeft(data, " \t\r\n")
	if !bytes.HasPrefix(data, []byte("...")) && !bytes.Contains(data, []byte("\n...")) && (len(start) == 0 || !bytes.ContainsRune([]byte("{[\"'"), rune(start[0]))) {
		return false // a document in block style ends with the text, or with "..."
	}
	d := yamlv2.NewDecoder(bytes.NewReader(data))
	var first, second any
	return d.Decode(&first) == nil && !errors.Is(d.Decode(&second), io.EOF)
}
