package rewrite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
)

// Everything lies in one repository at the destination, and of the tags there only the root's is
// anyone's own. So a mirror is for pulls by digest only: by tag, a node would ask for a tag of one image
// and could be given the root.

// Sources returns the repositories that images and indexes of g are named by, sorted, but for repo
// itself: those that a reference may lead to which kapp-controller does not rewrite. Bundles are not
// pulled by nodes.
func Sources(g *bundle.Graph, repo name.Repository) []string {
	var list []string
	for _, n := range g.Nodes {
		if n.Kind == bundle.Bundle {
			continue
		}
		for _, s := range n.References {
			ref, err := name.ParseReference(s)
			if err == nil && ref.Context().Name() != repo.Name() {
				list = append(list, runtimeName(ref.Context()))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// runtimeName is what container runtimes call a repository.
func runtimeName(repo name.Repository) string {
	if repo.RegistryStr() == name.DefaultRegistry {
		return "docker.io/" + repo.RepositoryStr()
	}
	return repo.Name()
}

// MirrorSet returns the ImageDigestMirrorSet by which OpenShift's nodes pull from repo what is named by
// digest in one of sources.
func MirrorSet(sources []string, repo name.Repository) Object {
	type mirror struct {
		Source  string   `json:"source"`
		Mirrors []string `json:"mirrors"`
	}
	var mirrors []mirror
	for _, source := range sources {
		mirrors = append(mirrors, mirror{source, []string{runtimeName(repo)}})
	}
	return Object{
		APIVersion: "config.openshift.io/v1", Kind: "ImageDigestMirrorSet", Metadata: Metadata{Name: DNSName(repo.Name())},
		Spec: map[string]any{"imageDigestMirrors": mirrors},
	}
}

// RegistriesConf returns a file for /etc/containers/registries.conf.d, by which CRI-O and podman pull from
// repo what is named by digest in one of sources.
func RegistriesConf(sources []string, repo name.Repository) []byte {
	var out bytes.Buffer
	out.WriteString(`# For /etc/containers/registries.conf.d on each node that runs CRI-O (or podman).
# An image that is still named as at its source is pulled from the mirror, if it is named by digest. By
# tag it is not: tags of images do not exist at the mirror, where all lie in one repository.
`)
	for _, source := range sources {
		fmt.Fprintf(&out, "\n[[registry]]\nprefix = %[1]s\nlocation = %[1]s\nmirror-by-digest-only = true\n\n[[registry.mirror]]\nlocation = %[2]s\n",
			quoteTOML(source), quoteTOML(runtimeName(repo)))
	}
	return out.Bytes()
}

// HostFolder returns the folder below /etc/containerd/certs.d that containerd reads for a registry.
func HostFolder(registry name.Registry) string {
	host := registry.RegistryStr()
	if i := strings.LastIndex(host, ":"); i > 0 {
		return host[:i] + "_" + host[i+1:] + "_" // read as host:port is, and a path on every system
	}
	return host
}

// HostsTOML returns the hosts.toml of the registry of repo for containerd; ca says that its certificates
// are in ca.crt beside it.
func HostsTOML(repo name.Repository, ca bool) []byte {
	var out bytes.Buffer
	folder, server := HostFolder(repo.Registry), "https://"+repo.RegistryStr()
	fmt.Fprintf(&out, "# For /etc/containerd/certs.d/%s on each node that runs containerd: how it reaches this registry.\n", folder)
	out.WriteString(`# There is no such file for the sources: containerd asks a mirror for an image at the path that it had at its
# source, and here all images lie in one repository.
`)
	fmt.Fprintf(&out, "\nserver = %[1]s\n\n[host.%[1]s]\ncapabilities = [\"pull\", \"resolve\"]\n", quoteTOML(server))
	if ca {
		fmt.Fprintf(&out, "ca = %s\n", quoteTOML("/etc/containerd/certs.d/"+folder+"/ca.crt"))
	}
	return out.Bytes()
}

// quoteTOML returns s as a TOML basic string, of which JSON's strings are a part.
func quoteTOML(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // there is no such string
		return `""`
	}
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}
