package render

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"relocate/internal/child"
	"relocate/render/ytt"
)

func (r *Renderer) kubernetesVersion() string {
	return cmp.Or(strings.TrimPrefix(r.KubernetesVersion, "v"), DefaultKubernetesVersion)
}

// kubernetesAPIs returns the group versions of the cluster. Without an option they are those of
// Kubernetes 1.30 and of kapp-controller.
func (r *Renderer) kubernetesAPIs() []string {
	if len(r.KubernetesAPIs) > 0 {
		return r.KubernetesAPIs
	}
	return []string{
		"v1", "apiregistration.k8s.io/v1", "apps/v1", "events.k8s.io/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1", "autoscaling/v2",
		"autoscaling/v1", "batch/v1", "certificates.k8s.io/v1", "networking.k8s.io/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "storage.k8s.io/v1",
		"admissionregistration.k8s.io/v1", "apiextensions.k8s.io/v1", "scheduling.k8s.io/v1", "coordination.k8s.io/v1", "node.k8s.io/v1",
		"discovery.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1beta3", "internal.packaging.carvel.dev/v1alpha1",
		"kappctrl.k14s.io/v1alpha1", "packaging.carvel.dev/v1alpha1", "data.packaging.carvel.dev/v1alpha1",
	}
}

// helm runs a helmTemplate step with the helm program, in a folder of its own.
func (n *run) helm(ctx context.Context, s *helmStep) (*stream, error) {
	chart, err := scoped("", s.Path)
	if err != nil {
		return nil, err
	}
	given, err := n.values(s.ValuesFrom)
	if err != nil {
		return nil, err
	}
	n.given[n.step] = len(given)
	program, err := filepath.Abs(n.renderer.Helm)
	if err != nil {
		return nil, err
	}
	dir, err := newHelmFolder()
	if err != nil {
		return nil, err
	}
	defer dir.remove()
	files, _, _ := n.inFolder(chart)
	for _, f := range files {
		if err := dir.write("app/"+f.Origin, f.Data); err != nil {
			return nil, err
		}
	}
	args := []string{
		"template", cmp.Or(s.Name, n.app.Name, "app"), dir.path("app", chart), "--namespace", cmp.Or(s.Namespace, n.app.Namespace, "default"), "--include-crds",
		"--kube-version", n.renderer.kubernetesVersion(),
	}
	if s.KubernetesAPIs != nil {
		args = append(args, "--api-versions", strings.Join(n.renderer.kubernetesAPIs(), ","))
	}
	for i, v := range given {
		name, err := n.helmValues(dir, i, v)
		if err != nil {
			return nil, err
		}
		args = append(args, "--values", name)
	}
	command := child.Command{Path: program, Args: args, Env: dir.environment(), Dir: dir.path()}
	if n.stream != nil {
		command.Input = n.stream.text
	}
	text, err := n.renderer.Program.Exec(ctx, command)
	if exit := (*child.ExitError)(nil); errors.As(err, &exit) {
		text := dir.without(exit.Stderr)
		return nil, &FailedError{Step: n.step, Kind: "helmTemplate", Message: text, Needs: needs(text)}
	}
	if err != nil {
		return nil, err
	}
	n.usedByHelm(files)
	return n.helmOrigins(text, chart, files), nil
}

// helmValues writes a file of values, and returns what --values names.
func (n *run) helmValues(dir *helmFolder, i int, v values) (string, error) {
	switch v.path {
	case "":
		name := "values/" + strconv.Itoa(i)
		return dir.path(name), dir.write(name, v.Data)
	case stdin:
		if n.stream == nil {
			return "", message("Expected stdin to be available when using it as path, but was not")
		}
		return stdin, nil
	}
	found, _, _ := n.inFolder(v.path) // helm says what is missing, or is no file
	for _, f := range found {
		n.use(f)
		if err := dir.write("app/"+f.Origin, f.Data); err != nil {
			return "", err
		}
	}
	return dir.path("app", v.path), nil
}

// helmFolder is the folder in which helm runs: app has files of the App, values the values, and
// home is the home of a user who has no repositories and no plugins.
type helmFolder struct {
	name string
	root *os.Root
}

func newHelmFolder() (*helmFolder, error) {
	name, err := os.MkdirTemp("", "relocate-helm-") // only its owner can read it
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"app", "values", "home", "tmp"} {
		err = errors.Join(err, root.Mkdir(sub, 0o700))
	}
	return &helmFolder{name, root}, err
}

