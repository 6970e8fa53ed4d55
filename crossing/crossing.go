// Package crossing reads the file that describes a crossing: what is carried, what is known and
// accepted, and where it goes.
//
// The types are the format. Their tags hold the help of each key, and the flag with the same
// meaning; Schema, Keys and the decoder read them. So a key is written once: a field here, with its
// tags.
//
// Reading is strict: a key that is unknown or comes twice, and a value of the wrong type, are errors
// with a line. A file has no logins, for it goes into git: what looks like one is an error of its
// own, which does not repeat it.
package crossing

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"relocate/choose"
	"relocate/internal/yamlnode"
	"relocate/oci"
	"relocate/verify/cluster"
)

// What a file says of itself.
const (
	APIVersion = "relocate/v1alpha1"
	Kind       = "Crossing"
)

// ErrCredentials says that a file has a login.
var ErrCredentials = errors.New("this file must not contain logins: they do not belong in git")

// ErrQuery says that a URL in a file has a query, which is where a link has its signature.
var ErrQuery = errors.New("a URL in a crossing file must have no query: a signed link does not belong in git")

// Crossing is what a file says. Paths are relative to its folder, and joined with it.
type Crossing struct {
	APIVersion string `json:"apiVersion" enum:"relocate/v1alpha1" need:"yes" help:"version of the format"`
	Kind       string `json:"kind" enum:"Crossing" need:"yes" help:"kind of the document"`

	Roots []Root `json:"roots" help:"what is carried, with everything that it needs"`

	Choose       Choice     `json:"choose" help:"which packages are carried from each bundle that has no choice of its own (default: all)"`
	Platforms    []Platform `json:"platforms" flag:"platform" help:"carry only these platforms of multi-platform images: OS/ARCH[/VARIANT]"`
	PlatformMode string     `json:"platformMode" flag:"platform-mode" enum:"sparse,derive" help:"leave indexes as they are, or make new ones"`

	Have  []Path     `json:"have" flag:"have" help:"leave out layers that these inventories list"`
	Bases []Location `json:"bases" flag:"base" help:"leave out layers that these archives have, in files or at https:// URLs"`

	HeaderFile Path `json:"archiveHeaderFile" flag:"from-tar-header-file" help:"send the headers in this file to the server of an archive that is read from a URL"`

	NonDistributable bool       `json:"includeNonDistributableLayers" flag:"include-non-distributable-layers" help:"also copy layers whose licence may forbid it"`
	Attachments      string     `json:"attachments" flag:"attachments" enum:"auto,require,none" help:"how signatures, attestations and SBOMs are copied"`
	SignaturesFrom   Repository `json:"signaturesFrom" flag:"signatures-from" help:"another repository in which to look for cosign's tags"`

	Strict bool    `json:"strict" flag:"strict" help:"fail if a reference points outside"`
	Allow  []Place `json:"allow" flag:"allow" help:"accept references to these hosts: HOST[/PATH]"`
	Accept Path    `json:"accept" flag:"accept" help:"accept the findings in this earlier report (JSON)"`

	Render  Render  `json:"render" help:"how the templates of packages are run"`
	Cluster Cluster `json:"cluster" help:"the cluster that packages are chosen and rendered for"`

	Destination Destination `json:"destination" help:"the registry to fill, and the PackageRepository for the cluster"`

	lines map[string]int // of keys and items that the file has, by their place: "destination.tag"
}

// Root is what a walk begins with: one of a bundle, an image, plain manifests and a lock.
type Root struct {
	Bundle    Reference       `json:"bundle" flag:"bundle" help:"a package repository, a package or another bundle"`
	Image     Reference       `json:"image" flag:"image" help:"an image or index that is not a bundle"`
	Manifests map[string]Path `json:"manifests" flag:"manifests" help:"plain Kubernetes manifests, by the name under which they are carried: a file or a folder"`

	Lock Path `json:"lock" flag:"lock" help:"what a BundleLock or ImagesLock lists; it must then be the only root"`

	Choose *Choice `json:"choose" help:"which packages of this bundle are carried, instead of the top-level choose: its keys are the same"`
}

// Choice says which packages are carried, as choose.Choice.
type Choice struct {
	Packages       []Pattern `json:"packages" flag:"package" help:"these packages: NAME or NAME@CONSTRAINT, with globs in NAME"`
	Exclude        []Glob    `json:"exclude" flag:"exclude-package" help:"leave out these packages: NAME, with globs"`
	Latest         int       `json:"latest" flag:"latest" help:"only this many versions of each package, the newest ones"`
	Prereleases    bool      `json:"prereleases" flag:"prerelease" help:"also prereleases"`
	Installed      Path      `json:"installed" flag:"installed" help:"also what a cluster uses: the output of kubectl get packageinstalls -A -o yaml"`
	NoDependencies bool      `json:"noDependencies" flag:"no-dependencies" help:"leave out what chosen packages install"`
}

// Render says how the templates of packages are run.
type Render struct {
	Packages bool            `json:"packages" flag:"render" help:"run the templates of packages when a repository is copied or planned; rehearse and verify always do"`
	Values   map[string]Path `json:"values" flag:"values-file" help:"files with data values for packages, by NAME or NAME/VERSION"`
}

