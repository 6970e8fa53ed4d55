package main

import (
	"os"

	"github.com/spf13/cobra"

	"relocate/bundle"
	"relocate/rewrite"
	"relocate/tarball"
)

func newEmit() *cobra.Command {
	var (
		lock, toRepo string
		objects      objectFlags
	)
	cmd := &cobra.Command{
		Use:   "emit (FILE --to-repo REPO | --lock FILE --name NAME)",
		Short: "Write the PackageRepository for the target cluster",
		Long: `emit writes what an import writes to stdout, without a registry: the PackageRepository, pinned by digest,
for kubectl apply. It takes the archive and the repository it was imported to, or the BundleLock that an
import wrote with --lock-output.

` + statusHelp,
		Example: "  relocate emit tce.tar --to-repo registry.airgap.internal/tce/main | kubectl apply -f -",
		Args: func(cmd *cobra.Command, args []string) error {
			if lock == "" {
				if len(args) == 0 {
					return usagef("name an archive, or a BundleLock with --lock")
				}
				return oneFile(cmd, args)
			}
			if len(args) > 0 {
				return usagef("give an archive or --lock, not both")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := emitted(cmd, args, lock, toRepo, objects)
			if err != nil {
				return err
			}
			text, err := rewrite.Encode(list)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&toRepo, "to-repo", "", "the repository `REPO` that the archive was imported to")
	flags.StringVar(&lock, "lock", "", "a BundleLock `FILE` of the destination, instead of an archive")
	objects.add(flags)
	return cmd
}

func emitted(cmd *cobra.Command, args []string, lock, toRepo string, o objectFlags) ([]rewrite.PackageRepository, error) {
	if lock != "" {
		return emittedForLock(lock, toRepo, o)
	}
	if toRepo == "" {
		return nil, usagef("where was %s imported to? give --to-repo REPO", args[0])
	}
	repo, err := parseRepo("--to-repo", toRepo)
	if err != nil {
		return nil, err
	}
	a, err := tarball.Open(args[0])
	if err != nil {
		return nil, err
	}
	defer a.Close()
	plan, err := checkedPlan(cmd.Context(), a, args[0], defaultJobs)
	if err != nil {
		return nil, err
	}
	list, err := rewrite.PackageRepositories(plan.Graph, repo, o.name, o.namespace, o.secretRef)
	if err != nil {
		return nil, usageError{err}
	}
	if len(list) == 0 {
		return nil, usagef("%s holds no package repository: no root has packages/", args[0])
	}
	return list, nil
}

// emittedForLock takes the bundle in a lock for a package repository.
func emittedForLock(path, toRepo string, o objectFlags) ([]rewrite.PackageRepository, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lock, err := bundle.ParseBundleLock(text)
	if err != nil {
		return nil, usagef("read %s: %w", path, err)
	}
	repo := lock.Image.Context()
	if toRepo != "" {
		if repo, err = parseRepo("--to-repo", toRepo); err != nil {
			return nil, err
		}
	}
	if o.name == "" { // the lock does not know the source repository, after which an import names it
		return nil, usagef("a lock does not tell the name of the PackageRepository that the import wrote: give --name")
	}
	p, err := rewrite.NewPackageRepository(lock.Image, repo, lock.Tag, o.name, o.namespace, o.secretRef)
	if err != nil {
		return nil, usageError{err}
	}
	return []rewrite.PackageRepository{p}, nil
}
