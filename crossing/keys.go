package crossing

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// key is a key of a mapping, from the tags of the field that it is decoded into.
type key struct {
	name, flag, help string
	enum             []string
	needed           bool
}

// keysOf returns the keys of a struct: those of its exported fields, which come first.
func keysOf(t reflect.Type) (keys []key) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			break
		}
		k := key{name: f.Tag.Get("json"), flag: f.Tag.Get("flag"), help: f.Tag.Get("help"), needed: f.Tag.Get("need") == "yes"}
		if enum := f.Tag.Get("enum"); enum != "" {
			k.enum = strings.Split(enum, ",")
		}
		keys = append(keys, k)
	}
	return keys
}

// Setting is a key that a file has, and what it means on the command line.
type Setting struct {
	Key    string // its place: "destination.tag"
	Line   int
	Flag   string // without dashes
	Values []string
}

// Settings are the keys of the file that mean the same as a flag, in the order of the format. Roots
// are among them: one for each.
func (c *Crossing) Settings() []Setting {
	return slices.Collect(c.settings("", reflect.ValueOf(c).Elem()))
}

// settings are those at and below a place.
func (c *Crossing) settings(at string, v reflect.Value) iter.Seq[Setting] {
	return func(yield func(Setting) bool) {
		for i, k := range keysOf(v.Type()) {
			place := strings.TrimPrefix(at+"."+k.name, ".")
			line, given := c.lines[place]
			if !given {
				continue
			}
			for s := range c.setting(place, line, k, v.Field(i)) {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// setting is that of a key, or those below it.
func (c *Crossing) setting(at string, line int, k key, v reflect.Value) iter.Seq[Setting] {
	return func(yield func(Setting) bool) {
		switch {
		case k.flag != "":
			yield(Setting{at, line, k.flag, valuesOf(v)})
		case v.Kind() == reflect.Struct:
			c.settings(at, v)(yield)
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				for s := range c.settings(fmt.Sprintf("%s[%d]", at, i), v.Index(i)) {
					if !yield(s) {
						return
					}
				}
			}
		}
	}
}

// valuesOf writes a value as a flag takes it: a list, or a mapping as KEY=VALUE, as several.
func valuesOf(v reflect.Value) (values []string) {
	switch v := v.Interface().(type) {
	case map[string]Path:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			values = append(values, name+"="+string(v[name]))
		}
		return values
	}
	if v.Kind() != reflect.Slice {
		return []string{fmt.Sprint(v)}
	}
	for i := range v.Len() {
		values = append(values, fmt.Sprint(v.Index(i)))
	}
	return values
}

// Key is a key of the format, for people.
type Key struct {
	Name   string   // its place: "destination.tag", or "roots[].bundle"
	Type   string   // text, list of text, true or false, …
	Values []string // that it may have; nil for any
	Flag   string   // with the same meaning, without dashes; empty for none
	Help   string
}

// Keys returns the format, key by key.
func Keys() []Key { return keysBelow("", reflect.TypeFor[Crossing]()) }

// SitesKeys returns the format of a file of sites, key by key.
func SitesKeys() []Key { return keysBelow("", reflect.TypeFor[Sites]()) }

func keysBelow(at string, t reflect.Type) (list []Key) {
	for i, k := range keysOf(t) {
		f := t.Field(i).Type
		name := at + k.name
		list = append(list, Key{name, typeName(f), k.enum, k.flag, k.help})
		if f.Kind() == reflect.Slice {
			f, name = f.Elem(), name+"[]"
		}
		if f.Kind() == reflect.Struct { // a pointer has the keys of a part that comes later
			list = append(list, keysBelow(name+".", f)...)
		}
	}
	return list
}

// typeName names a type for people.
func typeName(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Map:
		return "mapping of text"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "list of mappings"
	case t.Kind() == reflect.Slice:
		return "list of text"
	case t == reflect.TypeFor[Path]():
		return "path"
	}
	return strings.TrimPrefix(string(kindOf(t).yaml), "a ")
}