// Cluster describes the cluster that the packages are for.
type Cluster struct {
	Kubernetes     string `json:"kubernetesVersion" flag:"kubernetes-version" help:"version of Kubernetes"`
	KappController string `json:"kappControllerVersion" flag:"kapp-controller-version" help:"version of kapp-controller"`
}

// Destination is the registry to fill, and describes the PackageRepository.
type Destination struct {
	Repository Repository `json:"repository" flag:"to-repo" help:"registry and path, without a tag"`
	Tag        string     `json:"tag" flag:"tag" help:"tag of the root, instead of its tag at the source"`
	NoTag      bool       `json:"noTag" flag:"no-tag" help:"do not tag the roots"`
	RepoTags   bool       `json:"repoBasedTags" flag:"repo-based-tags" help:"name the tags of images after their source repositories"`
	Name       string     `json:"name" flag:"name" help:"name of the PackageRepository"`
	Namespace  string     `json:"namespace" flag:"namespace" help:"namespace of the PackageRepository"`
	SecretRef  string     `json:"secretRef" flag:"secret-ref" help:"name of the Secret with which the PackageRepository logs in to the registry"`
}

// Texts with a syntax.
type (
	Reference  string // of an image: a registry, a path, and a tag or a digest
	Repository string // a registry and a path
	Place      string // HOST[/PATH]
	Path       string // of a file
	Location   string // of a file, or an https:// URL without a query
	Platform   string // OS/ARCH[/VARIANT]
	Pattern    string // NAME[@CONSTRAINT], with globs in NAME
	Glob       string // NAME, with globs
)

func (r Reference) check() error {
	_, err := oci.ParseReference(string(r))
	return err
}

func (r Repository) check() error {
	_, err := oci.ParseRepository(string(r))
	return err
}

func (p Platform) check() error {
	_, err := oci.ParsePlatform(string(p))
	return err
}

func (p Pattern) check() error {
	_, err := choose.ParsePattern(string(p))
	return err
}

func (g Glob) check() error { return choose.CheckName(string(g)) }

func (p Place) check() error {
	_, err := cluster.ParsePlace(string(p))
	return err
}

// Error is what is wrong with a file.
type Error struct {
	File  string
	Line  int    // 0 when unknown
	Field string // place in the document: "roots[0].bundle"; empty for the document
	Err   error
}

func (e *Error) Error() string {
	at, field := e.File, ""
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Field != "" {
		field = e.Field + ": "
	}
	return fmt.Sprintf("%s: %s%v", at, field, e.Err)
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Read reads the file at path.
//
// Errors: *Error, *fs.PathError.
func Read(path string) (*Crossing, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// readFile returns the content of a file, cut where it is too large for YAML.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, yamlnode.MaxSize+1))
}

// Parse reads the text of the file at path.
//
// Errors: *Error.
func Parse(path string, data []byte) (*Crossing, error) {
	c := &Crossing{lines: map[string]int{}}
	if err := parse(path, data, c, c.lines, c.checkRoots); err != nil {
		return nil, err
	}
	return c, nil
}

// parse decodes the text of the file at path into the struct that c points to, and checks it. lines get the
// lines of all places.
func parse(path string, data []byte, c any, lines map[string]int, check func() error) error {
	d := &decoder{dir: filepath.Dir(path), lines: lines}
	err := d.document(data, c)
	if err == nil {
		err = check()
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		e.File = path
	}
	return err
}

// Line returns the line of what the file has at a place: "destination.tag"; 0 where it has nothing.
func (c *Crossing) Line(at string) int { return c.lines[at] }

// checkRoots refuses what a type cannot say of the roots.
func (c *Crossing) checkRoots() error {
	seen := map[string]string{}
	for i, root := range c.Roots {
		at := fmt.Sprintf("roots[%d]", i)
		wrong := func(format string, args ...any) error {
			return &Error{Line: c.lines[at], Field: at, Err: fmt.Errorf(format, args...)}
		}
		if n := c.kindsAt(at); n != 1 {
			return wrong("must have one of %s, not %d", choice(rootKinds), n)
		}
		if root.Choose != nil && root.Bundle == "" {
			return wrong("only a bundle has packages to choose from")
		}
		if root.Manifests != nil {
			continue
		}
		if root.Lock != "" {
			if len(c.Roots) > 1 {
				return wrong("a lock must be the only root")
			}
			continue
		}
		ref, err := oci.ParseReference(string(root.Bundle + root.Image))
		if err != nil {
			return wrong("%w", err)
		}
		if first := seen[ref.Name()]; first != "" {
			return wrong("%s is already %s", ref, first)
		}
		seen[ref.Name()] = at
	}
	return nil
}

// rootKinds are the keys of a root that say what it is.
var rootKinds = []string{"bundle", "image", "manifests", "lock"}

// kindsAt counts the rootKinds that the root at a place has.
func (c *Crossing) kindsAt(at string) (n int) {
	for _, kind := range rootKinds {
		if _, given := c.lines[at+"."+kind]; given {
			n++
		}
	}
	return n
}

// hasLogin reports whether a value has a user and a password, as URLs do.
func hasLogin(s string) bool {
	_, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		rest = s
	}
	host, _, hasPath := strings.Cut(rest, "/")
	user, _, hasUser := strings.Cut(host, "@")
	return (isURL || hasPath) && hasUser && (isURL || strings.Contains(user, ":"))
}
