package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

// otherHtpasswd lets "other" in with "word-of-the-other".
const otherHtpasswd = "other:$2a$04$INMdB9shD96E9IsdcwiKt.0Ir7NBw3jRckcJpad1j5GjlNbFgaVbG\n"

// cloudHosts are hosts of the clouds, which a proxy leads to a registry of the test.
var cloudHosts = []string{"corp.azurecr.io", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "europe-docker.pkg.dev", "ghcr.io", "registry.test"}

// matrix is two registries with TLS and logins of their own; the second wants a client certificate.
type matrix struct {
	src, dst       *realregistry.Registry
	srcCA, dstCA   *realregistry.Authority
	cert, key      string // that dst takes
	alien, akey    string // that it does not take
	ref            string // what src has
	proxy          string // leads cloudHosts to src
	proxied        *atomic.Int32
	helpers, empty string // folders: with credential helpers, without
}

func newMatrix(t *testing.T) *matrix {
	plain := startReal(t)
	s := site{t: t, host: plain.Addr}
	s.bundle("corp/repository", "1", map[string]string{}, s.ref("corp/repository", s.image("corp/repository", "app", "app")))
	plain.Stop()
	m := &matrix{srcCA: realregistry.NewAuthority(t), dstCA: realregistry.NewAuthority(t), proxied: &atomic.Int32{}, empty: t.TempDir()}
	start := func(opt realregistry.Options, users string, ca *realregistry.Authority) *realregistry.Registry {
		opt.Htpasswd = fileWith(t, users)
		opt.CertFile, opt.KeyFile = ca.Issue(t, cloudHosts...)
		return realregistry.Start(t, opt)
	}
	m.src = start(realregistry.Options{Dir: plain.Dir}, htpasswd, m.srcCA)
	m.dst = start(realregistry.Options{ClientCA: m.dstCA.File}, otherHtpasswd, m.dstCA)
	m.cert, m.key = m.dstCA.Issue(t)
	m.alien, m.akey = m.srcCA.Issue(t)
	m.ref = m.src.Addr + "/corp/repository:1"
	m.proxy = startConnectProxy(t, m.src.Addr, m.proxied)
	m.helpers = t.TempDir()
	for _, h := range []string{"acr-env", "ecr-login", "gcr", "right"} {
		writeHelper(t, m.helpers, h, `read host; printf '{"ServerURL":"%s","Username":"user","Secret":"password"}' "$host"`)
	}
	writeHelper(t, m.helpers, "fails", `echo '{"Secret":"hunter2"}'; exit 1`)
	return m
}

// fileWith writes a file and returns its path.
func fileWith(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// dirWith writes a file to a new folder and returns that.
func dirWith(t *testing.T, path, text string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return dir
}

// writeHelper writes a credential helper.
func writeHelper(t *testing.T, dir, name, script string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
}

// startConnectProxy starts a proxy that leads every host to addr.
func startConnectProxy(t *testing.T, addr string, count *atomic.Int32) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "not a proxy for that", http.StatusBadGateway)
			return
		}
		count.Add(1)
		to, err := net.Dial("tcp", addr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		from, read, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		go func() { _, _ = io.Copy(to, read); to.Close() }() // some of it may have been read already
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// dockerConfig is a configuration with a login.
func dockerConfig(host, user, password string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// login is a row of the matrix.
type login struct {
	name   string
	env    []string
	args   []string
	stdin  string
	status int
	says   []string
}

// runLogins runs the program once for each row, with command before its arguments.
func (m *matrix) runLogins(t *testing.T, rows []login, command func(row int) []string) {
	t.Helper()
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t, append(command(i), row.args...)...)
			p.cmd.Env = append(append(p.cmd.Env, "DOCKER_CONFIG="+m.empty, "HOME="+m.empty, "SSL_CERT_FILE="+m.srcCA.File), row.env...)
			p.cmd.Stdin = strings.NewReader(row.stdin)
			r := p.run(t)
			assert.Equal(t, row.status, r.status, r.stderr)
			assertAll(t, r.stderr, row.says...)
			for _, secret := range []string{"hunter2", "password\"", "word-of-the-other"} {
				assert.NotContains(t, r.stdout+r.stderr, secret)
			}
		})
	}
}

