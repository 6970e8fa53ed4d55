package main

import (
	"context"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
)

// collect removes what no manifest names from the folder of a registry of kind
// distribution, as its program does with garbage-collect.
func collect(ctx context.Context, opts options) error {
	driver, err := factory.Create(ctx, "filesystem", map[string]any{"rootdirectory": opts.dir})
	if err != nil {
		return err
	}
	registry, err := storage.NewRegistry(ctx, driver)
	if err != nil {
		return err
	}
	return storage.MarkAndSweep(ctx, driver, registry, storage.GCOpts{Quiet: true})
}
