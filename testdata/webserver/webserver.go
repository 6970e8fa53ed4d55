// Package webserver starts servers of files for tests: nginx, Apache, Caddy and Python's, as Debian has them,
// and a server of links that are signed as S3 does.
//
// A test that needs a program which is not installed is skipped. Servers listen on loopback and stop with the
// test.
package webserver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tries is how often a server starts when its port was taken meanwhile.
const tries = 5

// patience is how long a server may take to listen.
const patience = 20 * time.Second

// start runs a server, which run makes for an address, until the test ends, and returns its URL.
func start(t testing.TB, program string, run func(host, port string) *exec.Cmd) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	var output bytes.Buffer
	for range tries {
		host, port := freePort(t)
		cmd := run(host, port)
		cmd.Path = path
		output.Reset()
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // it is stopped
			close(ended)
		}()
		if listens(net.JoinHostPort(host, port), ended) {
			t.Cleanup(func() {
				_ = cmd.Process.Signal(os.Interrupt)
				select {
				case <-ended:
				case <-time.After(patience):
					_ = cmd.Process.Kill()
				}
			})
			return "http://" + net.JoinHostPort(host, port)
		}
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	}
	t.Fatalf("%s does not start: %s", program, output.String())
	return ""
}

func freePort(t testing.TB) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// listens waits until a server answers at addr, or has ended.
func listens(addr string, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return true
		}
	}
	return false
}

// Nginx serves the folder root. server is further configuration of the server.
func Nginx(t testing.TB, root string, server ...string) string {
	t.Helper()
	dir := t.TempDir()
	return start(t, "nginx", func(host, port string) *exec.Cmd {
		conf := filepath.Join(dir, "nginx.conf")
		write(t, conf, fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	types { application/x-tar tar; }
	server { listen %[2]s:%[3]s; root %[4]s; %[5]s }
}
`, dir, host, port, root, strings.Join(server, " ")))
		return exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", conf)
	})
}

// Apache serves the folder root. With gzip it compresses tar files on the fly.
func Apache(t testing.TB, root string, gzip bool) string {
	t.Helper()
	dir := t.TempDir()
	more := ""
	if gzip {
		more = "LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so\nLoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so\n" +
			"AddOutputFilterByType DEFLATE application/x-tar\n"
	}
	if os.Getuid() == 0 { // it does not run as root
		more += "User www-data\nGroup www-data\n"
	}
	return start(t, "apache2", func(host, port string) *exec.Cmd {
		conf := filepath.Join(dir, "apache.conf")
		write(t, conf, fmt.Sprintf(`LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
%[5]sServerName localhost
ServerRoot %[1]s
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
ErrorLog /dev/stderr
TypesConfig /dev/null
AddType application/x-tar .tar
Listen %[2]s:%[3]s
DocumentRoot %[4]s
<Directory %[4]s>
Require all granted
</Directory>
`, dir, host, port, root, more))
		return exec.Command("apache2", "-X", "-f", conf)
	})
}

// Caddy serves the folder root.
func Caddy(t testing.TB, root string) string {
	t.Helper()
	dir := t.TempDir()
	return start(t, "caddy", func(host, port string) *exec.Cmd {
		conf := filepath.Join(dir, "Caddyfile")
		write(t, conf, fmt.Sprintf("{\nadmin off\nauto_https off\n}\nhttp://%s:%s {\nroot * %s\nencode gzip\nfile_server\n}\n", host, port, root))
		cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", conf)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	})
}

// Python serves the folder root, and knows no ranges.
func Python(t testing.TB, root string) string {
	t.Helper()
	return start(t, "python3", func(host, port string) *exec.Cmd {
		return exec.Command("python3", "-m", "http.server", "--bind", host, "--directory", root, port)
	})
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
