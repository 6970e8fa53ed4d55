package crossing

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// decoder decodes one file.
type decoder struct {
	dir   string
	lines map[string]int
}

// document decodes the only document of a file into the struct that c points to.
func (d *decoder) document(data []byte, c any) error {
	if err := yamlnode.Check(data); err != nil {
		return &Error{Err: err}
	}
	if line := yamlnode.HiddenBreak(string(data)); line > 0 {
		return &Error{Line: line, Err: errors.New("has a line break that most editors do not show")}
	}
	docs := slices.Collect(yamlnode.Documents(data))
	if len(docs) != 1 {
		return &Error{Err: fmt.Errorf("must have one document, not %d", len(docs))}
	}
	root, err := docs[0].Tree()
	if at := (*yamlnode.Error)(nil); errors.As(err, &at) {
		return &Error{Line: at.Line, Err: at.Err}
	}
	if err != nil {
		return &Error{Line: docs[0].Line, Err: err}
	}
	return d.value(root, "", key{}, reflect.ValueOf(c).Elem())
}

// wrong is an error at a node.
func wrong(n *yaml.Node, field, format string, args ...any) error {
	e := &Error{Field: field, Err: fmt.Errorf(format, args...)}
	if n != nil {
		e.Line = n.Line
	}
	return e
}

// value decodes a node into v, which is the value of a key at a place.
func (d *decoder) value(n *yaml.Node, at string, k key, v reflect.Value) error {
	kind := kindOf(v.Type())
	if found := kindOfNode(n); found != kind.yaml {
		return wrong(n, at, "must be %s, not %s%s", kind, found.name(), quoteHint(kind, n))
	}
	if isKey := k.name != ""; isKey && (kind.yaml == aList || kind.yaml == aMapping) && len(n.Content) == 0 {
		return wrong(n, at, "%s", isEmpty)
	}
	d.lines[at] = n.Line
	switch kind.yaml {
	case aMapping:
		return d.mapping(n, at, v)
	case aList:
		for i, item := range n.Content {
			v.Grow(1)
			v.SetLen(i + 1)
			if err := d.value(item, fmt.Sprintf("%s[%d]", at, i), key{enum: k.enum}, v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case aBool:
		v.SetBool(n.Value == "true")
		return nil
	case aNumber:
		i, err := strconv.Atoi(n.Value)
		if err != nil || i < 1 {
			return wrong(n, at, "must be a number from 1, not %s", text.Quote(n.Value))
		}
		v.SetInt(int64(i))
		return nil
	}
	return d.text(n, at, k, v)
}

// mapping decodes the keys of a mapping.
func (d *decoder) mapping(n *yaml.Node, at string, v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Kind() == reflect.Map {
		return d.named(n, at, v)
	}
	keys := keysOf(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, node := n.Content[i].Value, n.Content[i+1]
		f := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		if f < 0 {
			return unknown(n.Content[i], at, name, keys)
		}
		if err := d.value(node, strings.TrimPrefix(at+"."+name, "."), keys[f], v.Field(f)); err != nil {
			return err
		}
	}
	for i, k := range keys {
		if k.needed && v.Field(i).IsZero() {
			return wrong(n, at, "%s is missing: write %s: %s", k.name, k.name, k.enum[0])
		}
	}
	return nil
}

// named decodes a mapping whose keys are names.
func (d *decoder) named(n *yaml.Node, at string, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, node := n.Content[i].Value, n.Content[i+1]
		switch isName := nameForm.MatchString(name); {
		case !isName && strings.HasSuffix(at, ".manifests"):
			return wrong(n.Content[i], at, "%s cannot name manifests", text.Quote(name))
		case !isName:
			return wrong(n.Content[i], at, "%s is not NAME or NAME/VERSION of a package", text.Quote(name))
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(node, fmt.Sprintf("%s[%s]", at, name), key{}, item); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name), item)
	}
	return nil
}

// nameForm matches NAME and NAME/VERSION of a package, and NAME of manifests: the keys of mappings that have no
// keys of their own.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._+-]+)?$`)

// login matches keys of a login.
var login = regexp.MustCompile(`(?i)user|pass|token|login|credential|secret|auth|keychain|privatekey|clientkey|clientcert`)

// unknown is the error of a key that does not exist.
func unknown(n *yaml.Node, at, name string, keys []key) error {
	var names []string
	for _, k := range keys {
		if k.isMeantBy(name) {
			return wrong(n, at, "unknown key %s; write %s", text.Quote(name), k.name)
		}
		names = append(names, k.name)
	}
	if login.MatchString(name) {
		return wrong(n, at, "%s: %w", text.Quote(name), ErrCredentials)
	}
	return wrong(n, at, "unknown key %s; the keys are %s", text.Quote(name), strings.Join(names, ", "))
}

