package report

import (
	"cmp"
	"slices"
)

// Code names a kind of Finding. docs/leaks.md lists them for users.
type Code string

// kind is what to do about the findings of a code at some levels.
type kind struct {
	code   Code
	levels []Level
	action string
	object bool // of the objects of a cluster
}

// kinds is the one table of what to do about findings, with the rows of docs/leaks.md. A finding
// may have more exact advice of its own.
var kinds = []kind{
	{"no-packages", []Level{Install}, "relocate the bundle that the PackageRepository names", false},
	{"no-packages", []Level{Warning}, "check whether it was meant to be a repository", false},
	{"bad-lock", []Level{Install}, "the author pushes the bundle again", false},
	{"without-id", []Level{Install}, "the author writes the lock with kbld --imgpkg-lock-output", false},
	{"bad-image", []Level{Install}, "the author of the repository corrects the value, or renames the key", false},
	{"refused", []Level{Install}, "the author corrects the file", false},
	{"uncovered", []Level{Install}, "the author builds the lock from the files that name the image", false},
	{"uncovered", []Level{Warning}, "check whether anything uses it", false},
	{"outside", []Level{Install}, "the author pushes what is fetched as a bundle", false},
	{"tag", []Level{Information}, "nothing, unless the lock changes", false},
	{"old-kind", []Level{Warning}, "the author converts it to data.packaging.carvel.dev/v1alpha1", false},
	{"dropped", []Level{Information}, "nothing, unless it was meant to be a Package", false},
	{"misnamed", []Level{Install}, "the author corrects the name; --exclude-package carries the repository without the package", false},
	{"duplicate", []Level{Install}, "the author removes one; --exclude-package carries the repository without the package", false},
	{"not-installed", []Level{Install, Warning}, "also relocate a repository with that version", false},
	{"not-carried", []Level{Install}, "export again from the original registry", false},
	{"not-read", []Level{Install}, "examine everything after that place yourself", false},
	{"not-read", []Level{Warning}, "examine the file", false},

	{"missing", []Level{Install, Pull}, "import the archive again", false},
	{"locations", []Level{Install}, "import the archive again", false},
	{"elsewhere", []Level{Install, Pull}, "import the archive again: all images must be in one repository", false},
	{"foreign", []Level{Install, Pull}, "export and import with --include-non-distributable-layers, or push the layer yourself", false},
	{"damaged", []Level{Install}, "import the archive again with --trust-registry nothing", false},

	{"not-rewritten", []Level{Install, Pull}, "the author puts a kbld step with .imgpkg/images.yml last", false},
	{"not-locked", []Level{Install, Pull}, "the author adds it to the lock", false},
	{"outside-key", []Level{Pull}, "the author adds a searchRules entry to a kbld Config, or an overlay sets the value", false},
	{"outside-key", []Level{Warning}, "set the value to an image in the private registry", false},
	{"composed", []Level{Install, Pull, Warning}, "add the image to the lock, or set the values to an image in the repository", false},
	{"default", []Level{Warning}, "set the value when installing", false},
	{"kbld-config", []Level{Install, Pull}, "the author removes it, or locks it", false},
	{"helm-dependency", []Level{Install}, "the author vendors the chart", false},
	{"cue-module", []Level{Warning}, "the author vendors it below cue.mod/", false},
	{"missing-path", []Level{Install}, "the author corrects the step", false},
	{"url", []Level{Warning}, "check whether anything requests it, and set the value", false},
	{"fetcher", []Level{Warning}, "point the object to an address that the cluster can reach", false},

	{"needs-values", []Level{Warning}, "give the package values with --values-file", false},
	{"step-fails", []Level{Install}, "the author corrects the step, or the package gets other values", false},
	{"not-rendered", []Level{Information}, "nothing; what it deploys is not proved", false},
	{"not-rendered", []Level{Warning}, "render the package yourself", false},
	{"stream-dropped", []Level{Warning}, "the author adds - to the paths of the step", false},
	{"values-not-used", []Level{Warning}, "the author reads the values in the first ytt or helmTemplate step", false},
	{"values-skipped", []Level{Warning}, "the author corrects the path", false},
	{"fetch-outside", []Level{Warning}, "the author gives the fetch a path below the folder", false},
	{"kbld-changes", []Level{Warning}, "the author corrects the document", false},

	{"outside", []Level{Install, Pull, Warning}, "use an image of the repository", true},
	{"missing", []Level{Install, Pull, Warning}, "import the archive with the image again", true},
	{"damaged", []Level{Install, Pull, Warning}, "import it again with --trust-registry nothing", true},
	{"not-pinned", []Level{Install, Pull, Warning}, "use a digest", true},
	{"not-reference", []Level{Install, Pull, Warning}, "use an image of the repository, by digest", true},
	{"not-bundle", []Level{Install}, "fetch a bundle", true},
	{"no-packages", []Level{Install}, "fetch the bundle of a package repository", true},
	{"not-rewritten", []Level{Warning}, "fetch a bundle with a lock", true},
	{"different", []Level{Pull}, "restart the workload's Pods", true},
	{"not-pulled", []Level{Pull}, "check why the node could not pull it", true},
	{"no-package", []Level{Install, Warning}, "relocate a repository that has the Package", true},
	{"conflict", []Level{Install, Warning}, "keep the Package in one PackageRepository only", true},
	{"failed", []Level{Install}, "do what the message asks for, or check the object's status", true},
	{"not-rendered", []Level{Install, Warning}, "add what is missing to the input, or examine it yourself", true},
	{"not-checked", []Level{Warning}, "examine it yourself", true},
}

// Advised returns the finding with what to do about it: its own advice or, without one, the table's
// for its code and level, or for its code alone.
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

// PointsElsewhere reports whether a finding is about a reference that points elsewhere, or may.
func (f Finding) PointsElsewhere() bool { return slices.Contains(aboutPlaces, f.Code) }

// Codes of findings about references that point elsewhere: that place can be allowed. Allowing it
// does not fix a lock that kbld refuses, a missing file, or an image that is missing where a
// cluster looks for it.
var aboutPlaces = []Code{"uncovered", "outside", "elsewhere", "not-carried", "not-rewritten", "not-locked", "composed",
	"outside-key", "default", "kbld-config", "url", "fetcher"}
