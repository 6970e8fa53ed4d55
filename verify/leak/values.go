package leak

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/report"
)

// parts are the values of a map that make a reference, as far as they are there.
type parts struct {
	registry, repository, tag, digest string
	line                              int      // of the repository
	keys                              []string // of the map
	full                              bool     // the repository's key says that it is one, not just a name
}

// compose looks for siblings in a map that make a reference together (points 13 and 17), and returns the
// keys that are accounted for.
func (w *walker) compose(n *yaml.Node) map[string]bool {
	if w.class != values && !(w.class != schema && isImageKey(w.key(0))) {
		return nil
	}
	groups, order := map[string]*parts{}, []string(nil)
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := resolved(n.Content[i+1])
		prefix, part := partOf(n.Content[i].Value)
		if part == "" || value.Kind != yaml.ScalarNode || value.Tag == "!!null" || isTemplated(value.Value) {
			continue
		}
		p := groups[prefix]
		if p == nil {
			p = &parts{}
			groups[prefix], order = p, append(order, prefix)
		}
		p.set(part, value, n.Content[i].Value)
	}
	taken := map[string]bool{}
	for _, prefix := range order {
		if p := groups[prefix]; w.composed(p) {
			for _, key := range p.keys {
				taken[key] = true
			}
		}
	}
	return taken
}

// isImageKey reports whether a key holds the parts of a reference.
func isImageKey(key string) bool { return strings.HasSuffix(strings.ToLower(key), "image") }

// partOf tells which part of a reference a key holds, and what of the key is not about that.
func partOf(key string) (prefix, part string) {
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
	for _, p := range []struct{ suffix, part string }{
		{"registry", "registry"}, {"repository", "repository"}, {"repo", "repository"}, {"imagename", "repository"}, {"name", "name"},
		{"image", "name"}, {"tag", "tag"}, {"imageversion", "tag"}, {"version", "version"}, {"digest", "digest"},
	} {
		if prefix, ok := strings.CutSuffix(plain, p.suffix); ok {
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

// composed looks at the reference that parts make. It is false when they make none.
func (w *walker) composed(p *parts) bool {
	if p.repository == "" || p.tag == "" && p.digest == "" && w.in.chart == nil || strings.ContainsAny(p.repository, ":@") {
		return false
	}
	if !p.full && p.registry == "" && !isImageKey(w.key(0)) && !hasImageKey(p.keys) {
		return false // "name" and "version" of anything
	}
	repo := p.repository
	if p.registry != "" {
		repo = strings.TrimSuffix(p.registry, "/") + "/" + repo
	}
	candidates := p.candidates(repo)
	if chart := w.in.chart; len(candidates) == 0 && chart != nil && chart.appVersion != "" {
		candidates = []string{repo + ":" + chart.appVersion, repo + ":v" + chart.appVersion}
	}
	if len(candidates) == 0 || !isReference(candidates[0]) && !isReference("library/"+candidates[0]) {
		return false
	}
	at := w.place(p.line, p.repository)
	for _, ref := range candidates {
		if w.rewritten(at, ref) {
			if !inLibrary(at.file) {
				w.composedOf[p.signature()] = true
			}
			return true
		}
	}
	ref := candidates[0]
	w.add(at, ref, -1)
	level, known := report.Warning, "the lock does not have it"
	if other := w.repos[repo]; w.in.kbld == nil || !w.in.kbld.hasLock {
		known = "no kbld step with the lock rewrites it"
	} else if other != "" {
		level, known = report.Pull, fmt.Sprintf("the lock has %q of that repository", shorten(other))
	}
	say := func() {
		w.note(at, codeComposed, level, ref, "values that stand together name an image: "+known,
			"set the values at the cluster, or let them name an image of the lock")
	}
	switch {
	case !inLibrary(at.file):
		say()
	case len(w.defaults) == maxFindings:
		w.left, w.hidden = w.left+1, w.hidden+1
	default:
		w.defaults = append(w.defaults, libraryDefault{p.signature(), say})
	}
	return true
}

// libraryDefault is a finding about the values of a ytt library, which are set by who uses the library.
type libraryDefault struct {
	signature string // of the keys
	say       func()
}

// inLibrary reports whether a file is of a private ytt library.
func inLibrary(file string) bool { return strings.Contains("/"+file, "/_ytt_lib/") }

// signature names the keys of the parts.
func (p *parts) signature() string {
	keys := slices.Clone(p.keys)
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// libraryDefaults reports the values of libraries that no file outside sets to an image of the lock.
func (s *scan) libraryDefaults() {
	for _, d := range s.defaults {
		if !s.composedOf[d.signature] {
			d.say()
		}
	}
}

// candidates returns the references that a template may make of the parts, the likeliest first.
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
		if strings.Contains(strings.ToLower(key), "image") {
			return true
		}
	}
	return false
}

// templated looks at an image that a template completes: what stands before its first part that is filled in
// must begin some id of the lock (point 13). What the template has in quotes may be an image as well.
func (w *walker) templated(line int, value string) {
	in := *w
	in.class, in.values = code, true
	for _, ref := range tokens(value) {
		in.outside(line, ref)
	}
	end := strings.Index(value, "{{")
	if i := strings.Index(value, "(@"); i >= 0 && (end < 0 || i < end) {
		end = i
	}
	start := value[:max(end, 0)]
	repo := strings.TrimRight(start, ":@")
	if repo == start || !isRepository(repo) {
		return // a template decides about all of it
	}
	if _, ok := w.repos[repo]; ok && w.in.kbld != nil && w.in.kbld.hasLock {
		return
	}
	w.note(w.place(line, value), codeComposed, report.Warning, value, "a template names an image of a repository that the lock does not have",
		"look at what the template makes of it, and add that to the lock")
}
