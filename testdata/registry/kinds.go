package main

import (
	"context"
	"io"
	"log"
	"net/http"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	crane "github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	olaregconfig "github.com/olareg/olareg/config"
)

// kinds are the registries that there are. Each returns what answers, and what
// ends it.
var kinds = map[string]func(options) (http.Handler, func() error){
	"distribution": func(opts options) (http.Handler, func() error) {
		// Not the program's context: a request under way when the signal comes may still end.
		app := handlers.NewApp(context.Background(), config(opts))
		return app, app.Shutdown
	},
	// It takes an index whatever of its children is absent.
	"sparse": func(opts options) (http.Handler, func() error) {
		c := config(opts)
		c.Validation.Manifests.Indexes.Platforms = "none"
		app := handlers.NewApp(context.Background(), c)
		return app, app.Shutdown
	},
	// It takes an index of which nothing for linux/amd64 is absent.
	"listed": func(opts options) (http.Handler, func() error) {
		c := config(opts)
		c.Validation.Manifests.Indexes.Platforms = "list"
		c.Validation.Manifests.Indexes.PlatformList = []configuration.Platform{{OS: "linux", Architecture: "amd64"}}
		app := handlers.NewApp(context.Background(), c)
		return app, app.Shutdown
	},
	// olareg keeps each repository as an OCI layout.
	"olareg": func(opts options) (http.Handler, func() error) {
		yes := true
		server := olareg.New(olaregconfig.Config{
			Storage: olaregconfig.ConfigStorage{StoreType: olaregconfig.StoreDir, RootDir: opts.dir},
			API:     olaregconfig.ConfigAPI{DeleteEnabled: &yes},
		})
		return server, server.Close
	},
	// What "crane registry serve --disk" runs: blobs are on disk, manifests in memory.
	"crane": func(opts options) (http.Handler, func() error) {
		quiet := crane.Logger(log.New(io.Discard, "", 0))
		return crane.New(quiet, crane.WithBlobHandler(crane.NewDiskBlobHandler(opts.dir))), nothing
	},
	// cuelabs' registry has everything in memory.
	"ocimem": func(options) (http.Handler, func() error) {
		return ociserver.New(ocimem.New(), nil), nothing
	},
}

func nothing() error { return nil }

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
