package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
)

// The APIs of PackageRepositories (docs/carvel.md, "API kinds"). The old one is that of
// kapp-controller before v0.19.0-alpha.10; its PackageRepositories have no namespace.
const (
	PackagingAPI    = "packaging.carvel.dev/v1alpha1"
	OldPackagingAPI = "install.package.carvel.dev/v1alpha1"
)

// PackageRepository is the object that makes kapp-controller serve a package repository.
type PackageRepository struct {
	API       string      // empty means PackagingAPI
	Name      string      // a DNS-1123 subdomain
	Namespace string      // empty means carvel.GlobalNamespace
	Image     name.Digest // at the private registry
	Version   string      // the tag at the origin, which kctrl shows; may be empty
	SecretRef string      // a Secret of the namespace with the registry's credentials; may be empty

	Derived *bundle.Derivation // of the bundle; nil unless relocate derived it from another
	Older   []bundle.Root      // of the same source repository, which the object does not serve; in the graph's order
}

// PackageRepositories returns the objects for the roots that are package repositories, relocated to
// repo, in their order. Each is named after the last element of its source repository, so that it
// keeps its name from one relocation to the next. If as is not empty, it is the name of the only
// one.
//
// Several versions of one source repository have one object, that of the newest by the roots' tags.
// It is an error if the tags do not say which is newest, and if two objects have one name.
func PackageRepositories(g *bundle.Graph, repo name.Repository, as, namespace, secretRef string) ([]PackageRepository, error) {
	var list []PackageRepository
	named := map[string]bundle.Root{}
	for _, versions := range repositoryRoots(g) {
		root, older, err := newest(versions)
		if err != nil {
			return nil, err
		}
		source := root.Reference.Context().Digest(root.Digest.String())
		p, err := NewPackageRepository(source, repo, root.Tag(), as, namespace, secretRef)
		if err != nil {
			return nil, err
		}
		other, taken := named[p.Name]
		if taken && other.Digest == root.Digest {
			continue // one bundle with two names
		}
		if taken {
			return nil, fmt.Errorf("PackageRepositories of %s and %s: both would be named %s", other.Reference.Name(), root.Reference.Name(), p.Name)
		}
		named[p.Name], p.Older = root, older
		p.Derived = g.Nodes[slices.IndexFunc(g.Nodes, func(n *bundle.Node) bool { return n.Descriptor.Digest == root.Digest })].Derived
		list = append(list, p)
	}
	return list, nil
}

// repositoryRoots returns the roots that are package repositories, by source repository.
func repositoryRoots(g *bundle.Graph) [][]bundle.Root {
	isRepository := map[v1.Hash]bool{}
	for _, n := range g.Nodes {
		isRepository[n.Descriptor.Digest] = n.HasPackages
	}
	var list [][]bundle.Root
	at := map[string]int{}
	for _, root := range g.Roots {
		if !isRepository[root.Digest] {
			continue
		}
		source := root.Reference.Context().Name()
		i, ok := at[source]
		if !ok {
			i, at[source] = len(list), len(list)
			list = append(list, nil)
		}
		list[i] = append(list[i], root)
	}
	return list
}

// newest returns the newest of the roots, which have one source repository, and those with other
// digests. Where several roots have the digest, it is the first of them with the highest tag.
func newest(roots []bundle.Root) (root bundle.Root, older []bundle.Root, err error) {
	root = roots[0]
	for _, r := range roots[1:] {
		if compareTags(r.Tag(), root.Tag()) > 0 {
			root = r
		}
	}
	for _, r := range roots {
		if r.Digest == root.Digest {
			continue
		}
		if highest := highestTag(roots, r.Digest); !isVersion(highest) || !isVersion(root.Tag()) || compareTags(highest, root.Tag()) == 0 {
			return root, nil, fmt.Errorf("PackageRepository of %s: the tags of %s and %s do not say which is newer, as 1.0.0 and 1.1.0 would",
				root.Reference.Context().Name(), r.Reference.Name(), root.Reference.Name())
		}
		older = append(older, r)
	}
	return root, older, nil
}

// highestTag returns the highest tag of the roots with the digest d; empty for none.
func highestTag(roots []bundle.Root, d v1.Hash) string {
	highest := ""
	for _, r := range roots {
		if r.Digest == d && compareTags(r.Tag(), highest) > 0 {
			highest = r.Tag()
		}
	}
	return highest
}

// compareTags orders tags as versions.
func compareTags(a, b string) int { return carvel.CompareVersions(versionOf(a), versionOf(b)) }

