package content

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// parts are the values of a map that compose a reference. Any of them may be missing.
type parts struct {
	registry, repository, tag, digest string
	line                              int      // of the repository
	keys                              []string // of the map
	full                              bool     // the repository's key says that it is a repository, not just a name
}

// codeComposed is the code for values that compose a reference missing from the lock.
const codeComposed report.Code = "composed"

// compose finds siblings in a map that compose a reference. It returns the keys that it handled.
func (w *walker) compose(n *yaml.Node) map[string]bool {
	if w.class == embedded || w.class != values && !(w.class != schema && isImageKey(w.key(0))) {
		return nil // pairs handles the former
	}
	taken := map[string]bool{}
	if image := yamlnode.Field(n, "image"); w.taken[image] { // of a hub
		return nil
	}
	for _, p := range partsOf(n) {
		if w.composed(p) {
			for _, key := range p.keys {
				taken[key] = true
			}
		}
	}
	return taken
}

// partsOf returns the parts of references in a map, grouped by the common prefix of their keys, in
// the order of the keys.
func partsOf(n *yaml.Node) []*parts {
	var list []*parts
	groups := map[string]*parts{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := yamlnode.Resolved(n.Content[i+1])
		prefix, part := partOf(n.Content[i].Value)
		if part == "" || value.Kind != yaml.ScalarNode || value.Tag == "!!null" || isTemplated(value.Value) {
			continue
		}
		p := groups[prefix]
		if p == nil {
			p = &parts{}
			groups[prefix], list = p, append(list, p)
		}
		p.set(part, value, n.Content[i].Value)
	}
	return list
}

// isImageKey reports whether a key holds the parts of a reference.
func isImageKey(key string) bool { return strings.HasSuffix(strings.ToLower(key), "image") }

// plain removes what separates the words of a key.
var plain = strings.NewReplacer("_", "", "-", "")

// partOf returns the part of a reference that a key holds, and the rest of the key as prefix.
func partOf(key string) (prefix, part string) {
	word := strings.ToLower(plain.Replace(key))
	for _, p := range []struct{ suffix, part string }{
		{"registry", "registry"}, {"repository", "repository"}, {"repo", "repository"}, {"imagename", "repository"}, {"name", "name"},
		{"image", "name"}, {"img", "name"}, {"tag", "tag"}, {"imageversion", "tag"}, {"version", "version"}, {"digest", "digest"},
	} {
		if prefix, ok := strings.CutSuffix(word, p.suffix); ok {
			return strings.TrimSuffix(prefix, "image"), p.part
		}
	}
	return "", ""
}

func (p *parts) set(part string, value *yaml.Node, key string) {
	p.keys = append(p.keys, key)
	switch part {
	case "registry":
		p.registry = value.Value
	case "repository", "name":
		if p.full && part == "name" || value.Value == "" {
			return
		}
		p.repository, p.line, p.full = value.Value, value.Line, part == "repository"
	case "tag":
		p.tag = value.Value
	case "version":
		if p.tag == "" {
			p.tag = value.Value
		}
	case "digest":
		p.digest = value.Value
	}
}

// composed checks the reference that parts compose. It returns false when they do not compose one.
func (w *walker) composed(p *parts) bool {
	repo, candidates := w.candidates(p)
	if len(candidates) == 0 || !isReference(candidates[0]) && !isReference("library/"+candidates[0]) {
		return false
	}
	at := w.place(p.line, p.repository)
	for _, ref := range candidates {
		if w.templateRewrites(at, ref) {
			if !inLibrary(at.file) {
				w.scan.composed[p.signature()] = true
			}
			return true
		}
	}
	ref := candidates[0]
	w.scan.add(at, ref)
	level, known := report.Warning, "the lock does not have it"
	if other := w.scan.lock.Similar(repo); !w.file.Kbld.HasLock() {
		known = "no kbld step with the lock rewrites it"
	} else if other != "" {
		level, known = report.Pull, fmt.Sprintf("the lock has %q of that repository", shorten(other))
	}
	note := func() {
		w.note(at, codeComposed, level, ref, "adjacent values name an image: "+known,
			"set the values at the cluster, or let them name an image of the lock")
	}
	if inLibrary(at.file) && len(w.scan.defaults) < maxDefaults {
		w.scan.defaults = append(w.scan.defaults, libraryDefault{p.signature(), note})
	} else {
		w.scan.possible(ref, note)
	}
	return true
}

// candidates returns the repository that the parts name, and the references that a template may
// compose from it, the likeliest first. It returns none when the parts are about something else.
func (w *walker) candidates(p *parts) (repo string, refs []string) {
	switch chart := w.file.chart; {
	case p.repository == "", p.tag == "" && p.digest == "" && chart == nil, strings.Contains(p.repository, "@"), strings.Contains(path.Base(p.repository), ":"):
		return "", nil
	case !p.full && p.registry == "" && !isImageKey(w.key(0)) && !hasImageKey(p.keys): // "name" and "version" can be of anything
		return "", nil
	}
	if repo = p.repository; p.registry != "" {
		repo = strings.TrimSuffix(p.registry, "/") + "/" + repo
	}
	refs = p.candidates(repo)
	if chart := w.file.chart; len(refs) == 0 && chart != nil && chart.appVersion != "" {
		refs = []string{repo + ":" + chart.appVersion, repo + ":v" + chart.appVersion}
	}
	return repo, refs
}

// maxDefaults is the limit on values of libraries that are compared with values set outside.
const maxDefaults = 10_000

// libraryDefault is a finding about values of a ytt library. The user of the library sets these
// values.
type libraryDefault struct {
	signature string // of the keys
	note      func()
}

// inLibrary reports whether a file is part of a private ytt library.
func inLibrary(file string) bool { return strings.Contains("/"+file, "/_ytt_lib/") }

// signature joins the keys of the parts.
func (p *parts) signature() string {
	keys := slices.Clone(p.keys)
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// libraryDefaults reports the values of libraries that no file outside sets to an image of the
// lock.
func (s *scan) libraryDefaults() {
	for _, d := range s.defaults {
		if !s.composed[d.signature] {
			d.note()
		}
	}
}

// candidates returns the references that a template may compose from the parts, the likeliest
// first.
func (p *parts) candidates(repo string) []string {
	digest := p.digest
	if digest != "" && !strings.Contains(digest, ":") {
		digest = "sha256:" + digest
	}
	switch {
	case digest != "" && p.tag != "":
		return []string{repo + "@" + digest, repo + ":" + p.tag + "@" + digest, repo + ":" + p.tag}
	case digest != "":
		return []string{repo + "@" + digest}
	case p.tag != "":
		return []string{repo + ":" + p.tag}
	}
	return nil
}

func hasImageKey(keys []string) bool {
	for _, key := range keys {
		if key = strings.ToLower(key); strings.Contains(key, "image") || strings.Contains(key, "img") {
			return true
		}
	}
	return false
}
