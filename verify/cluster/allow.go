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

// Place is a host, or a path at one, where images may be beside the repository.
type Place struct {
	host string // with its port, as go-containerregistry writes it
	path string // empty for all
}

// ParsePlace reads HOST[:PORT][/PATH]. docker.io is Docker Hub by whatever name.
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

// has reports whether the place is host, and has path.
func (p Place) has(host, path string) bool {
	return strings.EqualFold(p.host, host) && (p.path == "" || p.path == path || strings.HasPrefix(path, p.path+"/"))
}

// Holds reports whether what an image reference, or a URL, names is at the place.
func (p Place) Holds(reference string) bool {
	if ref := parse(reference); ref != nil {
		return p.has(ref.Context().RegistryStr(), ref.Context().RepositoryStr())
	}
	host, path, err := splitURL(reference)
	return err == nil && p.has(host, path)
}

// parse reads a reference as a node does; nil when it is none. One with a tag and a digest is by digest.
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

// splitURL returns the host and the path of what a fetch by URL reads, in the forms of http, git and helm:
// https://host/path, oci://host/path, ssh://git@host/path, git@host:path.
func splitURL(s string) (host, file string, err error) {
	if !strings.Contains(s, "://") {
		at, file, ok := strings.Cut(s, ":") // the first one: git sees a host before it, whatever follows
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

// cleanPath returns a path as a server may read it, so that none climbs out of a place.
func cleanPath(p string) string { return path.Clean("/" + p)[1:] }