// isMeantBy reports whether an unknown key is the name of k's flag, or k in another spelling or
// shortened.
func (k key) isMeantBy(unknown string) bool {
	plain := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(unknown))
	return k.flag == strings.TrimLeft(unknown, "-") || len(plain) > 3 && strings.HasPrefix(strings.ToLower(k.name), plain)
}

// isEmpty is the error of an empty value: of a list it could mean everything, or nothing.
const isEmpty = "is empty: leave the key out, or give it a value"

// text decodes a text.
func (d *decoder) text(n *yaml.Node, at string, k key, v reflect.Value) error {
	s := n.Value
	switch {
	case s == "":
		return wrong(n, at, "%s", isEmpty)
	case hasLogin(s):
		return wrong(n, at, "has a user or a password before its host: %w", ErrCredentials)
	case text.Printable(s) != s || strings.ContainsAny(s, "\n\t"):
		return wrong(n, at, "%s has characters that are not shown", text.Quote(s))
	case hasQuery(v, s):
		return wrong(n, at, "%w", ErrQuery)
	case k.enum != nil && !slices.Contains(k.enum, s):
		return wrong(n, at, "must be %s, not %s", choice(k.enum), text.Quote(s))
	}
	if isPath(v, s) && !filepath.IsAbs(s) {
		s = filepath.Join(d.dir, filepath.FromSlash(s))
	}
	v.SetString(s)
	if c, ok := v.Interface().(interface{ check() error }); ok {
		if err := c.check(); err != nil {
			return wrong(n, at, "%s: %w", text.Quote(s), err)
		}
	}
	return nil
}

// isPath reports whether a value is the path of a file.
func isPath(v reflect.Value, s string) bool {
	switch v.Interface().(type) {
	case Path:
		return true
	case Location:
		return !isURL(s)
	}
	return false
}

// hasQuery reports whether a value is a URL with a query, which may be secret.
func hasQuery(v reflect.Value, s string) bool {
	_, isLocation := v.Interface().(Location)
	return isLocation && isURL(s) && strings.Contains(s, "?")
}

func isURL(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") }

// yamlKind is a kind of values in YAML.
type yamlKind string

const (
	aText    yamlKind = "text"
	aBool    yamlKind = "true or false"
	aNumber  yamlKind = "a number"
	aList    yamlKind = "a list"
	aMapping yamlKind = "a mapping"
	nothing  yamlKind = "nothing"
)

func (k yamlKind) name() string {
	if k == "" {
		return "a value of another type"
	}
	return string(k)
}

// kindOfNode returns the kind of a node; empty for one that no key takes, such as a date.
func kindOfNode(n *yaml.Node) yamlKind {
	switch {
	case n == nil:
		return nothing
	case n.Kind == yaml.SequenceNode:
		return aList
	case n.Kind == yaml.MappingNode:
		return aMapping
	}
	return map[string]yamlKind{"!!str": aText, "!!bool": aBool, "!!int": aNumber, "!!float": aNumber, "!!null": nothing}[n.ShortTag()]
}

// goKind is a kind of values of a Go type.
type goKind struct {
	yaml yamlKind
	item reflect.Type // of a list
}

// kindOf returns the kind of a type of this package.
func kindOf(t reflect.Type) goKind {
	switch t.Kind() {
	case reflect.String:
		return goKind{yaml: aText}
	case reflect.Bool:
		return goKind{yaml: aBool}
	case reflect.Int:
		return goKind{yaml: aNumber}
	case reflect.Slice:
		return goKind{aList, t.Elem()}
	}
	return goKind{yaml: aMapping}
}

func (k goKind) String() string {
	if k.yaml != aList {
		return string(k.yaml)
	}
	return strings.Replace("a list of "+string(kindOf(k.item).yaml), "a mapping", "mappings", 1)
}

// quoteHint says to write a number, or what looks like one, in quotes.
func quoteHint(want goKind, n *yaml.Node) string {
	if want.yaml == aText && n != nil && n.Kind == yaml.ScalarNode && n.Value != "" && n.ShortTag() != "!!null" {
		return fmt.Sprintf("; write it in quotes: %q", text.Clip(n.Value, 100))
	}
	return ""
}

// choice writes the values that a key may have.
func choice(values []string) string {
	last := len(values) - 1
	if last == 0 {
		return values[0]
	}
	return strings.Join(values[:last], ", ") + " or " + values[last]
}
