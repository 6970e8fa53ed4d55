package content

import (
	"iter"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/render/kbld"
)

// recognise examines a string that kbld does not see. The first case that handles the string
// counts.
func (w *walker) recognise(n *yaml.Node) {
	switch {
	case w.isProse():
	case w.class == schema:
		w.schemaDefault(n)
	case w.inBase64(n), w.address(n), w.untagged(n):
	case strings.Contains(n.Value, "image") && imageInString.MatchString(n.Value) && w.inString(n, nil):
	case w.embeddedImage(n):
	default:
		w.tokens(n)
	}
}

// isProse reports whether the value is text for people, or written by kbld.
func (w *walker) isProse() bool {
	switch key := w.key(0); key {
	case "apiVersion", carvel.KbldID, "kbld.k14s.io/images":
		return true
	default:
		return strings.HasSuffix(strings.ToLower(key), "description")
	}
}

// imageInString matches strings that can hold a document with an image key.
var imageInString = regexp.MustCompile(`(^|[\s{,"'])image["']?\s*:`)

// embeddedImage handles the value of an image key in a document that kbld does not see, if it is a
// reference.
func (w *walker) embeddedImage(n *yaml.Node) bool {
	if w.class != embedded || w.key(0) != "image" || isTemplated(n.Value) || new(kbld.Step).Resolve(n.Value).Outcome == kbld.Refused {
		return false
	}
	w.outside(n.Line, n.Value)
	return true
}

// tokens adds each reference in a string.
func (w *walker) tokens(n *yaml.Node) {
	in, line := *w, n.Line
	if n.Style&yaml.LiteralStyle == 0 && in.loose == nil {
		in.loose = w.file.from(w.offset+n.Line, len(n.Value))
	}
	multi := strings.Contains(n.Value, "\n")
	for l := range strings.Lines(n.Value) {
		line++
		if multi && isComment(l) {
			continue
		}
		in.line(line, w.context(), l)
	}
}

// line adds each reference in a line of the value of a key. Templates in it are filled in.
func (w *walker) line(line int, key, text string) {
	v := value{text: text}
	if isTemplated(text) {
		v = w.filled(text)
	}
	for _, ref := range tokensAfter(key, v.text) {
		if strings.Contains(text, ref) {
			w.outside(line, ref)
		} else {
			w.computedReference(line, ref)
		}
	}
}

// context returns the name by which programs know the value at w.path.
func (w *walker) context() string {
	if w.key(0) == "value" && w.key(2) == "env" {
		return w.label
	}
	return w.key(0)
}

// isComment reports whether a line of text is a comment in most languages.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") || strings.HasPrefix(line, ";")
}

// References returns the parts of text that have the format of an image reference and can hardly be
// anything else. It skips lines that are comments in most languages.
func References(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for l := range strings.Lines(text) {
			if isComment(l) {
				continue
			}
			for _, ref := range tokens(l) {
				if !yield(ref) {
					return
				}
			}
		}
	}
}

// tokens returns the parts of text that have the format of a reference and can hardly be anything
// else, with their offsets (docs/carvel.md, "Recognising a reference"). A part is a repository of
// two or more names with a tag or a sha256 digest, or a repository of one name with a digest, or with
// a tag after a name that ends in "image". No letter, digit or character of ./:@-% may touch it. Its time is linear in the text.
func tokens(text string) iter.Seq2[int, string] { return tokensAfter("", text) }

// tokensAfter returns the tokens of the value of a key.
func tokensAfter(key, text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for start := 0; start < len(text); {
			if !inToken[text[start]] {
				start++
				continue
			}
			end := start
			for end < len(text) && inToken[text[end]] {
				end++
			}
			token := strings.TrimRight(text[start:end], ".:-") // the end of a sentence
			if end-start <= maxReference && strings.Contains(token, ":") {
				ref, before := withoutScheme(token), text[:start]
				isImage := isReference(ref) && !isOther(ref, key, before) || isShort(ref, key, before)
				if isImage && !yield(start+len(token)-len(ref), ref) {
					return
				}
			}
			start = end
		}
	}
}

// inToken holds the characters of a reference, and those that may not touch one.
var inToken = func() (in [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@-%" + hole {
		in[c] = true
	}
	return in
}()

