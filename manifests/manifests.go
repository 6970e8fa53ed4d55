// Package manifests carries plain Kubernetes YAML: what a cluster needs before it has kapp-controller.
//
// New reads the files of a set, and finds their images as kbld does. Set.Bundle makes the imgpkg bundle that carries
// them: the files below config/, byte for byte, and a lock with the digests of the images. At gives the same files for
// a repository that has all these images.
package manifests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/internal/imgpkg"
	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/render/kbld"
)

// Repository is where the bundles of sets are before they are relocated. No registry has that name: RFC 2606,
// section 2.
var Repository, _ = name.NewRepository("relocate.invalid/manifests")

// folder is the folder of the files in a bundle.
const folder = "config/"

// MaxFiles is the limit on the files of a set together, in bytes.
const MaxFiles = 32 << 20

// Set is Kubernetes YAML that is carried as one root.
type Set struct {
	Name   string
	Images []Image // of the files, in their order, each value once

	files []kbld.Input // sorted by path
}

// Image is an image of a set.
type Image struct {
	Value     string         // as the file has it
	Reference name.Reference // what it means: with a tag or a digest
	File      string         // in the bundle
	Line      int
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// CheckName refuses what cannot be the name of a set: it becomes a tag, and the name of a file.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || strings.HasPrefix(name, "sha256-") {
		return fmt.Errorf("%s cannot name manifests: use up to 63 lower-case letters, digits, dots and dashes", text.Quote(name))
	}
	return nil
}

// New reads the files of a set, by their paths. Files that kbld does not read are left out.
//
// Errors say the file and the line of what cannot be carried.
func New(name string, files map[string][]byte) (*Set, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	s := &Set{Name: name}
	size := 0
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if !isManifest(p) {
			continue
		}
		s.files = append(s.files, kbld.Input{Path: folder + p, Data: files[p]})
		if size += len(files[p]); size > MaxFiles {
			return nil, fmt.Errorf("the manifests have more than %d bytes", MaxFiles)
		}
	}
	objects := 0
	for _, f := range s.files {
		n, err := check(f.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shown(f), err)
		}
		objects += n
	}
	if objects == 0 {
		return nil, errors.New("has no Kubernetes object in a .yaml, .yml or .json file")
	}
	return s, s.find()
}

// isManifest reports whether kbld reads a file of a folder.
func isManifest(p string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(p))
}

// shown returns the path of a file as the operator knows it.
func shown(f kbld.Input) string { return text.Line(strings.TrimPrefix(f.Path, folder)) }

// check refuses a file that has anything but Kubernetes objects, and returns their number.
func check(data []byte) (objects int, err error) {
	if err := yamlnode.Check(data); err != nil {
		return 0, err
	}
	if carvel.HasDirectives(data) {
		return 0, errors.New("is a template of ytt; render it first, and give the result")
	}
	for doc := range yamlnode.Documents(data) {
		n, err := doc.Tree()
		line := doc.Line
		if at := (*yamlnode.Error)(nil); errors.As(err, &at) {
			line = at.Line
		}
		if err == nil {
			line, err = checkMaps(n)
		}
		if err != nil {
			return 0, fmt.Errorf("line %d: %w%s", line, err, advice(err, doc.Text))
		}
		if n == nil {
			continue
		}
		apiVersion, kind := yamlnode.Text(n, "apiVersion"), yamlnode.Text(n, "kind")
		if strings.HasPrefix(apiVersion, "kustomize.config.k8s.io/") {
			return 0, fmt.Errorf("line %d: is a Kustomization; render it first, with kubectl kustomize, and give the result", n.Line)
		}
		if apiVersion == "" || kind == "" {
			return 0, fmt.Errorf("line %d: is not a Kubernetes object: it has no apiVersion or no kind", n.Line)
		}
		switch {
		case kbld.IsLock(apiVersion, kind):
			continue
		case !kbld.IsConfig(apiVersion, kind):
			objects++
			continue
		}
		if err := checkConfig(n); err != nil {
			return 0, err
		}
	}
	return objects, nil
}