// TestLoginMatrix: every way to log in, right and wrong, at a registry with a CA of its own.
func TestLoginMatrix(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMatrix(t)
	refused := []string{m.src.Addr, "401", "no login found for " + m.src.Addr, "hint: log in"}
	wrong := []string{m.src.Addr + " refused this login", "401", "hint: check the user name"}
	one := func(prefix, host, password string, more ...string) []string {
		return append(more, prefix+"_REGISTRY_HOSTNAME_1="+host, prefix+"_REGISTRY_USERNAME_1=user", prefix+"_REGISTRY_PASSWORD_1="+password)
	}
	_, port, err := net.SplitHostPort(m.src.Addr)
	require.NoError(t, err)
	path := "PATH=" + m.helpers + string(os.PathListSeparator) + os.Getenv("PATH")
	rows := []login{
		{name: "none", status: 4, says: refused},
		{name: "flags", args: []string{"--registry-username", "user", "--registry-password", "password"}},
		{name: "flags, wrong", args: []string{"--registry-username", "user", "--registry-password", "hunter2"}, status: 4, says: wrong},
		{name: "a token where there are none", args: []string{"--registry-token", "hunter2"}, status: 4, says: wrong},
		{name: "password on stdin", args: []string{"--registry-username", "user", "--registry-password-stdin"}, stdin: "password\r\n"},
		{name: "password on stdin, wrong", args: []string{"--registry-username", "user", "--registry-password-stdin"}, stdin: "hunter2\n", status: 4, says: wrong},
		{name: "password on stdin, none", args: []string{"--registry-username", "user", "--registry-password-stdin"}, status: 2, says: []string{"standard input is empty"}},
		{name: "a CA by flag", env: []string{"SSL_CERT_FILE="}, args: []string{"--registry-username", "user", "--registry-password", "password", "--registry-ca-cert-path", m.srcCA.File}},
		{name: "no CA", env: []string{"SSL_CERT_FILE="}, args: []string{"--registry-username", "user", "--registry-password", "hunter2"}, status: 2, says: []string{"certificate", "hint: give the registry's CA"}},

		{name: "our defaults of flags", env: []string{"RELOCATE_USERNAME=user", "RELOCATE_PASSWORD=password", "IMGPKG_USERNAME=x", "IMGPKG_PASSWORD=x"}},
		{name: "imgpkg's defaults of flags", env: []string{"IMGPKG_USERNAME=user", "IMGPKG_PASSWORD=password"}},
		{name: "imgpkg's defaults of flags, wrong", env: []string{"IMGPKG_USERNAME=user", "IMGPKG_PASSWORD=hunter2"}, status: 4, says: wrong},
		{name: "flags before their defaults", env: []string{"IMGPKG_USERNAME=user", "IMGPKG_PASSWORD=hunter2"}, args: []string{"--registry-username", "user", "--registry-password", "password"}},

		{name: "env, ours", env: one("RELOCATE", m.src.Addr, "password")},
		{name: "env, imgpkg's", env: one("IMGPKG", m.src.Addr, "password")},
		{name: "env, wrong", env: one("IMGPKG", m.src.Addr, "hunter2"), status: 4, says: wrong},
		{name: "env, ours first", env: one("RELOCATE", m.src.Addr, "password", one("IMGPKG", m.src.Addr, "hunter2")...)},
		{name: "env before flags", env: one("IMGPKG", m.src.Addr, "password"), args: []string{"--registry-username", "user", "--registry-password", "hunter2"}},
		{name: "env, no suffix", env: []string{"IMGPKG_REGISTRY_HOSTNAME=" + m.src.Addr, "IMGPKG_REGISTRY_USERNAME=user", "IMGPKG_REGISTRY_PASSWORD=password"}},
		{name: "env, a scheme and a version", env: one("IMGPKG", "https://"+m.src.Addr+"/v2/", "password")},
		{name: "env, a path", env: one("IMGPKG", m.src.Addr+"/corp", "password")},
		{name: "env, half a segment", env: one("IMGPKG", m.src.Addr+"/cor", "password"), status: 4, says: refused},
		{name: "env, another port", env: one("IMGPKG", "127.0.0.1:1", "password"), status: 4, says: refused},
		{name: "env, a glob", env: one("IMGPKG", "127.*.0.*:"+port, "password")},
		{name: "env, a glob of fewer parts", env: one("IMGPKG", "*:"+port, "password"), status: 4, says: refused},
		{name: "env, the longer path", env: append(one("IMGPKG", m.src.Addr+"/corp", "password"),
			"IMGPKG_REGISTRY_HOSTNAME_0="+m.src.Addr, "IMGPKG_REGISTRY_USERNAME_0=user", "IMGPKG_REGISTRY_PASSWORD_0=hunter2")},
		{name: "env, an unknown variable", env: one("IMGPKG", m.src.Addr, "password", "IMGPKG_REGISTRY_PASSWROD=hunter2"), status: 2, says: []string{"Unknown env variable 'IMGPKG_REGISTRY_PASSWROD'"}},
		{name: "env, Azure's variable", env: one("IMGPKG", m.src.Addr, "password", "IMGPKG_REGISTRY_AZURE_CR_CONFIG=x")},
		{name: "env, no host", env: []string{"IMGPKG_REGISTRY_PASSWORD_1=hunter2"}, status: 2, says: []string{"IMGPKG_REGISTRY_HOSTNAME_1"}},

		{name: "docker", env: []string{"DOCKER_CONFIG=" + dirWith(t, "config.json", dockerConfig(m.src.Addr, "user", "password"))}},
		{name: "docker, wrong", env: []string{"DOCKER_CONFIG=" + dirWith(t, "config.json", dockerConfig(m.src.Addr, "user", "hunter2"))}, status: 4, says: wrong},
		{name: "docker, at home", env: []string{"DOCKER_CONFIG=", "HOME=" + dirWith(t, ".docker/config.json", dockerConfig(m.src.Addr, "user", "password"))}},
		{name: "REGISTRY_AUTH_FILE", env: []string{"REGISTRY_AUTH_FILE=" + fileWith(t, dockerConfig(m.src.Addr, "user", "password"))}},
		{name: "REGISTRY_AUTH_FILE, wrong", env: []string{"REGISTRY_AUTH_FILE=" + fileWith(t, dockerConfig(m.src.Addr, "user", "hunter2"))}, status: 4, says: wrong},
		{name: "podman", env: []string{"XDG_RUNTIME_DIR=" + dirWith(t, "containers/auth.json", dockerConfig(m.src.Addr, "user", "password"))}},
		{name: "podman, wrong", env: []string{"XDG_RUNTIME_DIR=" + dirWith(t, "containers/auth.json", dockerConfig(m.src.Addr, "user", "hunter2"))}, status: 4, says: wrong},
		{name: "a credential helper", env: []string{path, "DOCKER_CONFIG=" + dirWith(t, "config.json", `{"credsStore":"right"}`)}},
		{name: "a credential helper that fails", env: []string{path, "DOCKER_CONFIG=" + dirWith(t, "config.json", `{"credsStore":"fails"}`)}, status: 2, says: []string{"look up credentials for " + m.src.Addr}},
		{name: "a credential helper that is not there", env: []string{path, "DOCKER_CONFIG=" + dirWith(t, "config.json", `{"credsStore":"none"}`)}, status: 2, says: []string{"docker-credential-none", "hint: "}},
		{name: "anonymous", env: append(one("IMGPKG", m.src.Addr, "password"), "RELOCATE_ANON=true"), status: 4, says: refused},
	}
	m.runLogins(t, rows, func(int) []string { return []string{"inspect", "--repo", m.ref} })
}

