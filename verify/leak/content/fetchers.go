package content

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// fetcher is a kind of object whose controller fetches what the object names.
type fetcher struct {
	group string
	kinds string     // separated by spaces, with a space at both ends; empty for all
	paths [][]string // paths of what it fetches; "*" is each item of a list
	is    string
}

var fetcherKinds = []fetcher{
	{"cert-manager.io", " Issuer ClusterIssuer ", [][]string{{"spec", "acme", "server"}}, "cert-manager asks this ACME server for certificates"},
	{"operators.coreos.com", " CatalogSource ", [][]string{{"spec", "image"}}, "the operators of this catalog name images of their own, which no lock has"},
	{"source.toolkit.fluxcd.io", "", [][]string{{"spec", "url"}, {"spec", "endpoint"}}, "Flux fetches this"},
	{"argoproj.io", " Application ", [][]string{{"spec", "source", "repoURL"}, {"spec", "sources", "*", "repoURL"}}, "Argo CD fetches this"},
	{"argoproj.io", " ApplicationSet ", [][]string{{"spec", "template", "spec", "source", "repoURL"}, {"spec", "template", "spec", "sources", "*", "repoURL"}}, "Argo CD fetches this"},
	{"pkg.crossplane.io", " Provider Configuration Function ", [][]string{{"spec", "package"}}, "Crossplane pulls this package, which names images of its own"},
	{"tekton.dev", "", [][]string{
		{"spec", "taskRef", "bundle"}, {"spec", "pipelineRef", "bundle"}, {"spec", "tasks", "*", "taskRef", "bundle"}, {"spec", "finally", "*", "taskRef", "bundle"},
		{"spec", "pipelineSpec", "tasks", "*", "taskRef", "bundle"}, {"spec", "taskRef", "params", "*", "value"}, {"spec", "pipelineRef", "params", "*", "value"},
		{"spec", "tasks", "*", "taskRef", "params", "*", "value"},
	}, "Tekton fetches this"},
	{"operator.cluster.x-k8s.io", "", [][]string{{"spec", "fetchConfig", "url"}}, "the Cluster API operator fetches this"},
}

// fetched identifies a fetch by a controller that was reported.
type fetched struct {
	at  place
	ref string
}

// codeFetcher is the code for an object whose controller fetches by itself.
const codeFetcher report.Code = "fetcher"

// fetchers reports what the controller of the object root fetches by itself.
func (w *walker) fetchers(root *yaml.Node, apiVersion string) {
	group, _, _ := strings.Cut(apiVersion, "/")
	for _, f := range fetcherKinds {
		if f.group != group || f.kinds != "" && !strings.Contains(f.kinds, " "+w.kind+" ") {
			continue
		}
		for _, p := range f.paths {
			w.fetchedAt(root, p, f.is)
		}
	}
	if group == "operator.cluster.x-k8s.io" && strings.HasSuffix(w.kind, "Provider") && yamlnode.Field(yamlnode.Field(root, "spec"), "fetchConfig") == nil {
		w.note(w.place(root.Line, ""), codeFetcher, report.Warning, "", "the Cluster API operator fetches a provider without fetchConfig from GitHub",
			"let spec.fetchConfig select a ConfigMap, or name an address that the cluster reaches")
	}
}

// fetchedAt checks the values at a path of the object.
func (w *walker) fetchedAt(root *yaml.Node, p []string, is string) {
	for _, n := range at(root, p) {
		if n.Kind == yaml.ScalarNode && n.Value != "" && fetches(n.Value, p[len(p)-1]) {
			place := w.place(n.Line, n.Value)
			w.note(place, codeFetcher, report.Warning, n.Value, is, "point the object to an address that the cluster can reach")
			w.scan.fetched[fetched{place, n.Value}] = true
		}
	}
}

// fetches reports whether a value points outside. The value of a parameter (key "value") can be
// anything, so it counts only as a URL or a reference.
func fetches(value, key string) bool {
	if strings.Contains(value, "://") {
		return leadsOutside(value)
	}
	return !isTemplated(value) && (key != "value" || isReference(value))
}

// at returns the values at a path.
func at(n *yaml.Node, p []string) []*yaml.Node {
	if len(p) == 0 || n == nil {
		if n == nil {
			return nil
		}
		return []*yaml.Node{yamlnode.Resolved(n)}
	}
	if p[0] != "*" {
		return at(yamlnode.Field(n, p[0]), p[1:])
	}
	var list []*yaml.Node
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			list = append(list, at(item, p[1:])...)
		}
	}
	return list
}
