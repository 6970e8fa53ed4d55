package rewrite

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"

	"relocate/bundle"
)

// GlobalNamespace is kapp-controller's default namespace of packages that are offered in every other.
const GlobalNamespace = "kapp-controller-packaging-global"

// PackageRepository is the object that makes kapp-controller serve a package repository
// (packaging.carvel.dev/v1alpha1).
type PackageRepository struct {
	Name      string      // a DNS-1123 subdomain
	Namespace string      // empty means GlobalNamespace
	Image     name.Digest // at the private registry
	Version   string      // the tag at the origin, which kctrl shows; may be empty
	SecretRef string      // a Secret of the namespace with the registry's credentials; may be empty
}

// PackageRepositories returns the objects for the roots that are package repositories, relocated to
// repo, in their order. Each is named after the last element of its source repository, so that it
// keeps its name from one relocation to the next; as, for the only one, says otherwise when it is not
// empty. It is an error when two have one name.
func PackageRepositories(g *bundle.Graph, repo name.Repository, as, namespace, secretRef string) ([]PackageRepository, error) {
	var list []PackageRepository
	named := map[string]bundle.Root{}
	isRepository := map[v1.Hash]bool{}
	for _, n := range g.Nodes {
		isRepository[n.Descriptor.Digest] = n.HasPackages
	}
	for _, root := range g.Roots {
		if !isRepository[root.Digest] {
			continue
		}
		source := root.Reference.Context().Digest(root.Digest.String())
		p, err := NewPackageRepository(source, repo, root.Tag(), as, namespace, secretRef)
		if err != nil {
			return nil, err
		}
		other, taken := named[p.Name]
		if taken && other.Digest == root.Digest {
			continue // one bundle, named twice
		}
		if taken {
			return nil, fmt.Errorf("PackageRepositories of %s and %s: both would be named %s", other.Reference.Name(), root.Reference.Name(), p.Name)
		}
		named[p.Name] = root
		list = append(list, p)
	}
	return list, nil
}

// NewPackageRepository returns the object for the bundle source, relocated to repo.
func NewPackageRepository(source name.Digest, repo name.Repository, version, as, namespace, secretRef string) (PackageRepository, error) {
	p := PackageRepository{
		Name: cmp.Or(as, DNSName(path.Base(source.Context().RepositoryStr()))), Namespace: namespace,
		Image: repo.Digest(source.DigestStr()), Version: version, SecretRef: secretRef,
	}
	switch {
	case !isDNSName(p.Name):
		return p, fmt.Errorf("PackageRepository of %s: the name %q is no DNS-1123 subdomain", source, p.Name)
	case namespace != "" && (!isDNSName(namespace) || strings.Contains(namespace, ".") || len(namespace) > 63):
		return p, fmt.Errorf("PackageRepository of %s: the namespace %q is no DNS-1123 label", source, namespace)
	case secretRef != "" && !isDNSName(secretRef):
		return p, fmt.Errorf("PackageRepository of %s: the Secret %q is no DNS-1123 subdomain", source, secretRef)
	}
	return p, nil
}

func isDNSName(s string) bool { return s != "" && s == DNSName(s) }

// DNSName makes a DNS-1123 subdomain of s, as Kubernetes wants for names; the result may be empty.
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

type packageRepositoryYAML struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       struct {
		Fetch struct {
			ImgpkgBundle imgpkgBundle `json:"imgpkgBundle"`
		} `json:"fetch"`
	} `json:"spec"`
}

type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type imgpkgBundle struct {
	Image     string     `json:"image"`
	SecretRef *secretRef `json:"secretRef,omitempty"`
}

type secretRef struct {
	Name string `json:"name"`
}

// versionAnnotation is what "kctrl package repository list" shows as the version.
const versionAnnotation = "kctrl.carvel.dev/repository-version"

// Encode returns the YAML of the list, one document each, for kubectl apply.
func Encode(list []PackageRepository) ([]byte, error) {
	var out bytes.Buffer
	for _, p := range list {
		y := packageRepositoryYAML{APIVersion: "packaging.carvel.dev/v1alpha1", Kind: "PackageRepository"}
		y.Metadata = metadata{Name: p.Name, Namespace: p.Namespace}
		if p.Namespace == "" {
			y.Metadata.Namespace = GlobalNamespace
		}
		if p.Version != "" {
			y.Metadata.Annotations = map[string]string{versionAnnotation: p.Version}
		}
		y.Spec.Fetch.ImgpkgBundle.Image = p.Image.Name()
		if p.SecretRef != "" {
			y.Spec.Fetch.ImgpkgBundle.SecretRef = &secretRef{p.SecretRef}
		}
		b, err := yaml.Marshal(y)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(b)
	}
	return out.Bytes(), nil
}
