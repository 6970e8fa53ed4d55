package render

import "sigs.k8s.io/yaml"

// spec is the part of an App's spec that rendering needs.
type spec struct {
	Fetch    []fetch `json:"fetch"`
	Template []step  `json:"template"`
}

// fetch is an entry of spec.fetch. Only one of its kinds is set, as vendir demands.
type fetch struct {
	Path         string    `json:"path"`
	Inline       *inline   `json:"inline"`
	Image        *subPath  `json:"image"`
	HTTP         *subPath  `json:"http"`
	Git          *subPath  `json:"git"`
	HelmChart    *struct{} `json:"helmChart"`
	ImgpkgBundle *struct{} `json:"imgpkgBundle"`
}

type subPath struct {
	SubPath string `json:"subPath"`
}

// subPath returns the folder of what is fetched that becomes its root, or an empty string.
func (f *fetch) subPath() string {
	for _, s := range []*subPath{f.Image, f.HTTP, f.Git} {
		if s != nil {
			return s.SubPath
		}
	}
	return ""
}

// kind returns the field that is set, in kapp-controller's order, or an empty string.
func (f *fetch) kind() string {
	switch {
	case f.Inline != nil:
		return "inline"
	case f.Image != nil:
		return "image"
	case f.HTTP != nil:
		return "http"
	case f.Git != nil:
		return "git"
	case f.HelmChart != nil:
		return "helmChart"
	case f.ImgpkgBundle != nil:
		return "imgpkgBundle"
	}
	return ""
}

// inline has files in the spec, and names Secrets and ConfigMaps whose keys are files.
type inline struct {
	Paths     map[string]string `json:"paths"`
	PathsFrom []source          `json:"pathsFrom"`
}

// step is an entry of spec.template.
type step struct {
	Ytt          *yttStep  `json:"ytt"`
	Kbld         *kbldStep `json:"kbld"`
	HelmTemplate *helmStep `json:"helmTemplate"`
	Sops         *struct{} `json:"sops"`
	Cue          *struct{} `json:"cue"`
}

// kind returns the field that kapp-controller uses: the first in its order. Others in the same entry
// are ignored. It is empty for kinds that kapp-controller does not know.
func (s *step) kind() string {
	switch {
	case s.Ytt != nil:
		return "ytt"
	case s.Kbld != nil:
		return "kbld"
	case s.HelmTemplate != nil:
		return "helmTemplate"
	case s.Sops != nil:
		return "sops"
	case s.Cue != nil:
		return "cue"
	}
	return ""
}

// paths returns the step's paths.
func (s *step) paths() []string {
	switch {
	case s.Ytt != nil:
		return s.Ytt.Paths
	case s.Kbld != nil:
		return s.Kbld.Paths
	}
	return nil
}

// valuesFrom returns the step's valuesFrom.
func (s *step) valuesFrom() []source {
	switch {
	case s.Ytt != nil:
		return s.Ytt.ValuesFrom
	case s.Kbld == nil && s.HelmTemplate != nil:
		return s.HelmTemplate.ValuesFrom
	}
	return nil
}

type yttStep struct {
	IgnoreUnknownComments bool     `json:"ignoreUnknownComments"`
	Inline                *inline  `json:"inline"`
	Paths                 []string `json:"paths"`
	FileMarks             []string `json:"fileMarks"`
	ValuesFrom            []source `json:"valuesFrom"`
}

type kbldStep struct {
	Paths []string `json:"paths"`
}

type helmStep struct {
	Name              string    `json:"name"`
	Namespace         string    `json:"namespace"`
	Path              string    `json:"path"`
	ValuesFrom        []source  `json:"valuesFrom"`
	KubernetesVersion *struct{} `json:"kubernetesVersion"` // the cluster's, whatever it says
	KubernetesAPIs    *struct{} `json:"kubernetesAPIs"`    // the same
}

// source is an entry of valuesFrom or pathsFrom.
type source struct {
	SecretRef    *ref         `json:"secretRef"`
	ConfigMapRef *ref         `json:"configMapRef"`
	Path         string       `json:"path"`
	DownwardAPI  *downwardAPI `json:"downwardAPI"`

	files []file // of the PackageInstall's values, which the App brings
}

type ref struct {
	Name          string `json:"name"`
	DirectoryPath string `json:"directoryPath"` // of pathsFrom
}

type downwardAPI struct {
	Items []downwardItem `json:"items"`
}

type downwardItem struct {
	Name                  string     `json:"name"`
	FieldPath             string     `json:"fieldPath"`
	KubernetesVersion     *version   `json:"kubernetesVersion"`
	KappControllerVersion *version   `json:"kappControllerVersion"`
	KubernetesAPIs        *groupList `json:"kubernetesAPIs"`
}

type version struct {
	Version string `json:"version"`
}

type groupList struct {
	GroupVersions []string `json:"groupVersions"`
}

// parseSpec reads the spec of an App.
func parseSpec(data []byte) (s spec, err error) {
	if err := yaml.Unmarshal(data, &s); err != nil {
		return s, &FailedError{Step: -1, Kind: "spec", Message: err.Error()}
	}
	return s, nil
}
