package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"
	"github.com/google/go-containerregistry/pkg/name"
)

// keychains are those of clouds, by the names that imgpkg uses.
var keychains = map[string]authn.Keychain{
	"aks": helper{
		keychain: "aks", programs: []string{"docker-credential-acr-env"},
		hosts:   regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.azurecr\.(io|cn|de|us)$`),
		install: "https://github.com/chrismellard/docker-credential-acr-env",
	},
	"ecr": helper{
		keychain: "ecr", programs: []string{"docker-credential-ecr-login"},
		hosts:   regexp.MustCompile(`^(\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)|public\.ecr\.aws)$`),
		install: "https://github.com/awslabs/amazon-ecr-credential-helper",
	},
	"gke": helper{
		keychain: "gke", programs: []string{"docker-credential-gcr", "docker-credential-gcloud"},
		hosts:   regexp.MustCompile(`^(gcr\.io|[a-z0-9-]+(\.[a-z0-9-]+)*\.(gcr\.io|pkg\.dev))$`),
		install: "https://github.com/GoogleCloudPlatform/docker-credential-gcr",
	},
	"github": github.Keychain, // ghcr.io, by $GITHUB_TOKEN
}

// keychainNames are the names for Options.Keychains, as imgpkg orders them.
var keychainNames = []string{"aks", "ecr", "gke", "github"}

func checkKeychains(names []string) error {
	for _, n := range names {
		if keychains[n] == nil {
			//lint:ignore ST1005 imgpkg's words, which scripts look for
			return fmt.Errorf("Unable to load keychain for %s, available keychains [%s]", n, strings.Join(keychainNames, ", "))
		}
	}
	return nil
}

// cloud returns the credentials of the clouds' keychains for a repository; authn.Anonymous if none
// has any. Each helper runs once for a host.
func (c *Client) cloud(ctx context.Context, repo name.Repository) (authn.Authenticator, error) {
	for _, n := range c.opt.Keychains {
		known := entry(c, c.clouds, access{name: n + " " + repo.RegistryStr()})
		auth, err := known.get(ctx, func() (authn.Authenticator, error) { return authn.Resolve(ctx, keychains[n], repo.Registry) })
		if err != nil || auth != authn.Anonymous {
			return auth, err
		}
	}
	return authn.Anonymous, nil
}

// helperTimeout is the longest run of a credential helper. helperRenewal is how long its credential
// is used: the clouds' tokens are valid for an hour or more.
const (
	helperTimeout = time.Minute
	helperRenewal = 15 * time.Minute
)

// maxHelped is the most output of a credential helper, in bytes.
const maxHelped = 1 << 20

// helper is a keychain that runs a program with docker's credential helper protocol, for the
// cloud's own hosts.
type helper struct {
	keychain string
	programs []string // the first one found is run
	hosts    *regexp.Regexp
	install  string // where to get the program
}

// Resolve implements authn.Keychain.
func (h helper) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return h.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (h helper) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	host := target.RegistryStr()
	if !h.hosts.MatchString(host) {
		return authn.Anonymous, nil
	}
	i := slices.IndexFunc(h.programs, func(p string) bool { _, err := exec.LookPath(p); return err == nil })
	if i < 0 {
		return nil, fmt.Errorf("%w for %s: the keychain %s needs the program %s: install it (%s), or log in another way",
			ErrCredentials, host, h.keychain, strings.Join(h.programs, " or "), h.install)
	}
	return authn.Resolve(ctx, authn.RefreshingKeychain(running{h.programs[i]}, helperRenewal), target)
}

// running is a keychain that runs one program.
type running struct{ program string }

// Resolve implements authn.Keychain.
func (r running) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return r.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (r running) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, r.program, "get")
	stdout := &limited{&out, maxHelped}
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = strings.NewReader(target.RegistryStr()), stdout, time.Second
	fail := func(why string) error {
		return fmt.Errorf("%w for %s: %s get: %s", ErrCredentials, target.RegistryStr(), r.program, why)
	}
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(out.String())
		if strings.Contains(said, "credentials not found") { // the protocol's text for it
			return authn.Anonymous, nil
		}
		if stdout.left < 0 {
			return nil, fail(errFlood.Error())
		}
		return nil, fail(withoutSecret(err.Error() + " " + said))
	}
	var got struct{ Username, Secret string }
	if json.Unmarshal(out.Bytes(), &got) != nil || got.Secret == "" {
		return nil, fail("its output is not a credential")
	}
	if got.Username == "<token>" { // an identity token, by the protocol
		return authn.FromConfig(authn.AuthConfig{IdentityToken: got.Secret}), nil
	}
	return &authn.Basic{Username: got.Username, Password: got.Secret}, nil
}

var errFlood = errors.New("its output is too large")

// limited is a writer that fails after a number of bytes.
type limited struct {
	io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errFlood
	}
	return l.Writer.Write(p)
}
