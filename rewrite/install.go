package rewrite

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"relocate/carvel"
)

// Install is a package to install.
type Install struct {
	Name       string          // of the PackageInstall; the names of all its objects begin with it
	Package    *carvel.Package // the version to install or, with a Constraint, the one that meets it now
	Constraint string          // on the version, as carvel.ParseSelection reads it; empty: exactly that of Package
	Values     []string        // texts for the values Secret, of which the last one wins; none means no Secret
	Skeleton   bool            // Values are defaults, to be filled in
}

// account is the name of the ServiceAccount.
func (i Install) account() string { return i.Name + "-sa" }

// installSpec is the spec of a PackageInstall, or of an InstalledPackage.
type installSpec struct {
	ServiceAccountName string          `json:"serviceAccountName"`
	PackageRef         packageRef      `json:"packageRef"`
	Values             []installValues `json:"values,omitempty"`
}

// packageRef names a package and its version. A PackageInstall has RefName and VersionSelection; an
// InstalledPackage has PublicName, and Version or VersionSelection.
type packageRef struct {
	RefName          string            `json:"refName,omitempty"`
	PublicName       string            `json:"publicName,omitempty"`
	Version          string            `json:"version,omitempty"`
	VersionSelection *versionSelection `json:"versionSelection,omitempty"`
}

type versionSelection struct {
	Constraints string    `json:"constraints"`
	Prereleases *struct{} `json:"prereleases,omitempty"` // nil for none, else all
}

type installValues struct {
	SecretRef nameRef `json:"secretRef"`
}

var versionText = regexp.MustCompile(`^[0-9A-Za-z.+-]+$`)

// objects returns the ServiceAccount, its rights with admin, the values Secret, and the
// PackageInstall or, for OldPackagingAPI, the InstalledPackage. secretRef names a Secret of the
// namespace for fetching; it may be empty. What is installed may need, and get, other rights.
func (i Install) objects(api, namespace, secretRef string, admin bool) ([]object, error) {
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
	spec := installSpec{ServiceAccountName: i.account(), PackageRef: i.ref(api)}
	if len(i.Values) > 0 {
		values := newSecret(i.Name+"-values", namespace)
		values.StringData, values.skeleton = i.valuesData(), i.Skeleton
		list = append(list, values)
		spec.Values = []installValues{{nameRef{values.Metadata.Name}}}
	}
	o := object{APIVersion: PackagingAPI, Kind: "PackageInstall", Metadata: metadata{Name: i.Name, Namespace: namespace}, Spec: spec}
	if api == OldPackagingAPI {
		o.APIVersion, o.Kind = OldPackagingAPI, "InstalledPackage"
	} else if secretRef != "" {
		o.Metadata.Annotations = i.fetchAnnotations(secretRef)
	}
	list = append(list, o)
	for n := range list {
		list[n].shared = list[n].Metadata.Annotations == nil // which name the Secret of a site
	}
	list[len(list)-1].annotate("kapp.k14s.io/change-rule", "upsert after upserting "+changeGroup)
	return list, nil
}

// ref names the package and its version as an API does. An exact version may be a prerelease, as with
// kctrl.
func (i Install) ref(api string) packageRef {
	selection := &versionSelection{Constraints: i.Constraint}
	switch {
	case api == OldPackagingAPI && i.Constraint == "":
		return packageRef{PublicName: i.Package.Name, Version: i.Package.Version}
	case api == OldPackagingAPI:
		return packageRef{PublicName: i.Package.Name, VersionSelection: selection}
	case i.Constraint == "":
		selection = &versionSelection{Constraints: i.Package.Version, Prereleases: &struct{}{}}
	}
	return packageRef{RefName: i.Package.Name, VersionSelection: selection}
}

// valuesData returns the content of the values Secret. kapp-controller reads its keys in their order
// as text.
func (i Install) valuesData() map[string]string {
	if len(i.Values) == 1 {
		return map[string]string{"values.yaml": i.Values[0]}
	}
	data := map[string]string{}
	for n, text := range i.Values {
		data[fmt.Sprintf("values-%0*d.yaml", len(strconv.Itoa(len(i.Values))), n+1)] = text
	}
	return data
}

// fetchAnnotations give the steps that fetch the package the login in a Secret.
func (i Install) fetchAnnotations(secretRef string) map[string]string {
	all := map[string]string{}
	for n, step := range i.Package.Fetches {
		if step.Kind == "imgpkgBundle" || step.Kind == "image" {
			all[fmt.Sprintf("ext.packaging.carvel.dev/fetch-%d-secret-name", n)] = secretRef
		}
	}
	return all
}

func (i Install) check(namespace, secretRef string) error {
	err := errors.Join(checkName("PackageInstall", i.Name), checkName("PackageInstall of "+i.Package.Name, i.Package.Name), checkNamespace(namespace))
	if secretRef != "" {
		err = errors.Join(err, checkName("Secret", secretRef))
	}
	if !versionText.MatchString(i.Package.Version) {
		err = errors.Join(err, fmt.Errorf("PackageInstall of %s: %q is not a version", i.Package.Name, i.Package.Version))
	}
	size := 0
	for _, text := range i.Values {
		size += len(text)
	}
	if size > maxSecret {
		err = errors.Join(err, fmt.Errorf("values of %s: they have %d bytes, more than the %d that a Secret may have",
			i.Name, size, maxSecret))
	}
	return err
}

// maxSecret is the size in bytes of all values of a Secret up to which Kubernetes accepts it.
const maxSecret = 1 << 20