// remove removes the folder. What is left behind is a folder of the system's temporary folder.
func (d *helmFolder) remove() { _, _ = d.root.Close(), os.RemoveAll(d.name) }

func (d *helmFolder) path(elem ...string) string {
	return filepath.Join(d.name, filepath.FromSlash(path.Join(elem...)))
}

// write writes a file. A name that the system cannot have in the folder is an error.
func (d *helmFolder) write(name string, data []byte) error {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return notRendered("helm cannot be given the file %q: it is no file name on this system", name)
	}
	err := d.root.MkdirAll(filepath.Dir(local), 0o700)
	if err == nil {
		err = d.root.WriteFile(local, data, 0o600)
	}
	if err != nil {
		return notRendered("helm cannot be given the file %q: %v", name, err)
	}
	return nil
}

// environment is all that helm sees of ours.
func (d *helmFolder) environment() []string {
	home := d.path("home")
	env := []string{"KUBERNETES_SERVICE_HOST=not-real", "KUBERNETES_SERVICE_PORT=not-real"} // as kapp-controller says it
	for _, name := range []string{"HOME", "USERPROFILE", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS", "HELM_REPOSITORY_CACHE"} {
		env = append(env, name+"="+home)
	}
	for _, name := range []string{"HELM_REPOSITORY_CONFIG", "HELM_REGISTRY_CONFIG", "KUBECONFIG"} {
		env = append(env, name+"="+filepath.Join(home, "none"))
	}
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		env = append(env, name+"="+d.path("tmp"))
	}
	return env
}

// without returns a message of helm without the name of the folder.
func (d *helmFolder) without(message string) string {
	sep := string(filepath.Separator)
	message = strings.ReplaceAll(message, d.path("app")+sep, "")
	message = strings.ReplaceAll(message, d.name+sep, "")
	return strings.TrimSpace(message)
}

// chartParts are what helm reads of a chart, apart from what its templates ask for.
var chartParts = []string{"Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json", "requirements.yaml", "requirements.lock"}

// usedByHelm notes which files of a chart helm could read, and whether its templates read values.
func (n *run) usedByHelm(files []file) {
	inFolder := func(f file) bool {
		first, _, _ := strings.Cut(f.Path, "/")
		return first == "templates" || first == "crds" || first == "charts"
	}
	asks := func(text string) bool {
		return slices.ContainsFunc(files, func(f file) bool {
			return inFolder(f) && bytes.Contains(f.Data, []byte(text)) || strings.HasSuffix(f.Path, ".tgz")
		})
	}
	n.reads[n.step] = asks(".Values")
	readsFiles := asks(".Files")
	for _, f := range files {
		isText := strings.HasPrefix(f.Path, "crds/") && !slices.Contains([]string{".json", ".yaml", ".yml"}, path.Ext(f.Path))
		if readsFiles || inFolder(f) && !isText || slices.Contains(chartParts, f.Path) {
			n.use(f)
		}
	}
}

// helmOrigins returns the stream that helm printed. Before each document helm names its file.
func (n *run) helmOrigins(text []byte, chart string, files []file) *stream {
	s := &stream{text: text}
	for i, doc := range documents(text) {
		var place ytt.Place
		first, _, _ := bytes.Cut(doc, []byte("\n"))
		if source, ok := bytes.CutPrefix(first, []byte("# Source: ")); ok {
			_, rest, _ := strings.Cut(string(source), "/") // the chart's name
			place.File = sourceOf(path.Join(chart, rest), chart, files)
		}
		s.starts = append(s.starts, place)
		s.strings = append(s.strings, stringsOf(i, doc, place)...)
	}
	return s
}

var subchart = regexp.MustCompile(`charts/[^/]+/`)

// sourceOf returns the file of a chart at a path that helm names, in which subcharts may have other
// names (alias). It returns none when it may be several.
func sourceOf(name, chart string, files []file) string {
	form := regexp.MustCompile("^" + subchart.ReplaceAllString(regexp.QuoteMeta(name), "charts/[^/]+/") + "$")
	found := ""
	for _, f := range files {
		switch {
		case f.Origin == name, f.Origin == chart: // packed
			return f.Origin
		case !form.MatchString(f.Origin):
		case found != "":
			return ""
		default:
			found = f.Origin
		}
	}
	return found
}