// withoutScheme removes a prefix by which some programs distinguish references from paths.
func withoutScheme(token string) string {
	for _, scheme := range []string{"docker://", "oci://", "docker-pullable://", "docker-image://"} {
		if ref, ok := strings.CutPrefix(token, scheme); ok {
			return ref
		}
	}
	return token
}

var (
	hostForm       = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	topLevelForm   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9.]+)(:[0-9]+)?$`) // a domain, or the end of an IPv4 address
	pathForm       = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestForm     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	apiVersionForm = regexp.MustCompile(`/v[0-9]+((alpha|beta)[0-9]+)?$`)
	letter         = regexp.MustCompile(`[a-z]`)
)

// isReference reports whether a token is a reference with a digest, or a reference with a tag and
// at least one slash.
func isReference(token string) bool {
	rest, digest, hasDigest := strings.Cut(token, "@")
	if hasDigest && !digestForm.MatchString(digest) {
		return false
	}
	repo := rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		if repo = rest[:i]; !tagForm.MatchString(rest[i+1:]) {
			return false
		}
	} else if !hasDigest {
		return false
	}
	if !hasDigest && apiVersionForm.MatchString(repo) { // group/v1:Kind
		return false
	}
	return isRepository(repo) || hasDigest && isRepository("library/"+repo)
}

var (
	// before a value, which a space, a colon or an equals sign separates
	imageWord = regexp.MustCompile(`(?i)image[a-z_-]*["']?\s*[=: ]\s*["']?$`)
	imageEnd  = regexp.MustCompile(`(?i)image["']?\s*[=:]\s*["']?$`)
	verbs     = words("create get list watch update patch delete deletecollection use bind escalate impersonate approve sign")
	modes     = words("ro rw z Z cached delegated consistent shared slave private rshared rslave rprivate nocopy")
	ports     = words("22 25 53 80 88 110 111 123 143 389 443 445 465 514 587 636 853 993 995") // of services, below 1024
	mimeTypes = words("application text audio video font model multipart message image")
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(list) {
		set[word] = true
	}
	return set
}

// isOther reports whether text that has the format of a reference without a registry is a service
// with its port, a resource with a verb, a path with a mode of its mount, or a MIME type. It is not
// when its key, or the text before, says that it is an image.
func isOther(ref, key, before string) bool {
	first, _, _ := strings.Cut(ref, "/")
	i := strings.LastIndexByte(ref, ':')
	if isHost(first) || strings.Contains(ref, "@") || i < 0 || isImageWord(key) || imageWord.MatchString(before[max(0, len(before)-maxWord):]) {
		return false
	}
	tag := ref[i+1:]
	isService := strings.Count(ref, "/") == 1 && first != "library"
	return verbs[tag] || modes[tag] || mimeTypes[first] || isService && isPort(tag)
}

var shortForm = regexp.MustCompile(`^[a-z0-9]*[a-z][a-z0-9]*([._-]+[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// isShort reports whether text is an image of Docker Hub by its short name and a tag, as the value of
// a key, a variable or a flag whose name says that it is an image.
func isShort(ref, key, before string) bool {
	_, tag, _ := strings.Cut(ref, ":")
	isNamed := before == "" && isImageKey(key) || imageEnd.MatchString(before[max(0, len(before)-maxWord):])
	return isNamed && shortForm.MatchString(ref) && !isPort(tag)
}

func isImageWord(key string) bool { return strings.Contains(strings.ToLower(key), "image") }

// maxWord is how much text before a reference is examined.
const maxWord = 64

// isPort reports whether a tag is likelier the port of a service than a version.
func isPort(tag string) bool {
	n, err := strconv.Atoi(tag)
	return err == nil && (n >= 1024 && n < 1<<16 || ports[tag]) && strconv.Itoa(n) == tag
}

// isRepository reports whether text is a repository with at least one slash. All of it except the
// host is in lower case.
func isRepository(text string) bool {
	first, rest, ok := strings.Cut(text, "/")
	if !ok {
		return false
	}
	if !isHost(first) {
		return pathForm.MatchString(text) && letter.MatchString(text)
	}
	return pathForm.MatchString(rest) && letter.MatchString(rest)
}

// isHost reports whether the first name of a reference is a registry's host.
func isHost(name string) bool {
	if name == "localhost" {
		return true
	}
	if !strings.ContainsAny(name, ".:") || !hostForm.MatchString(name) {
		return false
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return topLevelForm.MatchString(last)
}
