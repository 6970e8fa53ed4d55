package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"relocate/crossing"
	"relocate/custody"
	"relocate/internal/inspect"
	"relocate/rewrite"
)

// jobFlags are the flags about the Jobs of --with import-job.
type jobFlags struct {
	image, source, namespace string
	kubernetes               string
	shards                   int
	site                     crossing.Site // whose Jobs they are; the zero value: of no file of sites
}

func (f *jobFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.image, "job-image", "", "run relocate from the image `REF`, which relocate image prints")
	flags.StringVar(&f.source, "job-source", "", "import from `PLACE`: url-secret:NAME[/KEY] is the URL under the "+
		"key url of the Secret NAME, with headers for its server under KEY; "+
		"pvc:NAME[:MODE]/PATH is a file on the claim NAME, whose access mode is RWO (the default), RWOP, ROX or RWX")
	flags.StringVar(&f.namespace, "job-namespace", "", "run the Jobs in `NAMESPACE` (default: "+
		""+rewrite.JobNamespace+")")
	flags.StringVar(&f.kubernetes, "kubernetes-version", "", "leave out fields of Jobs that Kubernetes `VERSION`, "+
		"such as 1.27, does not have (default: leave none out)")
}

// take reads N of import-job=N in the list of --with.
func (f *jobFlags) take(with *[]string) error {
	list := slices.Clone(*with)
	for i, what := range list {
		n, isJob := strings.CutPrefix(what, withImportJob+"=")
		if !isJob {
			continue
		}
		var err error
		if f.shards > 0 || slices.Contains(list, withImportJob) {
			return usagef("--with %s: give import-job once", what)
		}
		if f.shards, err = strconv.Atoi(n); err != nil || f.shards < 1 {
			return usagef("--with %s: N of import-job=N is the number of shards, from 1", what)
		}
		list[i] = withImportJob
	}
	*with = list
	return nil
}

// checks are about these flags, with Jobs or without.
func (f *jobFlags) checks(given bool) []check {
	version := f.kubernetes == "" || kubernetesVersion.MatchString(f.kubernetes)
	return []check{
		{given && f.image == "", "--with import-job: name the image with relocate with --job-image REF; relocate image " +
			"--to-repo REPO uploads one"},
		{given && f.source == "", "--with import-job: say where the archive is with --job-source"},
		{!given && *f != jobFlags{}, "--job-image, --job-source, --job-namespace and --kubernetes-version need " +
			"--with import-job"},
		{!version, "--kubernetes-version " + f.kubernetes + ": must be a version, such as 1.27"},
	}
}

// importJob returns the Jobs that import an archive.
func (f *jobFlags) importJob(s *inspect.Subject, name string) (*rewrite.ImportJob, error) {
	source, err := rewrite.ParseJobSource(f.source)
	if err != nil {
		return nil, usagef("--job-source: %w", err)
	}
	j := &rewrite.ImportJob{
		Namespace: cmp.Or(f.namespace, rewrite.JobNamespace), Seal: s.Archive.Seal, Root: s.Graph.Roots[0].Digest,
		Image: f.image, Source: source, Shards: f.shards, Minor: minorOf(f.kubernetes),
	}
	if _, err := rewrite.Tags(s.Graph.Roots, ""); err != nil {
		j.Args = append(j.Args, "--no-tag")
	}
	if name != "" {
		j.Args = append(j.Args, "--name", name)
	}
	if f.site.Receipts == "" {
		return j, nil
	}
	place, err := rewrite.ParseJobSource(f.site.Receipts)
	if err != nil {
		return nil, usagef("receipts: %w", err)
	}
	file := string(f.site.Name) + custody.ReceiptsEnding
	j.Receipts = &rewrite.JobReceipts{File: file, Place: place, Key: f.site.ReceiptKey}
	return j, nil
}

// minorOf returns MINOR of a Kubernetes version 1.MINOR; 0: none is given.
func minorOf(version string) int {
	if version == "" {
		return 0
	}
	_, rest, _ := strings.Cut(kubernetesVersion.FindStringSubmatch(version)[1], ".")
	minor, _ := strconv.Atoi(rest) // of digits
	return minor
}
