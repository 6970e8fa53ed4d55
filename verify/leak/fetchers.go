package leak

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/report"
)

// fetcher is a kind of object whose controller fetches what the object names (point 20).
type fetcher struct {
	group string
	kinds string     // separated by spaces, with a space at both ends; empty for all
	paths [][]string // of what it fetches; "*" is each item of a list
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

// fetchers reports what the controller of an object fetches by itself.
func (s *scan) fetchers(w *walker, h header) {
	group, _, _ := strings.Cut(h.apiVersion, "/")
	for _, f := range fetcherKinds {
		if f.group != group || f.kinds != "" && !strings.Contains(f.kinds, " "+h.kind+" ") {
			continue
		}
		for _, p := range f.paths {
			for _, n := range at(w.doc.root, p) {
				if n.Kind == yaml.ScalarNode && n.Value != "" && fetches(n.Value, p[len(p)-1]) {
					s.note(w.place(n.Line, n.Value), codeFetcher, report.Warning, n.Value, f.is, "let the object name what the cluster reaches")
				}
			}
		}
	}
	if group == "operator.cluster.x-k8s.io" && strings.HasSuffix(h.kind, "Provider") && field(field(w.doc.root, "spec"), "fetchConfig") == nil {
		s.note(w.place(w.doc.root.Line, ""), codeFetcher, report.Warning, "", "the Cluster API operator fetches a provider without fetchConfig from GitHub",
			"let spec.fetchConfig select a ConfigMap, or name an address that the cluster reaches")
	}
}

// fetches reports whether a value leads outside: parameters can be anything.
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
		return []*yaml.Node{resolved(n)}
	}
	if p[0] != "*" {
		return at(field(n, p[0]), p[1:])
	}
	var list []*yaml.Node
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			list = append(list, at(item, p[1:])...)
		}
	}
	return list
}
