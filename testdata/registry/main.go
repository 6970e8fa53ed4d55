// Command registry runs an OCI registry for the tests: the distribution
// project's own code over a folder on disk, so that the tests meet what a
// private registry does, and not only what an imitation of one does.
//
// It is a module of its own, because the registry's dependencies are not
// those of relocate. Package realregistry builds it and starts it.
//
// The first line on standard output is the address, host:port, and comes when
// the registry accepts connections. SIGTERM and SIGINT stop it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
)

// stopTimeout bounds how long requests under way may take once the registry
// is told to stop.
const stopTimeout = 5 * time.Second

type options struct {
	addr     string
	dir      string
	htpasswd string
	tlsCert  string
	tlsKey   string
}

func main() {
	var opts options
	flag.StringVar(&opts.addr, "addr", "127.0.0.1:0", "`host:port` to listen on; port 0 takes a free one")
	flag.StringVar(&opts.dir, "dir", "", "`folder` which holds what is pushed (required)")
	flag.StringVar(&opts.htpasswd, "htpasswd", "", "`file` of names and bcrypt hashes; without it anyone may read and write")
	flag.StringVar(&opts.tlsCert, "tls-cert", "", "`file` of the certificate in PEM; without it the registry speaks plain HTTP")
	flag.StringVar(&opts.tlsKey, "tls-key", "", "`file` of the certificate's key in PEM")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, opts options) error {
	if opts.dir == "" {
		return errors.New("-dir is required")
	}
	if (opts.tlsCert == "") != (opts.tlsKey == "") {
		return errors.New("-tls-cert and -tls-key go together")
	}
	// Standard output carries the address and nothing else.
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.ErrorLevel)

	listener, err := net.Listen("tcp", opts.addr)
	if err != nil {
		return err
	}
	// Not ctx: a request under way when the signal comes may still end.
	app := handlers.NewApp(context.Background(), config(opts))
	server := &http.Server{Handler: app}
	served := make(chan error, 1)
	go func() {
		if opts.tlsCert != "" {
			served <- server.ServeTLS(listener, opts.tlsCert, opts.tlsKey)
		} else {
			served <- server.Serve(listener)
		}
	}()
	fmt.Println(listener.Addr())

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return errors.Join(server.Shutdown(ctx), app.Shutdown())
	}
}

// config keeps the registry's own rules, so that it refuses a manifest or an
// index which names what it does not have. There is no cache of descriptors:
// a test may damage the folder and see the damage at once.
func config(opts options) *configuration.Configuration {
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": opts.dir},
			"delete":     {"enabled": true},
		},
	}
	// By default a foreign layer's urls are refused, whatever they are.
	c.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	if opts.htpasswd != "" {
		c.Auth = configuration.Auth{
			"htpasswd": {"realm": "registry", "path": opts.htpasswd},
		}
	}
	return c
}
