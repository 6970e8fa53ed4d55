package report

import (
	"cmp"
	"slices"
)

// Code names a kind of Finding. docs/leaks.md lists them for users.
type Code string

// kind is what a code and a level ask for.
type kind struct {
	code   Code
	levels []Level
	action string
	object bool // of the objects of a cluster
}

// kinds is the one table of what to do about findings, in the order of docs/leaks.md. Who makes a finding may say
// something more exact.
var kinds = []kind{
	{"no-packages", []Level{Install}, "relocate the bundle that the PackageRepository names", false},
	{"no-packages", []Level{Warning}, "see whether it was meant to be a package repository", false},
	{"bad-lock", []Level{Install}, "have the bundle's author push it again: kbld and imgpkg write the lock", false},
	{"without-id", []Level{Install}, "have the bundle's author write the lock with kbld --imgpkg-lock-output", false},
	{"bad-image", []Level{Install}, "have the repository's author correct the value, or rename the key", false},
	{"uncovered", []Level{Install}, "have the author build the lock again, with kbld, of the very text that names the image", false},
	{"uncovered", []Level{Warning}, "see whether anything uses it", false},
	{"outside", []Level{Install}, "have the package's author push what is fetched as a bundle, and fetch it by imgpkgBundle", false},
	{"tag", []Level{Information}, "nothing, as long as the lock stays", false},
	{"old-kind", []Level{Warning}, "have the repository's author write it as data.packaging.carvel.dev/v1alpha1", false},
	{"dropped", []Level{Information}, "nothing, unless it was meant to be a Package", false},
	{"misnamed", []Level{Warning}, "have the repository's author name it so", false},
	{"duplicate", []Level{Warning}, "have the repository's author remove one of them", false},
	{"not-installed", []Level{Install, Warning}, "relocate a repository that has that version as well", false},
	{"not-carried", []Level{Install}, "export again from the registry of origin", false},
	{"not-read", []Level{Install}, "look at what follows the place yourself", false},
	{"not-read", []Level{Warning}, "look at the file", false},

	{"missing", []Level{Install, Pull}, "import the archive again; when it is not in the archive, export again", false},
	{"locations", []Level{Install}, "import the archive again", false},
	{"elsewhere", []Level{Install, Pull}, "import the archive again: everything has to be in the bundle's own repository", false},
	{"foreign", []Level{Install, Pull}, "export and import with --include-non-distributable-layers, or push the layer yourself", false},
	{"damaged", []Level{Install}, "import the archive again with --trust nothing", false},

	{"not-rewritten", []Level{Install, Pull}, "have the author put a kbld step with .imgpkg/images.yml last", false},
	{"not-locked", []Level{Install, Pull}, "have the author add the image to the lock", false},
	{"outside-key", []Level{Pull}, "have the author add a searchRule to a kbld Config, or set the value by an overlay", false},
	{"composed", []Level{Pull, Warning}, "set the values to what is carried", false},
	{"default", []Level{Warning}, "set the value when installing", false},
	{"kbld-config", []Level{Install, Pull}, "have the author take it out, or lock it", false},
	{"helm-dependency", []Level{Install}, "have the author put the chart below charts/", false},
	{"cue-module", []Level{Warning}, "have the author put the module below cue.mod/", false},
	{"missing-path", []Level{Install}, "have the author correct the step", false},
	{"url", []Level{Warning}, "see whether anything asks it, and set the value", false},
	{"fetcher", []Level{Warning}, "let the object name what the cluster reaches", false},

	{"outside", []Level{Install, Pull, Warning}, "name what is in the repository", true},
	{"missing", []Level{Install, Pull, Warning}, "import the archive that has it again", true},
	{"damaged", []Level{Install, Pull, Warning}, "import it again with --trust nothing", true},
	{"not-pinned", []Level{Install, Pull, Warning}, "name one digest", true},
	{"not-reference", []Level{Install, Pull, Warning}, "name an image of the repository, by digest", true},
	{"not-rewritten", []Level{Warning}, "fetch a bundle with a lock", true},
	{"different", []Level{Pull}, "let the workload start its Pods again", true},
	{"not-pulled", []Level{Pull}, "see why the node could not pull it", true},
	{"no-package", []Level{Install}, "relocate a repository that has the Package", true},
	{"conflict", []Level{Install, Warning}, "let one PackageRepository have the Package", true},
	{"failed", []Level{Warning}, "see what kapp-controller says of it", true},
	{"not-checked", []Level{Warning}, "look at it yourself", true},
}

// Advised returns the finding with what to do about it: what it says itself, or else what the table says of its code
// and level, or of its code alone.
func (f Finding) Advised() Finding {
	if f.Action != "" {
		return f
	}
	for _, k := range kinds {
		if k.code == f.Code && k.object == (f.Object != nil) {
			if slices.Contains(k.levels, f.Level) {
				f.Action = k.action
				return f
			}
			f.Action = cmp.Or(f.Action, k.action)
		}
	}
	return f
}

// Codes of findings that another import fixes.
var fixedByImport = []Code{"missing", "locations", "elsewhere", "foreign", "damaged"}

// Codes of findings about references that end elsewhere: that place can be allowed. That fixes no lock that kbld
// refuses, no file that is missing, and no image that is missing where a cluster looks for it.
var aboutPlaces = []Code{"uncovered", "outside", "elsewhere", "not-carried", "not-rewritten", "not-locked", "composed",
	"outside-key", "default", "kbld-config", "url", "fetcher"}