// TestCloudLogins: the clouds' keychains, for their own hosts only, through a proxy.
func TestCloudLogins(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMatrix(t)
	path := "PATH=" + m.helpers + string(os.PathListSeparator) + os.Getenv("PATH")
	github := []string{"GITHUB_ACTOR=user", "GITHUB_TOKEN=password"}
	var hosts []string
	var rows []login
	add := func(host string, l login) {
		l.env = append(l.env, "HTTPS_PROXY="+m.proxy)
		hosts, rows = append(hosts, host), append(rows, l)
	}
	add(cloudHosts[0], login{name: "aks", env: []string{path, "RELOCATE_ACTIVE_KEYCHAINS=aks"}})
	add(cloudHosts[1], login{name: "ecr", env: []string{path, "IMGPKG_ACTIVE_KEYCHAINS=gke,ecr"}})
	add(cloudHosts[2], login{name: "gke", env: []string{path}, args: []string{"--registry-keychain", "gke"}})
	add(cloudHosts[3], login{name: "github", env: github, args: []string{"--registry-keychain", "github"}})
	add(cloudHosts[3], login{name: "github, wrong", env: []string{"GITHUB_TOKEN=hunter2"}, args: []string{"--registry-keychain", "github"}, status: 4})
	add(cloudHosts[3], login{name: "github, not asked", env: github, status: 4})
	add(cloudHosts[0], login{name: "aks, not asked", env: []string{path}, status: 4})
	add(cloudHosts[0], login{name: "all", env: []string{path, "IMGPKG_ENABLE_IAAS_AUTH=true"}})
	add(cloudHosts[4], login{name: "another's host", env: append(github, path, "IMGPKG_ENABLE_IAAS_AUTH=true"), status: 4})
	add(cloudHosts[0], login{name: "no helper", args: []string{"--registry-keychain", "aks"}, status: 2, says: []string{"docker-credential-acr-env", "install it"}})
	add(cloudHosts[0], login{name: "unknown", args: []string{"--registry-keychain", "aws"}, status: 2, says: []string{"Unable to load keychain for aws, available keychains [aks, ecr, gke, github]"}})
	add(cloudHosts[4], login{name: "flags, through the proxy", args: []string{"--registry-username", "user", "--registry-password", "password"}})
	add(cloudHosts[4], login{name: "no proxy", env: []string{"NO_PROXY=.test"}, args: []string{"--registry-retry-count", "1"}, status: 1})
	t.Cleanup(func() { assert.Positive(t, m.proxied.Load()) })
	m.runLogins(t, rows, func(i int) []string { return []string{"inspect", "--repo", hosts[i] + "/corp/repository:1"} })
}

