package cluster

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/internal/text"
)

// Place is a host, or a path on one, where images may be outside the repository.
type Place struct {
	host string // with its port, as go-containerregistry writes it
	path string // empty for all
}

// ParsePlace reads HOST[:PORT][/PATH]. docker.io covers every name of Docker Hub.
func ParsePlace(s string) (Place, error) {
	host, path, _ := strings.Cut(s, "/")
	registry, err := name.NewRegistry(host)
	if host == "" || strings.HasSuffix(host, ":") || strings.ContainsAny(host, "*?") || err != nil {
		return Place{}, fmt.Errorf("%s: is no host, nor a host and a path", text.Quote(s))
	}
	path = strings.TrimSuffix(path, "/")
	if path != "" {
		if _, err := name.NewRepository(registry.RegistryStr() + "/" + path); err != nil {
			return Place{}, fmt.Errorf("%s: is no host, nor a host and a path", text.Quote(s))
		}
	}
	return Place{registry.RegistryStr(), path}, nil
}

// has reports whether path on host is within the place.
func (p Place) has(host, path string) bool {
	return strings.EqualFold(p.host, host) && (p.path == "" || p.path == path || strings.HasPrefix(path, p.path+"/"))
}

// Holds reports whether an image reference or a URL points to the place.
func (p Place) Holds(reference string) bool {
	if ref := parse(reference); ref != nil {
		return p.has(ref.Context().RegistryStr(), ref.Context().RepositoryStr())
	}
	host, path, err := splitURL(reference)
	return err == nil && p.has(host, path)
}

// parse reads a reference as a node does. It returns nil when s is not a reference. A reference
// with a tag and a digest is read by digest.
func parse(s string) name.Reference {
	if len(s) > maxReference {
		return nil
	}
	ref, err := name.ParseReference(s)
	if err != nil {
		return nil
	}
	return ref
}

// splitURL returns the host and the path of a URL that a fetch reads, in the formats of http, git
// and helm: https://host/path, oci://host/path, ssh://git@host/path, git@host:path.
func splitURL(s string) (host, file string, err error) {
	if !strings.Contains(s, "://") {
		at, file, ok := strings.Cut(s, ":") // the first colon: git reads a host before it, whatever follows
		host = at[strings.LastIndex(at, "@")+1:]
		if !ok || host == "" || strings.ContainsAny(at, "/ []") {
			return "", "", errors.New("is no URL")
		}
		return host, cleanPath(file), nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", "", errors.New("is no URL")
	}
	return u.Host, cleanPath(u.Path), nil
}

// cleanPath returns a path as a server may read it, with all .. resolved, so that no path leaves a
// place.
func cleanPath(p string) string { return path.Clean("/" + p)[1:] }
