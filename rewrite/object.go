package rewrite

import (
	"bytes"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// object is an object of the target cluster. Which fields beside the first three are set depends on
// the kind.
type object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	StringData map[string]string `json:"stringData,omitempty"`
	Data       map[string]string `json:"data,omitempty"`
	RoleRef    *roleRef          `json:"roleRef,omitempty"`
	Subjects   []subject         `json:"subjects,omitempty"`
	Spec       any               `json:"spec,omitempty"`

	AutomountToken *bool `json:"automountServiceAccountToken,omitempty"`

	skeleton bool // to be filled in by hand
	shared   bool // the same at every site
}

// metadata names an object.
type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"` // empty when the kind has none
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// roleRef is what a ClusterRoleBinding grants.
type roleRef struct {
	APIGroup string `json:"apiGroup"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

// subject is who gets what a ClusterRoleBinding grants.
type subject struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type nameRef struct {
	Name string `json:"name"`
}

// annotate adds an annotation.
func (o *object) annotate(key, value string) {
	if o.Metadata.Annotations == nil {
		o.Metadata.Annotations = map[string]string{}
	}
	o.Metadata.Annotations[key] = value
}

// file returns the name of the object's file in a folder. No two kinds, namespaces or names have
// the same one.
func (o object) file() string {
	parts := []string{strings.ToLower(o.Kind)}
	if o.Metadata.Namespace != "" {
		parts = append(parts, o.Metadata.Namespace) // it has no dot
	}
	return strings.Join(append(parts, o.Metadata.Name, "yml"), ".")
}

// encodeObjects returns the YAML of the objects, one document each, for kubectl apply.
func encodeObjects(list ...object) ([]byte, error) {
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

// kustomization returns the kustomization.yaml of files. sortOptions, since kustomize 5.0, keeps their
// order.
func kustomization(resources []string) ([]byte, error) {
	return yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources,
		"sortOptions": map[string]string{"order": "fifo"},
	})
}

// namespaceObject returns a Namespace.
func namespaceObject(name string) (object, error) {
	return object{APIVersion: "v1", Kind: "Namespace", Metadata: metadata{Name: name}, shared: true}, checkNamespace(name)
}

func checkName(what, name string) error {
	if !isDNSName(name) {
		return fmt.Errorf("%s: the name %q is not a DNS-1123 subdomain", what, name)
	}
	return nil
}

func checkNamespace(name string) error {
	if !isDNSName(name) || strings.Contains(name, ".") || len(name) > 63 {
		return fmt.Errorf("the namespace %q is not a DNS-1123 label", name)
	}
	return nil
}
