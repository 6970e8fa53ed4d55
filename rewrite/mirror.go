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

// Access is how clients reach the registry of the destination. The zero value is HTTPS with a certificate of a CA
// that they trust already.
type Access struct {
	CA        bool // its certificates are in ca.crt
	PlainHTTP bool // there is no TLS
}

// RegistriesConf returns a file for /etc/containers/registries.conf.d, by which CRI-O and podman pull from
// repo what is named by digest in one of sources; and, with plain HTTP, what is named in repo itself.
func RegistriesConf(sources []string, repo name.Repository, access Access) []byte {
	var out bytes.Buffer
	out.WriteString(`# For /etc/containers/registries.conf.d on each node that runs CRI-O (or podman).
# An image that is still named as at its source is pulled from the mirror, if it is named by digest. By
# tag it is not: tags of images do not exist at the mirror, where all lie in one repository.
`)
	insecure := ""
	if access.CA {
		fmt.Fprintf(&out, "# The registry's CA goes to %s on the same nodes.\n", CertsPath(repo.Registry))
	}
	if access.PlainHTTP {
		insecure = "insecure = true\n"
		fmt.Fprintf(&out, "\n[[registry]]\nprefix = %[1]s\nlocation = %[1]s\n%[2]s", quoteTOML(runtimeName(repo)), insecure)
	}
	for _, source := range sources {
		fmt.Fprintf(&out, "\n[[registry]]\nprefix = %[1]s\nlocation = %[1]s\nmirror-by-digest-only = true\n\n[[registry.mirror]]\nlocation = %[2]s\n%[3]s",
			quoteTOML(source), quoteTOML(runtimeName(repo)), insecure)
	}
	return out.Bytes()
}

// CertsPath returns where CRI-O and podman read the CA of a registry (containers-certs.d(5)). A file of such a name
// cannot be in a folder that is also checked out on Windows.
func CertsPath(registry name.Registry) string {
	return "/etc/containers/certs.d/" + registry.RegistryStr() + "/ca.crt"
}

// HostFolder returns the folder below /etc/containerd/certs.d that containerd reads for a registry.
func HostFolder(registry name.Registry) string {
	host := registry.RegistryStr()
	if i := strings.LastIndex(host, ":"); i > 0 {
		return host[:i] + "_" + host[i+1:] + "_" // read as host:port is, and a path on every system
	}
	return host
}

// HostsTOML returns the hosts.toml of the registry of repo for containerd; its CA, if any, is in ca.crt beside it.
//
// containerd asks each [host] first, and then the server itself with the settings before the first table. Without
// those, any answer but the content would be followed by an attempt without the CA, whose error would be shown.
// containerd 1 refuses a file without any table.
func HostsTOML(repo name.Repository, access Access) []byte {
	var out bytes.Buffer
	scheme := "https"
	if access.PlainHTTP {
		scheme = "http"
	}
	server := quoteTOML(scheme + "://" + repo.RegistryStr())
	settings := "capabilities = [\"pull\", \"resolve\"]\n"
	if access.CA {
		settings += "ca = \"ca.crt\"\n" // relative to the folder of this file
	}
	fmt.Fprintf(&out, "# For /etc/containerd/certs.d/%s on each node that runs containerd: how it reaches this registry.\n", HostFolder(repo.Registry))
	out.WriteString(`# There is no such file for the sources: containerd asks a mirror for an image at the path that it had at its
# source, and here all images lie in one repository.
`)
	fmt.Fprintf(&out, "\nserver = %[1]s\n%[2]s\n[host.%[1]s]\n%[2]s", server, settings)
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
