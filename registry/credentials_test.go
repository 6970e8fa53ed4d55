package registry

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLogins: which login of the environment is for which repository.
func TestLogins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host, repo string
		want       bool
	}{
		{"reg.corp.com", "reg.corp.com/a/b", true},
		{"REG.corp.com", "reg.corp.com/a", true},
		{"reg.corp.com", "reg.corp.com:5000/a", false},
		{"reg.corp.com:5000", "reg.corp.com:5000/a", true},
		{"http://reg.corp.com/v1/", "reg.corp.com/a", true},
		{"https://reg.corp.com/v2/team", "reg.corp.com/team/a", true},
		{"reg.corp.com/v2x", "reg.corp.com/a", false},
		{"reg.corp.com/team", "reg.corp.com/team", true},
		{"reg.corp.com/team/", "reg.corp.com/team/a", true},
		{"reg.corp.com/team", "reg.corp.com/teams/a", false},
		{"reg.corp.com/team/a", "reg.corp.com/team", false},
		{"*.corp.com", "reg.corp.com/a", true},
		{"*.corp.com", "corp.com/a", false},
		{"*.corp.com", "x.reg.corp.com/a", false},
		{"reg*.c*p.com", "reg1.corp.com/a", true},
		{"*", "reg.corp.com/a", false},
		{"*.com", "evil.example.com/a", false},
		{"docker.io", "docker.io/library/busybox", true},
		{"index.docker.io/library", "busybox", true},
		{"docker.io", "quay.io/a", false},
	} {
		list, err := readLogins([]string{"IMGPKG_REGISTRY_HOSTNAME_x=" + c.host, "IMGPKG_REGISTRY_PASSWORD_x=p"})
		require.NoError(t, err, c.host)
		require.Len(t, list, 1)
		assert.Equal(t, c.want, list[0].isFor(parseRepo(t, c.repo)), "%s for %s", c.host, c.repo)
	}
}

// TestLoginsOrder: our variables come before imgpkg's, more specific hosts before others.
func TestLoginsOrder(t *testing.T) {
	t.Parallel()
	var environ []string
	for i, host := range []string{"*.corp.com", "reg.corp.com", "reg.corp.com/team", "reg.corp.com/team/a"} {
		for _, prefix := range loginPrefixes {
			environ = append(environ, fmt.Sprintf("%sHOSTNAME_%d=%s", prefix, i, host), fmt.Sprintf("%sUSERNAME_%d=u", prefix, i))
		}
	}
	environ = append(environ, "IMGPKG_REGISTRY_HOSTNAME=only.corp.com", "IMGPKG_REGISTRY_USERNAME_9=", "HOME=x", "GARBAGE")
	list, err := readLogins(environ)
	require.NoError(t, err)
	var got []string
	for _, l := range list {
		got = append(got, l.variable[:1]+" "+l.hostname)
	}
	assert.Equal(t, []string{
		"R reg.corp.com:/team/a", "R reg.corp.com:/team", "R reg.corp.com:", "R *.corp.com:",
		"I reg.corp.com:/team/a", "I reg.corp.com:/team", "I reg.corp.com:", "I *.corp.com:",
	}, got)
}

// TestLoginsMalformed: a malformed variable is an error, which does not contain its value.
func TestLoginsMalformed(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{
		{"RELOCATE_REGISTRY_PASS=hunter2"},
		{"IMGPKG_REGISTRY_HOSTNAMES=hunter2"},
		{"IMGPKG_REGISTRY_PASSWORD=hunter2"},
		{"IMGPKG_REGISTRY_HOSTNAME=https://u:hunter2@reg.corp.com"},
		{"IMGPKG_REGISTRY_HOSTNAME=hunter2?x"},
		{"IMGPKG_REGISTRY_HOSTNAME=[hunter2"},
		{"IMGPKG_REGISTRY_HOSTNAME=/hunter2"},
	} {
		_, err := readLogins(environ)
		if assert.Error(t, err, environ) {
			assert.NotContains(t, err.Error(), "hunter2")
			assert.Contains(t, err.Error(), "_REGISTRY_")
		}
	}
}

// TestLoginTokens: a registry token is sent as it is, an identity token is exchanged.
func TestLoginTokens(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int) { writeManifest(w) })
	for key, want := range map[string]authn.AuthConfig{
		"REGISTRY_TOKEN": {RegistryToken: "t"}, "IDENTITY_TOKEN": {IdentityToken: "t"},
	} {
		environ := []string{"RELOCATE_REGISTRY_HOSTNAME=" + s.host, "RELOCATE_REGISTRY_" + key + "=t"}
		c, _ := client(t, Options{Environ: environ})
		auth, err := c.credentials(t.Context(), s.repo(t), true)
		require.NoError(t, err)
		got, err := auth.Authorization()
		require.NoError(t, err)
		assert.Equal(t, want, *got)
		anonymous, _ := client(t, Options{Environ: environ, Anonymous: true})
		auth, err = anonymous.credentials(t.Context(), s.repo(t), true)
		require.NoError(t, err)
		assert.Equal(t, authn.Anonymous, auth)
	}
}