// TestLoginSides: source and destination with logins, CAs and certificates of their own.
func TestLoginSides(t *testing.T) {
	skipShort(t)
	t.Parallel()
	m := newMatrix(t)
	src := []string{"--src-registry-username", "user", "--src-registry-password", "password"}
	dst := []string{"--dst-registry-username", "other", "--dst-registry-password", "word-of-the-other"}
	cert := []string{"--dst-registry-ca-cert-path", m.dstCA.File, "--dst-registry-client-cert", m.cert, "--dst-registry-client-key", m.key}
	args := func(lists ...[]string) []string {
		var all []string
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	certHint := []string{m.dst.Addr, "hint: if the registry requires a client certificate"}
	rows := []login{
		{name: "each its own", args: args(src, dst, cert)},
		{name: "one for both", args: args([]string{"--registry-username", "user", "--registry-password", "password"}, cert), status: 4, says: []string{m.dst.Addr, "refused this login", "hint: check the user name"}},
		{name: "common, and the destination's own", args: args([]string{"--registry-username", "user", "--registry-password", "password"}, dst, cert)},
		{name: "common, and the source's own", args: args([]string{"--registry-username", "other", "--registry-password", "word-of-the-other"}, src, cert)},
		{name: "a token of the destination", args: args([]string{"--registry-username", "other", "--registry-password", "word-of-the-other", "--dst-registry-token", "hunter2"}, src, cert), status: 4, says: []string{m.dst.Addr}},
		{name: "exchanged", args: args([]string{"--src-registry-username", "other", "--src-registry-password", "word-of-the-other"}, dst, cert), status: 4, says: []string{m.src.Addr, "refused this login", "hint: check the user name"}},
		{name: "the destination's wrong", args: args(src, []string{"--dst-registry-username", "other", "--dst-registry-password", "hunter2"}, cert), status: 4, says: []string{m.dst.Addr, "refused this login", "hint: check the user name"}},
		{name: "one on stdin", args: args(src, []string{"--dst-registry-username", "other", "--dst-registry-password-stdin"}, cert), stdin: "word-of-the-other\n"},
		{name: "two on stdin", args: args([]string{"--src-registry-username", "user", "--src-registry-password-stdin", "--dst-registry-username", "other", "--dst-registry-password-stdin"}, cert), status: 2, says: []string{"one password"}},
		{name: "by the environment", args: cert, env: []string{
			"IMGPKG_REGISTRY_HOSTNAME_a=" + m.src.Addr, "IMGPKG_REGISTRY_USERNAME_a=user", "IMGPKG_REGISTRY_PASSWORD_a=password",
			"RELOCATE_REGISTRY_HOSTNAME_a=" + m.dst.Addr, "RELOCATE_REGISTRY_USERNAME_a=other", "RELOCATE_REGISTRY_PASSWORD_a=word-of-the-other",
		}},
		{name: "no client certificate", args: args(src, dst, cert[:2]), status: 4, says: certHint},
		{name: "another's client certificate", args: args(src, dst, cert[:2], []string{"--dst-registry-client-cert", m.alien, "--dst-registry-client-key", m.akey}), status: 4, says: certHint},
		{name: "the source's client certificate", args: args(src, dst, cert[:2], []string{"--src-registry-client-cert", m.cert, "--src-registry-client-key", m.key}), status: 4, says: certHint},
		{name: "a certificate without its key", args: args(src, dst, cert[:4]), status: 2, says: []string{"must be given together"}},
		{name: "a key of another", args: args(src, dst, cert[:4], []string{"--dst-registry-client-key", m.akey}), status: 2, says: []string{"read the client certificate"}},
		{name: "the destination's CA for the source", args: args(src, dst, cert[2:], []string{"--src-registry-ca-cert-path", m.dstCA.File}), status: 2, says: []string{m.dst.Addr, "hint: give the registry's CA"}},
	}
	m.runLogins(t, rows, func(i int) []string {
		return []string{"-b", m.ref, "--to-repo", fmt.Sprintf("%s/relocated/%d", m.dst.Addr, i)}
	})
	t.Run("a side that is no registry", func(t *testing.T) {
		r := tryRelocate(t, "-b", m.ref, "--to-tar", filepath.Join(t.TempDir(), "x.tar"), "--dst-registry-anon")
		assertFailed(t, r, statusUsage, "--dst-registry-anon: the destination is not a registry")
	})
}