func isVersion(tag string) bool { return carvel.IsVersion(versionOf(tag)) }

// versionOf returns the version for which a tag stands: tags have "_" in place of "+".
func versionOf(tag string) string { return strings.Replace(tag, "_", "+", 1) }

// NewPackageRepository returns the object for the bundle source, relocated to repo.
func NewPackageRepository(source name.Digest, repo name.Repository, version, as, namespace, secretRef string) (PackageRepository, error) {
	p := PackageRepository{
		Name: cmp.Or(as, DNSName(path.Base(source.Context().RepositoryStr()))), Namespace: namespace,
		Image: repo.Digest(source.DigestStr()), Version: version, SecretRef: secretRef,
	}
	err := checkName("PackageRepository of "+source.Name(), p.Name)
	if namespace != "" {
		err = errors.Join(err, checkNamespace(namespace))
	}
	if secretRef != "" && !isDNSName(secretRef) {
		err = errors.Join(err, fmt.Errorf("the Secret %q is not a DNS-1123 subdomain", secretRef))
	}
	return p, err
}

// Note says which version the object serves, if it is the newest of several; else it is empty.
func (p PackageRepository) Note() string {
	if len(p.Older) == 0 {
		return ""
	}
	var older []string
	for _, root := range p.Older {
		older = append(older, root.Reference.Name())
	}
	return fmt.Sprintf("the PackageRepository %s serves %s:%s, the newest by its tag; no PackageRepository serves %s",
		p.Name, p.Older[0].Reference.Context().Name(), p.Version, strings.Join(older, ", "))
}

func isDNSName(s string) bool { return s != "" && s == DNSName(s) }

// DNSName makes a DNS-1123 subdomain of s, which Kubernetes accepts as a name. The result may be
// empty.
func DNSName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
	var labels []string
	for _, label := range strings.Split(s, ".") {
		if label = strings.Trim(label, "-"); label != "" {
			labels = append(labels, label)
		}
	}
	s = strings.Join(labels, ".")
	return strings.Trim(s[:min(len(s), 253)], "-.")
}

// repositorySpec is the spec of a PackageRepository.
type repositorySpec struct {
	Fetch struct {
		ImgpkgBundle struct {
			Image     string   `json:"image"`
			SecretRef *nameRef `json:"secretRef,omitempty"`
		} `json:"imgpkgBundle"`
	} `json:"fetch"`
}

// Annotations of a PackageRepository.
const (
	// versionAnnotation is what "kctrl package repository list" shows as the version.
	versionAnnotation = "kctrl.carvel.dev/repository-version"

	derivedFromAnnotation = "relocate/derived-from" // digest of the bundle that the repository's was derived from
	choiceAnnotation      = "relocate/choice"       // of packages, by which it was
	platformsAnnotation   = "relocate/platforms"    // for which it was
)

// changeGroup is that of PackageRepositories in one deployment of kapp, which then installs packages when it has
// waited for the repositories.
const changeGroup = "relocate/packagerepository"

// object returns the object for the cluster.
func (p PackageRepository) object() object {
	o := object{APIVersion: cmp.Or(p.API, PackagingAPI), Kind: "PackageRepository"}
	o.Metadata = metadata{Name: p.Name, Namespace: cmp.Or(p.Namespace, carvel.GlobalNamespace)}
	if o.APIVersion == OldPackagingAPI {
		o.Metadata.Namespace = ""
	}
	o.Metadata.Annotations = p.annotations()
	var spec repositorySpec
	spec.Fetch.ImgpkgBundle.Image = p.Image.Name()
	if p.SecretRef != "" {
		spec.Fetch.ImgpkgBundle.SecretRef = &nameRef{p.SecretRef}
	}
	o.Spec = spec
	return o
}

func (p PackageRepository) annotations() map[string]string {
	all := map[string]string{}
	if p.Version != "" {
		all[versionAnnotation] = p.Version
	}
	if p.Derived != nil {
		all[derivedFromAnnotation] = p.Derived.From.String()
		if p.Derived.Choice != "" {
			all[choiceAnnotation] = p.Derived.Choice
		}
		if p.Derived.Platforms != "" {
			all[platformsAnnotation] = p.Derived.Platforms
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// Encode returns the YAML of the list, one document each, for kubectl apply.
func Encode(list []PackageRepository) ([]byte, error) {
	var objects []object
	for _, p := range list {
		objects = append(objects, p.object())
	}
	return encodeObjects(objects...)
}
