package render

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2" // which kapp-controller uses here
)

// install adds to the steps what kapp-controller takes from a PackageInstall: its values, and what
// its annotations name.
func (app App) install(steps []step) {
	const prefix = "ext.packaging.carvel.dev/"
	if i := slices.IndexFunc(steps, func(s step) bool { return s.HelmTemplate != nil }); i >= 0 {
		helm := steps[i].HelmTemplate
		if name, ok := app.Annotations[prefix+"helm-template-name"]; ok {
			helm.Name = name
		}
		if namespace, ok := app.Annotations[prefix+"helm-template-namespace"]; ok {
			helm.Namespace = namespace
		}
		helm.ValuesFrom = append(helm.ValuesFrom, app.annotated(prefix+"helm-template-values-from-secret-name")...)
	}
	if i := slices.IndexFunc(steps, func(s step) bool { return s.Ytt != nil }); i >= 0 {
		if from := app.annotated(prefix + "ytt-paths-from-secret-name"); len(from) > 0 {
			steps[i].Ytt.addInline(from...)
		}
	}
	i := slices.IndexFunc(steps, func(s step) bool { return s.HelmTemplate != nil || s.Ytt != nil })
	if i < 0 || len(app.Values) == 0 {
		return
	}
	var values source
	for _, f := range app.Values { // the keys of a Secret have no folders
		values.files = append(values.files, file{Path: path.Base(filepath.ToSlash(f.Path)), Data: f.Data, Origin: f.Path})
	}
	_, overlays := app.Annotations[prefix+"ytt-data-values-overlays"]
	switch s := steps[i]; {
	case s.HelmTemplate != nil:
		s.HelmTemplate.ValuesFrom = append(s.HelmTemplate.ValuesFrom, values)
	case overlays:
		s.Ytt.addInline(values)
	default:
		s.Ytt.ValuesFrom = append(s.Ytt.ValuesFrom, values)
	}
}

func (y *yttStep) addInline(from ...source) {
	if y.Inline == nil {
		y.Inline = &inline{}
	}
	y.Inline.PathsFrom = append(y.Inline.PathsFrom, from...)
}

// annotated returns the Secrets that an annotation and those with a suffix of it name, by suffix.
func (app App) annotated(name string) (from []source) {
	var names []string
	for annotation := range app.Annotations {
		if annotation == name || strings.HasPrefix(annotation, name+".") {
			names = append(names, annotation)
		}
	}
	slices.Sort(names)
	for _, annotation := range names {
		from = append(from, source{SecretRef: &ref{Name: app.Annotations[annotation]}})
	}
	return from
}

// stdin is the path that names standard input.
const stdin = "-"

// values is a file of values, or a path of the app folder.
type values struct {
	file
	path string // in the app folder, or stdin; with it file is empty
}

// values returns the values that a step gets from its valuesFrom, in their order.
func (n *run) values(from []source) (all []values, err error) {
	for i, source := range from {
		switch {
		case source.files != nil || source.SecretRef != nil || source.ConfigMapRef != nil:
			found, _, err := n.app.object(source)
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				all = append(all, values{file: f})
			}
		case source.Path == stdin:
			all = append(all, values{path: stdin})
		case source.Path != "":
			to, err := scoped("", source.Path)
			if err != nil { // kapp-controller drops this error
				n.fault(CodeSkipped, fmt.Sprintf("valuesFrom[%d] names the path %q, which is not in the folder of the App: kapp-controller skips it silently", i, source.Path),
					"name a path below the folder of the App")
				continue
			}
			all = append(all, values{path: cmp.Or(to, ".")})
		case source.DownwardAPI != nil:
			for j, item := range source.DownwardAPI.Items {
				text, err := n.downward(item)
				if err != nil {
					return nil, err
				}
				all = append(all, values{file: file{Path: fmt.Sprintf("downwardapi_%d.yaml", j), Data: text}})
			}
		default:
			return nil, message("Preparing template values: Expected one of secretRef, configMapRef, downwardAPI, or path as a source")
		}
	}
	return all, nil
}

