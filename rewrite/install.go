package rewrite

import (
	"errors"
	"fmt"
	"regexp"
)

// Install says what is to be installed, and how.
type Install struct {
	Name      string // of the PackageInstall, and the beginning of the names of what it needs
	Namespace string
	Package   string
	Version   string // of the package; it is pinned
	SecretRef string // a Secret of the namespace for fetching, when there is no SecretExport; may be empty
	Fetches   []int  // the steps of the Package's fetch that it is for
	Values    string // of the values Secret; without it there is none
	Admin     bool   // the ServiceAccount may do everything, as kctrl has it
}

// packageInstall is the spec of a PackageInstall.
type packageInstall struct {
	ServiceAccountName string `json:"serviceAccountName"`
	PackageRef         struct {
		RefName          string `json:"refName"`
		VersionSelection struct {
			Constraints string   `json:"constraints"`
			Prereleases struct{} `json:"prereleases"` // all, as kctrl has it: the version says which
		} `json:"versionSelection"`
	} `json:"packageRef"`
	Values []installValues `json:"values,omitempty"`
}

type installValues struct {
	SecretRef nameRef `json:"secretRef"`
}

var versionForm = regexp.MustCompile(`^[0-9A-Za-z.+-]+$`)

// Objects returns the ServiceAccount, its rights if Admin, the values Secret and the PackageInstall. What is
// to be installed may need, and get, other rights.
func (i Install) Objects() ([]Object, error) {
	err := errors.Join(checkName("PackageInstall", i.Name), checkName("PackageInstall of "+i.Package, i.Package), checkNamespace(i.Namespace))
	if i.SecretRef != "" {
		err = errors.Join(err, checkName("Secret", i.SecretRef))
	}
	if !versionForm.MatchString(i.Version) {
		err = errors.Join(err, fmt.Errorf("PackageInstall of %s: %q is no version", i.Package, i.Version))
	}
	if err != nil {
		return nil, err
	}
	account := i.Name + "-sa"
	list := []Object{{APIVersion: "v1", Kind: "ServiceAccount", Metadata: Metadata{Name: account, Namespace: i.Namespace}}}
	if i.Admin {
		list = append(list, Object{
			APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding",
			Metadata: Metadata{Name: i.Name + "-" + i.Namespace + "-cluster-admin"},
			RoleRef:  &RoleRef{"rbac.authorization.k8s.io", "ClusterRole", "cluster-admin"},
			Subjects: []Subject{{"ServiceAccount", account, i.Namespace}},
		})
	}
	spec := packageInstall{ServiceAccountName: account}
	spec.PackageRef.RefName = i.Package
	spec.PackageRef.VersionSelection.Constraints = i.Version
	if i.Values != "" {
		values := newSecret(i.Name+"-values", i.Namespace)
		values.StringData, values.Skeleton = map[string]string{"values.yaml": i.Values}, true
		list = append(list, values)
		spec.Values = []installValues{{nameRef{values.Metadata.Name}}}
	}
	o := Object{APIVersion: PackagingAPI, Kind: "PackageInstall", Metadata: Metadata{Name: i.Name, Namespace: i.Namespace}, Spec: spec}
	if i.SecretRef != "" {
		o.Metadata.Annotations = map[string]string{}
		for _, n := range i.Fetches {
			o.Metadata.Annotations[fmt.Sprintf("ext.packaging.carvel.dev/fetch-%d-secret-name", n)] = i.SecretRef
		}
	}
	return append(list, o), nil
}