// checkConfig refuses a kbld Config that asks for more than digests of images.
func checkConfig(n *yaml.Node) error {
	if at := yamlnode.Get(n, "sources"); at != nil {
		return fmt.Errorf("line %d: sources of kbld are not supported, because no image is built; name a built one by newImage in overrides", at.Line)
	}
	for _, o := range yamlnode.Items(yamlnode.Get(n, "overrides")) {
		for _, key := range []string{"tagSelection", "platformSelection"} {
			if at := yamlnode.Get(o, key); at != nil {
				return fmt.Errorf("line %d: an override of kbld with %s is not supported; write the tag into newImage", at.Line, key)
			}
		}
	}
	return nil
}

// advice says what to do about a document that is not YAML, where that is known.
func advice(err error, document []byte) string {
	switch {
	case bytes.Contains(document, []byte("{{")):
		return "; a template of Helm must be rendered first"
	case bytes.Contains(document, []byte(`\/`)) && strings.Contains(err.Error(), "unknown escape character"):
		return `; kbld does not read \/, which JSON allows: write /`
	}
	return ""
}

// checkMaps refuses keys that are no text, as no object has them, and returns their line.
func checkMaps(n *yaml.Node) (line int, err error) {
	if n == nil {
		return 0, nil
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Kind != yaml.ScalarNode {
			return child.Line, errors.New("has a key that is not a string")
		}
		if line, err := checkMaps(child); err != nil {
			return line, err
		}
	}
	return 0, nil
}

// find finds the images, and refuses files in which they could not be replaced later.
func (s *Set) find() error {
	found, err := kbld.Find(s.files)
	if err != nil {
		return trimmed(err)
	}
	seen, resolved := map[string]bool{}, map[string]name.Digest{}
	for _, f := range found {
		if seen[f.Value] {
			continue
		}
		seen[f.Value] = true
		i := Image{Value: f.Value, File: s.files[f.Input].Path, Line: f.Line}
		switch f.Result.Outcome {
		case kbld.Refused, kbld.Built:
			err = fmt.Errorf("%s; for a value that is not an image, add a kbld Config with a searchRule and updateStrategy none", text.Line(f.Result.Reason))
		default:
			i.Reference, err = oci.ParseReference(f.Result.Image)
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %s: %w", shown(s.files[f.Input]), f.Line, text.Quote(f.Value), err)
		}
		s.Images = append(s.Images, i)
		resolved[f.Value] = Repository.Digest("sha256:" + strings.Repeat("0", 64))
	}
	_, err = emit(s.files, lock(resolved), func(image string) string { return image })
	return trimmed(err)
}

// trimmedError is an error that names files as the operator knows them.
type trimmedError struct{ error }

func (e trimmedError) Error() string { return strings.ReplaceAll(e.error.Error(), folder, "") }

func (e trimmedError) Unwrap() error { return e.error }

func trimmed(err error) error {
	if err == nil {
		return nil
	}
	return trimmedError{err}
}

// lock returns a lock by which kbld makes digests of values.
func lock(resolved map[string]name.Digest) *carvel.ImagesLock {
	l := &carvel.ImagesLock{}
	for _, value := range slices.Sorted(maps.Keys(resolved)) {
		l.Images = append(l.Images, carvel.LockEntry{Image: resolved[value], Annotations: map[string]string{carvel.KbldID: value}})
	}
	return l
}

