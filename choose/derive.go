package choose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// ErrRefused says that nothing can be chosen from a file.
var ErrRefused = errors.New("nothing can be chosen from it")

// Derive makes the bundle of what was chosen: the chosen Packages and their PackageMetadata byte for byte,
// and a lock of what they name, with labels that name the repository's digest and the choice. The same
// bundle and choice give the same digest, whichever release of Go built the program.
//
// Errors: ErrUnmatched where nothing was chosen; ErrRefused, with the name of the file; those of ctx.
func (r *Repository) Derive(ctx context.Context, c *Chosen) (*imgpkg.Image, error) {
	if len(c.Versions) == 0 {
		return nil, fmt.Errorf("the choice %w: no version of a package of the repository", ErrUnmatched)
	}
	documents := r.chosenDocuments(c)
	files, err := r.cut(documents)
	if err != nil {
		return nil, err
	}
	lock, err := r.lock(documents)
	if err != nil {
		return nil, err
	}
	if files[carvel.LockFile], err = lock.Encode(); err != nil {
		return nil, err
	}
	made, err := imgpkg.BuildStored(files, map[string]string{
		imgpkg.Label: "true", imgpkg.LabelDerivedFrom: r.Digest.String(), imgpkg.LabelChoice: c.Choice.String(),
	})
	if err != nil {
		return nil, err
	}
	if err := r.confirm(ctx, made, documents); err != nil {
		return nil, err
	}
	return made, nil
}

// chosenDocuments returns the Packages that were chosen and the PackageMetadata of their packages.
func (r *Repository) chosenDocuments(c *Chosen) []carvel.PackageDocument {
	names, versions := map[string]bool{}, map[key]bool{}
	for _, v := range c.Versions {
		names[v.Name], versions[keyOf(v.Package)] = true, true
	}
	var list []carvel.PackageDocument
	for _, d := range r.documents {
		if d.Package != nil && versions[keyOf(*d.Package)] || d.Metadata != nil && names[d.Metadata.Name] {
			list = append(list, d)
		}
	}
	return list
}

// cut returns the files below packages/ with the chosen documents only.
func (r *Repository) cut(chosen []carvel.PackageDocument) (map[string][]byte, error) {
	lines := map[string][]int{} // of the chosen documents, by file
	for _, d := range chosen {
		data, known := r.files[d.File]
		switch {
		case !known:
			return nil, refused(d, "a template computes it")
		case lines[d.File] == nil && carvel.HasDirectives(data):
			return nil, refused(d, "the file has directives of ytt, and is not cut apart")
		}
		lines[d.File] = append(lines[d.File], d.Line)
	}
	files := map[string][]byte{}
	for file, lines := range lines {
		files[file] = cutFile(r.files[file], lines)
	}
	return files, nil
}

// refused says why a document cannot be chosen.
func refused(d carvel.PackageDocument, why string) error {
	return fmt.Errorf("%s: %w: %s %s (line %d): %s", text.Line(d.File), ErrRefused, d.Kind, text.Quote(d.Name), d.Line, why)
}

// cutFile returns the documents of a file that have the lines, each with the comments and directives
// before it. A file of which every document was chosen stays as it is.
func cutFile(data []byte, lines []int) []byte {
	begins := []int{0} // of the lines
	for l := range bytes.Lines(data) {
		begins = append(begins, begins[len(begins)-1]+len(l))
	}
	var out []byte
	all, before, start := true, true, 0 // before: the document before this one is chosen
	for doc := range yamlnode.Documents(data) {
		first, end := begins[doc.Line-1], begins[doc.Line-1]+len(doc.Text)
		above := data[start:first] // comments and directives
		top, bottom := doc.Line-bytes.Count(above, []byte("\n")), doc.Line+bytes.Count(bytes.TrimRight(doc.Text, "\r\n"), []byte("\n"))
		start = end
		if !slices.ContainsFunc(lines, func(line int) bool { return top <= line && line <= bottom }) {
			all, before = false, false
			continue
		}
		switch { // "..." was at the end of what is left out
		case len(out) == 0 || before:
		case !yamlnode.IsMarker(doc.Text):
			out = append(out, "---\n"...)
		case hasDirective(above) && !isEnded(out):
			out = append(out, "...\n"...)
		}
		out, before = append(append(out, above...), doc.Text...), true
	}
	if all {
		return data
	}
	return out
}

// isEnded reports whether the last line of text ends a document.
func isEnded(text []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(text, "\r\n"), []byte("\n..."))
}

// hasDirective reports whether the text before a document has a directive of YAML.
func hasDirective(above []byte) bool {
	return bytes.HasPrefix(above, []byte("%")) || bytes.Contains(above, []byte("\n%"))
}

// anyDigest matches a digest in a string.
var anyDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// lock returns the entries of the lock that a string of the documents names by id or by digest.
func (r *Repository) lock(documents []carvel.PackageDocument) (*carvel.ImagesLock, error) {
	named := map[string]bool{}
	for _, d := range documents {
		n, err := d.Node()
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", text.Quote(d.File), d.Line, err)
		}
		eachString(n, func(s string) {
			named[s] = true
			for _, digest := range anyDigest.FindAllString(s, -1) {
				named[digest] = true
			}
		})
	}
	lock := &carvel.ImagesLock{}
	for _, e := range r.Lock.Images {
		if named[e.Annotations[carvel.KbldID]] || named[e.Image.DigestStr()] {
			lock.Images = append(lock.Images, e)
		}
	}
	return lock, nil
}

// eachString calls visit for the scalars of a document. Targets of aliases are in the document, too.
func eachString(n *yaml.Node, visit func(string)) {
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		visit(n.Value)
	}
	for _, child := range n.Content {
		eachString(child, visit)
	}
}

// confirm reads the derived bundle with the same renderer. It must have the chosen documents, in their
// order and with their content.
func (r *Repository) confirm(ctx context.Context, made *imgpkg.Image, chosen []carvel.PackageDocument) error {
	again, err := Read(ctx, made.Descriptor.Digest, bytes.NewReader(made.Layer), r.renderer)
	if err != nil {
		return fmt.Errorf("read the derived bundle: %w", err)
	}
	for i, was := range chosen {
		if i == len(again.documents) || again.documents[i].File != was.File || !sameContent(again.documents[i], was) {
			return refused(was, "without the others of the repository, ytt makes another one of it")
		}
	}
	if len(again.documents) > len(chosen) {
		return refused(again.documents[len(chosen)], "without the others of the repository, ytt makes one of it that was not chosen")
	}
	known := map[string]bool{}
	for _, f := range r.Findings {
		known[f.File+"\n"+f.Message] = true
	}
	for _, f := range again.Findings {
		if f.Level == report.Install && !known[f.File+"\n"+f.Message] {
			return fmt.Errorf("%s: %w: %s", text.Line(f.File), ErrRefused, strings.Join(f.Lines(), " "))
		}
	}
	return nil
}

// sameContent reports whether two documents say the same.
func sameContent(a, b carvel.PackageDocument) bool {
	return bytes.Equal(a.Text, b.Text) || yamlnode.Same(a.Text, b.Text)
}
