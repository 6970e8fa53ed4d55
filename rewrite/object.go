package rewrite

import (
	"bytes"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// Object is an object of the target cluster, for kubectl apply. Which fields beside the first three are
// set depends on the kind.
type Object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   Metadata          `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	StringData map[string]string `json:"stringData,omitempty"`
	RoleRef    *RoleRef          `json:"roleRef,omitempty"`
	Subjects   []Subject         `json:"subjects,omitempty"`
	Spec       any               `json:"spec,omitempty"`

	Skeleton bool `json:"-"` // made to be filled in by hand
}

// Metadata names an Object.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"` // empty when the kind has none
	Annotations map[string]string `json:"annotations,omitempty"`
}

// RoleRef is what a ClusterRoleBinding grants.
type RoleRef struct {
	APIGroup string `json:"apiGroup"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

// Subject is whom a ClusterRoleBinding grants it to.
type Subject struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type nameRef struct {
	Name string `json:"name"`
}

// File returns the name of the object's file in a folder: another for each kind, namespace and name,
// and always the same for one.
func (o Object) File() string {
	parts := []string{strings.ToLower(o.Kind)}
	if o.Metadata.Namespace != "" {
		parts = append(parts, o.Metadata.Namespace) // which has no dot
	}
	return strings.Join(append(parts, o.Metadata.Name, "yml"), ".")
}

// EncodeObjects returns the YAML of the objects, one document each, for kubectl apply.
func EncodeObjects(list ...Object) ([]byte, error) {
	var out bytes.Buffer
	for _, o := range list {
		b, err := yaml.Marshal(o)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(b)
	}
	return out.Bytes(), nil
}

// Kustomization returns the kustomization.yaml of the objects, in their order, which kustomize keeps only if it is asked
// to (sortOptions, since kustomize 5.0).
func Kustomization(list []Object) ([]byte, error) {
	resources := []string{}
	for _, o := range list {
		resources = append(resources, o.File())
	}
	return yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources,
		"sortOptions": map[string]string{"order": "fifo"},
	})
}

// Namespace returns a Namespace.
func Namespace(name string) (Object, error) {
	return Object{APIVersion: "v1", Kind: "Namespace", Metadata: Metadata{Name: name}}, checkNamespace(name)
}

func checkName(what, name string) error {
	if !isDNSName(name) {
		return fmt.Errorf("%s: the name %q is no DNS-1123 subdomain", what, name)
	}
	return nil
}

func checkNamespace(name string) error {
	if !isDNSName(name) || strings.Contains(name, ".") || len(name) > 63 {
		return fmt.Errorf("the namespace %q is no DNS-1123 label", name)
	}
	return nil
}