// Bundle makes the bundle of a set. digests has that of each of its images, by the name of the image's Reference. The same
// set and digests give the same bundle, whichever release of Go built the program.
func (s *Set) Bundle(digests map[string]v1.Hash) (*imgpkg.Image, error) {
	resolved := map[string]name.Digest{}
	for _, i := range s.Images {
		d, ok := digests[i.Reference.Name()]
		if !ok {
			return nil, fmt.Errorf("%s: line %d: the digest of %s is not known", i.File, i.Line, text.Quote(i.Value))
		}
		resolved[i.Value] = i.Reference.Context().Digest(d.String())
	}
	files := map[string][]byte{}
	for _, f := range s.files {
		files[f.Path] = f.Data
	}
	var err error
	if files[carvel.LockFile], err = lock(resolved).Encode(); err != nil {
		return nil, err
	}
	return imgpkg.BuildStored(files, map[string]string{imgpkg.Label: "true", imgpkg.LabelManifests: s.Name})
}

// Digest returns a digest of the files.
func (s *Set) Digest() v1.Hash {
	h := sha256.New()
	for _, f := range s.files {
		fmt.Fprintf(h, "%q %d\n%s", f.Path, len(f.Data), f.Data)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// Root returns the reference of the set's bundle.
func (s *Set) Root() name.Tag { return Repository.Tag(s.Name) }

// Wants reports whether At needs a file of a bundle.
func Wants(p string) bool {
	return p == carvel.LockFile || strings.HasPrefix(p, folder) && isManifest(p)
}

// Document is an object of manifests.
type Document struct {
	APIVersion, Kind, Namespace, Name string

	Text []byte // with the comments before it; it begins with "---", or follows a document that ends with "..."
}

// At returns the documents in the files of a bundle of a set, in which each image is one of a repository that has all of
// them. All else is byte for byte what New was given, but for kbld's configuration, which is no object.
func At(files map[string][]byte, repo name.Repository) ([]Document, error) {
	l, err := carvel.ParseImagesLock(files[carvel.LockFile])
	if err != nil {
		return nil, err
	}
	var inputs []kbld.Input
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if p != carvel.LockFile {
			inputs = append(inputs, kbld.Input{Path: p, Data: files[p]})
		}
	}
	// kbld takes "localhost/a" for a path of Docker Hub, and refuses a path of one letter: it sees neither.
	text, err := emit(inputs, l.At(Repository), func(image string) string {
		if digest, isLocked := strings.CutPrefix(image, Repository.Name()); isLocked {
			return repo.Name() + digest
		}
		return image
	})
	if err != nil {
		return nil, err
	}
	return cut(text)
}

// cut cuts a text into its documents, which are all of it.
func cut(text []byte) (list []Document, err error) {
	starts := []int{0} // of lines
	for line := range bytes.Lines(text) {
		starts = append(starts, starts[len(starts)-1]+len(line))
	}
	start := 0
	for doc := range yamlnode.Documents(text) {
		n, err := doc.Node()
		if err != nil {
			return nil, err
		}
		end := starts[doc.Line-1] + len(doc.Text)
		list = append(list, Document{
			APIVersion: yamlnode.Text(n, "apiVersion"), Kind: yamlnode.Text(n, "kind"),
			Namespace: yamlnode.Text(n, "metadata", "namespace"), Name: yamlnode.Text(n, "metadata", "name"), Text: text[start:end],
		})
		start = end
	}
	if len(list) > 0 {
		last := &list[len(list)-1]
		last.Text = text[start-len(last.Text):]
	}
	return list, nil
}

// emit returns the texts of inputs with the images of a lock, as rename calls them, as one text.
func emit(inputs []kbld.Input, l *carvel.ImagesLock, rename func(image string) string) ([]byte, error) {
	encoded, err := l.Encode()
	if err != nil {
		return nil, err
	}
	texts, err := kbld.InPlace(append([]kbld.Input{{Path: carvel.LockFile, Data: encoded}}, inputs...), rename)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, t := range texts[1:] {
		if len(bytes.TrimSpace(t)) == 0 {
			continue
		}
		if !bytes.HasPrefix(t, []byte("---")) {
			out = append(out, "---\n"...)
		}
		if out = append(out, t...); !bytes.HasSuffix(out, []byte("\n")) {
			out = append(out, '\n')
		}
	}
	return out, nil
}
