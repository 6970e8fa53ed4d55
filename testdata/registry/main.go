// Command registry runs an OCI registry for the tests, the code of a project
// of its own over a folder on disk, so that the tests meet what a private
// registry does, and not only what an imitation of one does. Which, -kind
// says; the usual one is the distribution project's.
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
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

// stopTimeout bounds how long requests under way may take once the registry
// is told to stop.
const stopTimeout = 5 * time.Second

type options struct {
	kind     string
	addr     string
	dir      string
	htpasswd string
	tlsCert  string
	tlsKey   string
	collect  bool
}

func main() {
	var opts options
	flag.StringVar(&opts.kind, "kind", "distribution", "`name` of the registry: "+strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	flag.StringVar(&opts.addr, "addr", "127.0.0.1:0", "`host:port` to listen on; port 0 takes a free one")
	flag.StringVar(&opts.dir, "dir", "", "`folder` which holds what is pushed (required)")
	flag.StringVar(&opts.htpasswd, "htpasswd", "", "`file` of names and bcrypt hashes; without it anyone may read and write")
	flag.StringVar(&opts.tlsCert, "tls-cert", "", "`file` of the certificate in PEM; without it the registry speaks plain HTTP")
	flag.StringVar(&opts.tlsKey, "tls-key", "", "`file` of the certificate's key in PEM")
	flag.BoolVar(&opts.collect, "collect", false, "collect the garbage in the folder of a registry of kind distribution, and end")
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
	if opts.collect {
		return collect(ctx, opts)
	}
	start, ok := kinds[opts.kind]
	if !ok {
		return fmt.Errorf("there is no registry %q", opts.kind)
	}
	// Standard output carries the address and nothing else.
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.ErrorLevel)

	listener, err := net.Listen("tcp", opts.addr)
	if err != nil {
		return err
	}
	app, stop := start(opts)
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
		return errors.Join(server.Shutdown(ctx), stop())
	}
}
