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

// The destination keeps everything in one repository, whose tags are those of the roots. So a
// mirror is for pulls by digest only: a node that asks for the tag of an image could get the root.

// sources returns the repositories, sorted, by which images and indexes of g are named, but for
// repo itself. Nodes do not pull bundles.
func sources(g *bundle.Graph, repo name.Repository) []string {
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

// mirrorSet returns the ImageDigestMirrorSet by which OpenShift's nodes pull from repo what is
// named by digest in one of the sources.
func mirrorSet(sources []string, repo name.Repository) object {
	type mirror struct {
		Source  string   `json:"source"`
		Mirrors []string `json:"mirrors"`
	}
	var mirrors []mirror
	for _, source := range sources {
		mirrors = append(mirrors, mirror{source, []string{runtimeName(repo)}})
	}
	return object{
		APIVersion: "config.openshift.io/v1", Kind: "ImageDigestMirrorSet", Metadata: metadata{Name: DNSName(repo.Name())},
		Spec: map[string]any{"imageDigestMirrors": mirrors},
	}
}

// access is how clients reach the registry of the destination. The zero value is HTTPS with a
// certificate that they trust already.
type access struct {
	CA        bool // the certificates of its CA are in ca.crt
	PlainHTTP bool
}

// registriesConf returns a file for /etc/containers/registries.conf.d, by which CRI-O and podman
// pull from repo what is named by digest in one of the sources and, with plain HTTP, what is named
// in repo itself.
func registriesConf(sources []string, repo name.Repository, access access) []byte {
	var out bytes.Buffer
	out.WriteString(`# For /etc/containers/registries.conf.d on each node that runs CRI-O (or podman).
# An image that is still named as at its source is pulled from the mirror, if it is named by digest. By
# tag it is not: tags of images do not exist at the mirror, where all lie in one repository.
`)
	insecure := ""
	if access.CA {
		fmt.Fprintf(&out, "# The registry's CA goes to %s on the same nodes.\n", certsPath(repo.Registry))
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

// certsPath returns the path at which CRI-O and podman read the CA of a registry
// (containers-certs.d(5)). Windows cannot check out a file with such a name.
func certsPath(registry name.Registry) string {
	return "/etc/containers/certs.d/" + registry.RegistryStr() + "/ca.crt"
}

// hostFolder returns the folder below /etc/containerd/certs.d that containerd reads for a registry.
func hostFolder(registry name.Registry) string {
	host := registry.RegistryStr()
	if i := strings.LastIndex(host, ":"); i > 0 {
		return host[:i] + "_" + host[i+1:] + "_" // containerd reads it as host:port; it is a path on every system
	}
	return host
}

// hostsTOML returns the hosts.toml of the registry of repo for containerd. Its CA, if any, is in
// ca.crt beside it.
//
// containerd asks each [host] first, and then the server with the settings before the first table.
// Without those settings, an answer without the content would be followed by an attempt without the
// CA, and its error would be shown. containerd 1 refuses a file without any table.
func hostsTOML(repo name.Repository, access access) []byte {
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
	fmt.Fprintf(&out, "# For /etc/containerd/certs.d/%s on each node that runs containerd: how it reaches this registry.\n", hostFolder(repo.Registry))
	out.WriteString(`# There is no such file for the sources: containerd asks a mirror for an image at the path that it had at its
# source, and here all images lie in one repository.
`)
	fmt.Fprintf(&out, "\nserver = %[1]s\n%[2]s\n[host.%[1]s]\n%[2]s", server, settings)
	return out.Bytes()
}

// quoteTOML returns s as a TOML basic string. JSON's strings are basic strings.
func quoteTOML(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // no string does that
		return `""`
	}
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}