// downward returns a file of values with what an item of the downward API asks for.
func (n *run) downward(item downwardItem) ([]byte, error) {
	name := item.Name
	if strings.HasSuffix(name, ".") || strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
		return nil, message(fmt.Sprintf("Preparing template values: Invalid name was provided '%s' (hint: separate paths should only use a single '.' character)", name))
	}
	var value any
	switch {
	case item.FieldPath != "":
		var err error
		if value, err = n.app.field(item.FieldPath); err != nil {
			return nil, message("Preparing template values: " + err.Error())
		}
	case item.KubernetesVersion != nil:
		value = cmp.Or(item.KubernetesVersion.Version, n.renderer.kubernetesVersion())
	case item.KappControllerVersion != nil:
		value = cmp.Or(item.KappControllerVersion.Version, KappControllerVersion)
	case item.KubernetesAPIs != nil && item.KubernetesAPIs.GroupVersions != nil:
		value = item.KubernetesAPIs.GroupVersions
	case item.KubernetesAPIs != nil:
		value = n.renderer.kubernetesAPIs()
	default:
		return nil, message("Preparing template values: Invalid downward API item given")
	}
	keys := splitEscaped(name)
	for _, key := range slices.Backward(keys) {
		value = map[string]any{key: value}
	}
	return yaml.Marshal(value)
}

// splitEscaped splits a name at dots that have no backslash before them.
func splitEscaped(name string) []string {
	keys, escaped := []string{""}, false
	for _, c := range name {
		last := &keys[len(keys)-1]
		switch {
		case !escaped && c == '\\':
			escaped = true
			continue
		case !escaped && c == '.':
			keys = append(keys, "")
		default:
			*last += string(c)
		}
		escaped = false
	}
	return keys
}

var (
	fieldForm = regexp.MustCompile(`^\{\.?([^{}]+)\}$|^\.?([^{}]+)$`)
	keyForm   = regexp.MustCompile(`^(?:\.((?:[^.\[\\]|\\.)+)|\[['"](.+)['"]\])$`)
)

// field returns what a field path says of the App. kapp-controller gives the App the annotations
// that name the Package, and no labels. Its uid is made by the cluster, and is zero here.
func (app App) field(fieldPath string) (any, error) {
	m := fieldForm.FindStringSubmatch(fieldPath)
	if m == nil {
		return nil, fmt.Errorf("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'")
	}
	field, ok := strings.CutPrefix(cmp.Or(m[1], m[2]), "metadata.")
	name, key := field, ""
	if i := strings.IndexAny(field, ".["); i >= 0 {
		name, key = field[:i], field[i:]
	}
	annotations := map[string]string{"packaging.carvel.dev/package-ref-name": app.RefName, "packaging.carvel.dev/package-version": app.Version}
	scalar := map[string]string{"name": app.Name, "namespace": app.Namespace, "uid": "00000000-0000-0000-0000-000000000000"}
	switch value, isScalar := scalar[name]; {
	case ok && isScalar && key == "":
		return value, nil
	case ok && name == "annotations" && key == "":
		return annotations, nil
	case ok && name == "annotations":
		if k := keyForm.FindStringSubmatch(key); k != nil {
			wanted := strings.ReplaceAll(cmp.Or(k[1], k[2]), `\`, "")
			if value, ok := annotations[wanted]; ok {
				return value, nil
			}
			return nil, fmt.Errorf("%s is not found", wanted)
		}
	case ok && name == "labels" && key == "":
		return map[string]string{}, nil
	}
	return nil, fmt.Errorf("%s is not found", field)
}

// inFolder returns the files at a path of the app folder, which may be a file or a folder, with
// their paths relative to it; a file has its base name. found says whether there is such a path.
func (n *run) inFolder(at string) (files []file, isFile, found bool) {
	if at == "." {
		at = ""
	}
	found = at == ""
	for i, f := range n.result.Files {
		if f.Path == at {
			return []file{{Path: path.Base(at), Data: f.Data, Origin: f.Path}}, true, true
		}
		if rest, ok := below(f.Path, at); ok {
			found = true
			files = append(files, file{Path: rest, Data: n.result.Files[i].Data, Origin: f.Path})
		}
	}
	return files, false, found
}
