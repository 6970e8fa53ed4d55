package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// ErrCredentials says that credentials could not be looked up, as when a credential helper fails.
// The registry was not asked.
var ErrCredentials = errors.New("look up credentials")

// loginPrefixes are the prefixes of the environment's variables, ours first.
var loginPrefixes = []string{"RELOCATE_REGISTRY_", "IMGPKG_REGISTRY_"}

// notLogins are variables with such a prefix that are not part of a login.
var notLogins = []string{"IMGPKG_REGISTRY_AZURE_CR_CONFIG"}

// login is a credential of the environment. It is for a host, of which each part between dots may
// be a glob (path.Match), a port, and a path that the repository's path begins with.
type login struct {
	variable string // the one with the host
	hostname string // the key to sort by
	parts    []string
	port     string
	path     []string
	config   authn.AuthConfig
}

// readLogins reads the logins of an environment ("NAME=value" each), in the order in which they are
// tried: those of RELOCATE_REGISTRY_HOSTNAME[_SUFFIX] before those of
// IMGPKG_REGISTRY_HOSTNAME[_SUFFIX], and of each the more specific ones first, in imgpkg's order.
// The variables with one suffix are one login; the others are …USERNAME, …PASSWORD, …IDENTITY_TOKEN
// and …REGISTRY_TOKEN.
//
// Errors: a variable with the prefix and another name; a login without a host. No error contains a
// value.
func readLogins(environ []string) ([]login, error) {
	var all []login
	for _, prefix := range loginPrefixes {
		bySuffix := map[string]*login{}
		for _, variable := range environ {
			key, value, _ := strings.Cut(variable, "=")
			rest, ours := strings.CutPrefix(key, prefix)
			if !ours || slices.Contains(notLogins, key) {
				continue
			}
			if err := readLogin(bySuffix, prefix, rest, value); err != nil {
				return nil, err
			}
		}
		var list []login
		for suffix, l := range bySuffix {
			if l.config == (authn.AuthConfig{}) {
				continue // a host without a credential
			}
			if l.hostname == "" {
				return nil, fmt.Errorf("%sHOSTNAME%s is missing: a login in the environment needs it", prefix, suffix)
			}
			list = append(list, *l)
		}
		slices.SortFunc(list, func(a, b login) int {
			return cmp.Or(strings.Compare(b.hostname, a.hostname), strings.Compare(a.variable, b.variable))
		})
		all = append(all, list...)
	}
	return all, nil
}

// readLogin adds one variable to its login. rest is the name of the variable after the prefix.
func readLogin(bySuffix map[string]*login, prefix, rest, value string) error {
	for _, key := range []string{"HOSTNAME", "USERNAME", "PASSWORD", "IDENTITY_TOKEN", "REGISTRY_TOKEN"} {
		suffix, found := strings.CutPrefix(rest, key)
		if !found || suffix != "" && suffix[0] != '_' {
			continue
		}
		l := bySuffix[suffix]
		if l == nil {
			l = &login{variable: prefix + "HOSTNAME" + suffix}
			bySuffix[suffix] = l
		}
		switch key {
		case "HOSTNAME":
			return l.setHost(value)
		case "USERNAME":
			l.config.Username = value
		case "PASSWORD":
			l.config.Password = value
		case "IDENTITY_TOKEN":
			l.config.IdentityToken = value
		case "REGISTRY_TOKEN":
			l.config.RegistryToken = value
		}
		return nil
	}
	//lint:ignore ST1005 imgpkg's words, which scripts look for
	return fmt.Errorf("Unknown env variable '%s%s': after %s comes HOSTNAME, USERNAME, PASSWORD, IDENTITY_TOKEN or REGISTRY_TOKEN, then _ and a suffix if any",
		prefix, rest, prefix)
}

// setHost reads a host with port and path. It ignores a scheme, and the path that docker's logins end with.
func (l *login) setHost(value string) error {
	if value == "" {
		return nil
	}
	if _, rest, found := strings.Cut(value, "://"); found {
		value = rest
	}
	u, err := url.Parse("//" + value)
	if err == nil {
		_, err = path.Match(u.Hostname(), "")
	}
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s: write a host, host:port or host/path", l.variable)
	}
	host := strings.ToLower(u.Hostname())
	if host == "docker.io" {
		host = name.DefaultRegistry
	}
	p := strings.Trim(withoutVersion(u.Path), "/")
	l.parts, l.port = strings.Split(host, "."), u.Port()
	l.hostname = strings.TrimSuffix(net.JoinHostPort(host, u.Port())+"/"+p, "/")
	if p != "" {
		l.path = strings.Split(p, "/")
	}
	return nil
}

// withoutVersion returns a path without the version of the API that it begins with.
func withoutVersion(p string) string {
	for _, version := range []string{"/v1", "/v2"} {
		if rest, found := strings.CutPrefix(p, version); found && (rest == "" || rest[0] == '/') {
			return rest
		}
	}
	return p
}

// isFor reports whether the login is for a repository.
func (l *login) isFor(repo name.Repository) bool {
	u := &url.URL{Host: strings.ToLower(repo.RegistryStr())}
	parts, under := strings.Split(u.Hostname(), "."), strings.Split(repo.RepositoryStr(), "/")
	if u.Port() != l.port || len(parts) != len(l.parts) || len(under) < len(l.path) || !slices.Equal(under[:len(l.path)], l.path) {
		return false
	}
	for i, glob := range l.parts {
		if matched, _ := path.Match(glob, parts[i]); !matched {
			return false
		}
	}
	return true
}

// credentials returns the credentials for a repository, from the first of these that has some: the
// environment, the keychains of clouds, the options (for named registries), docker's configuration.
// Over plain HTTP only named registries get credentials: references in locks name other registries,
// and an attacker on the network can make TLS fail.
func (c *Client) credentials(ctx context.Context, repo name.Repository, plain bool) (authn.Authenticator, error) {
	named := slices.Contains(c.opt.Named, repo.RegistryStr())
	if c.opt.Anonymous || plain && !named && !isLoopback(hostname(repo.Registry)) {
		return authn.Anonymous, nil
	}
	if i := slices.IndexFunc(c.logins, func(l login) bool { return l.isFor(repo) }); i >= 0 {
		return authn.FromConfig(c.logins[i].config), nil
	}
	if auth, err := c.cloud(ctx, repo); auth != authn.Anonymous || err != nil {
		return auth, err
	}
	if auth := c.given(); named && auth != nil {
		return auth, nil
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, fmt.Errorf("%w for %s: %s", ErrCredentials, repo.RegistryStr(), withoutSecret(err.Error()))
	}
	return auth, nil
}

// given returns the credentials in the options; nil when they have none.
func (c *Client) given() authn.Authenticator {
	switch {
	case c.opt.Username != "":
		return &authn.Basic{Username: c.opt.Username, Password: c.opt.Password}
	case c.opt.Token != "":
		return &authn.Bearer{Token: c.opt.Token}
	}
	return nil
}

// withoutSecret makes one line of a credential helper's output. It returns a fixed text if the
// output may have a secret: a helper can fail after it has printed one.
func withoutSecret(said string) string {
	if strings.Contains(strings.ToLower(said), `"secret"`) {
		return "the credential helper failed"
	}
	return oneLine(said)
}