// TestPlainLogins: over plain HTTP a login of the environment goes to named registries only.
func TestPlainLogins(t *testing.T) {
	t.Parallel()
	environ := []string{"RELOCATE_REGISTRY_HOSTNAME=reg.corp.com", "RELOCATE_REGISTRY_PASSWORD=p"}
	repo := parseRepo(t, "reg.corp.com/a")
	for _, c := range []struct {
		named []string
		plain bool
		want  bool
	}{{nil, false, true}, {nil, true, false}, {[]string{"reg.corp.com"}, true, true}, {[]string{"other.com"}, true, false}} {
		cl, _ := client(t, Options{Environ: environ, Named: c.named, Insecure: true})
		auth, err := cl.credentials(t.Context(), repo, c.plain)
		require.NoError(t, err)
		assert.Equal(t, c.want, auth != authn.Anonymous, c)
	}
}

// TestHelperHosts: a cloud's helper is asked for the cloud's own hosts only.
func TestHelperHosts(t *testing.T) {
	t.Parallel()
	for keychain, hosts := range map[string]map[string]bool{
		"aks": {"corp.azurecr.io": true, "corp.azurecr.cn": true, "azurecr.io": false, "corp.azurecr.io.evil.com": false, "corpazurecr.io": false, "corp.azurecr.io:8443": false},
		"ecr": {"123456789012.dkr.ecr.eu-west-1.amazonaws.com": true, "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": true,
			"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn": true, "public.ecr.aws": true, "123456789012.dkr.ecr.eu.amazonaws.com.evil.com": false, "s3.amazonaws.com": false},
		"gke": {"gcr.io": true, "eu.gcr.io": true, "europe-docker.pkg.dev": true, "evilgcr.io": false, "gcr.io.evil.com": false, "pkg.dev": false},
	} {
		for host, want := range hosts {
			assert.Equal(t, want, keychains[keychain].(helper).hosts.MatchString(host), "%s for %s", keychain, host)
		}
	}
}

// TestHelperAnswers: the answers of a helper, which runs once for a host.
func TestHelperAnswers(t *testing.T) {
	dir := home(t)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, c := range []struct {
		name, script string
		want         authn.AuthConfig
		says         string
	}{
		{"user", `echo '{"Username":"u","Secret":"p"}'`, authn.AuthConfig{Username: "u", Password: "p"}, ""},
		{"token", `echo '{"Username":"<token>","Secret":"p"}'`, authn.AuthConfig{IdentityToken: "p"}, ""},
		{"nothing", `echo 'credentials not found in native keychain'; exit 1`, authn.AuthConfig{}, ""},
		{"failure", `echo 'no metadata server'; exit 1`, authn.AuthConfig{}, "no metadata server"},
		{"secret failure", `echo '{"Secret":"hunter2"}'; exit 1`, authn.AuthConfig{}, "the credential helper failed"},
		{"garbage", `echo hunter2`, authn.AuthConfig{}, "its output is not a credential"},
		{"flood", `yes hunter2`, authn.AuthConfig{}, "its output is too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := filepath.Join(dir, c.name)
			script := fmt.Sprintf("#!/bin/sh\nread host\necho \"$1 $host\" >> '%s'\n%s\n", calls, c.script)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-acr-env"), []byte(script), 0o700))
			cl, _ := client(t, Options{Keychains: []string{"aks"}})
			for _, repo := range []string{"corp.azurecr.io/a", "corp.azurecr.io/b", "other.com/a"} {
				auth, err := cl.credentials(t.Context(), parseRepo(t, repo), false)
				if repo == "other.com/a" {
					require.NoError(t, err)
					assert.Equal(t, authn.Anonymous, auth)
					continue
				}
				if c.says != "" {
					require.ErrorIs(t, err, ErrCredentials)
					assert.ErrorContains(t, err, c.says)
					assert.NotContains(t, err.Error(), "hunter2")
					continue
				}
				require.NoError(t, err)
				got, err := auth.Authorization()
				require.NoError(t, err)
				assert.Equal(t, c.want, *got)
			}
			text, err := os.ReadFile(calls)
			require.NoError(t, err)
			assert.Equal(t, "get corp.azurecr.io\n", string(text))
		})
	}
}
