package rewrite

import (
	"errors"
	"fmt"
	"regexp"

	"relocate/carvel"
)

// Install is a package to install.
type Install struct {
	Name    string          // of the PackageInstall; the names of all its objects begin with it
	Package *carvel.Package // the version is pinned
	Values  string          // of the values Secret; empty means no Secret
}

// account is the name of the ServiceAccount.
func (i Install) account() string { return i.Name + "-sa" }

// packageInstall is the spec of a PackageInstall.
type packageInstall struct {
	ServiceAccountName string `json:"serviceAccountName"`
	PackageRef         struct {
		RefName          string `json:"refName"`
		VersionSelection struct {
			Constraints string   `json:"constraints"`
			Prereleases struct{} `json:"prereleases"` // all, as in kctrl: the version is exact
		} `json:"versionSelection"`
	} `json:"packageRef"`
	Values []installValues `json:"values,omitempty"`
}

type installValues struct {
	SecretRef nameRef `json:"secretRef"`
}

var versionText = regexp.MustCompile(`^[0-9A-Za-z.+-]+$`)

// objects returns the ServiceAccount, its rights with admin, the values Secret and the
// PackageInstall. secretRef names a Secret of the namespace for fetching; it may be empty. What is
// installed may need, and get, other rights.
func (i Install) objects(namespace, secretRef string, admin bool) ([]object, error) {
	if err := i.check(namespace, secretRef); err != nil {
		return nil, err
	}
	list := []object{{APIVersion: "v1", Kind: "ServiceAccount", Metadata: metadata{Name: i.account(), Namespace: namespace}}}
	if admin {
		list = append(list, object{
			APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding",
			Metadata: metadata{Name: i.Name + "-" + namespace + "-cluster-admin"},
			RoleRef:  &roleRef{"rbac.authorization.k8s.io", "ClusterRole", "cluster-admin"},
			Subjects: []subject{{"ServiceAccount", i.account(), namespace}},
		})
	}
	spec := packageInstall{ServiceAccountName: i.account()}
	spec.PackageRef.RefName = i.Package.Name
	spec.PackageRef.VersionSelection.Constraints = i.Package.Version
	if i.Values != "" {
		values := newSecret(i.Name+"-values", namespace)
		values.StringData, values.skeleton = map[string]string{"values.yaml": i.Values}, true
		list = append(list, values)
		spec.Values = []installValues{{nameRef{values.Metadata.Name}}}
	}
	o := object{APIVersion: PackagingAPI, Kind: "PackageInstall", Metadata: metadata{Name: i.Name, Namespace: namespace}, Spec: spec}
	if secretRef != "" {
		o.Metadata.Annotations = map[string]string{}
		for n, step := range i.Package.Fetches {
			if step.Kind == "imgpkgBundle" || step.Kind == "image" {
				o.Metadata.Annotations[fmt.Sprintf("ext.packaging.carvel.dev/fetch-%d-secret-name", n)] = secretRef
			}
		}
	}
	return append(list, o), nil
}

func (i Install) check(namespace, secretRef string) error {
	err := errors.Join(checkName("PackageInstall", i.Name), checkName("PackageInstall of "+i.Package.Name, i.Package.Name), checkNamespace(namespace))
	if secretRef != "" {
		err = errors.Join(err, checkName("Secret", secretRef))
	}
	if !versionText.MatchString(i.Package.Version) {
		err = errors.Join(err, fmt.Errorf("PackageInstall of %s: %q is not a version", i.Package.Name, i.Package.Version))
	}
	return err
}
