package packagingapi

import (
	"encoding/json"
	"fmt"
	"time"
)

// shape is a type of kapp-controller's API. known returns the fields of a value that the type has, and
// whether the value is written at all. A value of another type is an error that names it by its path.
type shape interface {
	known(v any, path string) (any, bool, error)
}

// scalar is a type of JSON, which is not written when it is zero.
type scalar string

const (
	text    scalar = "a string"
	boolean scalar = "a boolean"
	number  scalar = "a number"
)

func (s scalar) known(v any, path string) (any, bool, error) {
	if v == nil {
		return map[scalar]any{text: "", boolean: false, number: json.Number("0")}[s], false, nil
	}
	zero := false
	switch v := v.(type) {
	case string:
		zero = v == ""
	case bool:
		zero = !v
	case json.Number:
		zero = v == "0"
	case float64:
		zero = v == 0
	}
	return v, !zero, check(s, v, path)
}

// check returns an error for a value of another type than wanted.
func check(wanted scalar, v any, path string) error {
	is := scalar("a map")
	switch v.(type) {
	case string:
		is = text
	case bool:
		is = boolean
	case json.Number, float64:
		is = number
	case []any:
		is = "a list"
	}
	if is != wanted {
		return fmt.Errorf("%s is %s, not %s", path, is, wanted)
	}
	return nil
}

// pointer is a scalar that is written unless it is missing, and required one that always is.
type pointer struct{ scalar }
type required struct{ scalar }

func (p pointer) known(v any, path string) (any, bool, error) {
	out, _, err := p.scalar.known(v, path)
	return out, v != nil, err
}

func (r required) known(v any, path string) (any, bool, error) {
	out, _, err := r.scalar.known(v, path)
	return out, true, err
}

// moment is a time: it is always written.
type moment struct{}

func (moment) known(v any, path string) (any, bool, error) {
	if v == nil {
		return nil, true, nil
	}
	if err := check(text, v, path); err != nil {
		return nil, false, err
	}
	t, err := time.Parse(time.RFC3339, v.(string))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return t.UTC().Format(time.RFC3339), true, nil
}

// period is a duration.
type period struct{}

func (period) known(v any, path string) (any, bool, error) {
	if v == nil {
		return nil, false, nil
	}
	if err := check(text, v, path); err != nil {
		return nil, false, err
	}
	d, err := time.ParseDuration(v.(string))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return d.String(), true, nil
}

// raw is any value: it is always written.
type raw struct{}

func (raw) known(v any, _ string) (any, bool, error) { return v, true, nil }

// list is a list, and table a map with any keys. Empty ones are not written.
type list struct{ of shape }
type table struct{ of shape }

func (l list) known(v any, path string) (any, bool, error) {
	if v == nil {
		return nil, false, nil
	}
	items, ok := v.([]any)
	if !ok {
		return nil, false, check("a list", v, path)
	}
	out := make([]any, len(items))
	for i, item := range items {
		var err error
		if out[i], _, err = knownItem(l.of, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return nil, false, err
		}
	}
	return out, len(out) > 0, nil
}

func (t table) known(v any, path string) (any, bool, error) {
	if v == nil {
		return nil, false, nil
	}
	items, ok := v.(map[string]any)
	if !ok {
		return nil, false, check("a map", v, path)
	}
	out := map[string]any{}
	for key, item := range items {
		var err error
		if out[key], _, err = knownItem(t.of, item, path+"."+key); err != nil {
			return nil, false, err
		}
	}
	return out, len(out) > 0, nil
}

// knownItem is known for an item, which is never left out.
func knownItem(of shape, v any, path string) (any, bool, error) {
	if o, isObject := of.(object); isObject {
		return structure(o).known(v, path)
	}
	return of.known(v, path)
}

// object is a type with fields, which may be missing. A structure never is.
type object map[string]shape
type structure map[string]shape

func (o object) known(v any, path string) (any, bool, error) {
	if v == nil {
		return nil, false, nil
	}
	return structure(o).known(v, path)
}

func (s structure) known(v any, path string) (any, bool, error) {
	fields, ok := v.(map[string]any)
	if !ok && v != nil {
		return nil, false, check("a map", v, path)
	}
	out := map[string]any{}
	for key, of := range s {
		at := key
		if path != "" {
			at = path + "." + key
		}
		value, written, err := of.known(fields[key], at)
		if err != nil {
			return nil, false, err
		}
		if written {
			out[key] = value
		}
	}
	return out, true, nil
}

// nullable is an object that is written as null when it is missing.
type nullable struct{ object }

func (n nullable) known(v any, path string) (any, bool, error) {
	out, _, err := n.object.known(v, path)
	return out, true, err
}
