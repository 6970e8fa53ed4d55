package leak

import (
	"fmt"

	"relocate/bundle"
)

// What a scan finds in repository bundles, in Packages and in registries. docs/leaks.md has them for users.
const (
	NoPackages bundle.Code = "no-packages" // a repository bundle without packages that kapp-controller would serve
	BadLock    bundle.Code = "bad-lock"    // an ImagesLock that is missing or that imgpkg refuses
	WithoutID  bundle.Code = "without-id"  // a lock entry without kbld.carvel.dev/id: kbld refuses the whole lock
	BadImage   bundle.Code = "bad-image"   // an image key in a Package that is empty or no reference: kbld fails

	Uncovered bundle.Code = "uncovered" // a reference that no lock entry's id covers, or fetch.image.url: nothing rewrites it
	Outside   bundle.Code = "outside"   // a fetch that is no image: http, git, helmChart; or has a tagSelection
	Elsewhere bundle.Code = "elsewhere" // a reference that the lock covers, and the lock is not localised
	Tag       bundle.Code = "tag"       // a Package's reference by tag that the lock covers

	Missing   bundle.Code = "missing"   // an image, or a child of it, that is not there
	Damaged   bundle.Code = "damaged"   // content that is not what its digest or its form says
	Locations bundle.Code = "locations" // a locations image that cannot be read, or lists what is not there
	Foreign   bundle.Code = "foreign"   // a layer that may not be distributed, and is not there

	OldKind      bundle.Code = "old-kind"      // a package of a time before kapp-controller v0.20, which drops it today
	Dropped      bundle.Code = "dropped"       // anything else below packages/ that kapp-controller drops
	Misnamed     bundle.Code = "misnamed"      // a Package whose name is not refName.version
	Duplicate    bundle.Code = "duplicate"     // a Package that is there twice, with different content
	NotInstalled bundle.Code = "not-installed" // a PackageInstall in a bundle whose Package the repository does not have
)

// actions say what to do about a finding, by code.
var actions = map[bundle.Code]string{
	NoPackages: "relocate the bundle that the PackageRepository names; it must have packages/",
	BadLock:    "have the bundle's author push it again: kbld and imgpkg write the lock",
	WithoutID:  "have the bundle's author write the lock with kbld --imgpkg-lock-output",
	BadImage:   "have the repository's author correct the value, or rename the key",
	Uncovered:  "have the author build the lock again, with kbld, of the very text that names the image",
	Outside:    "have the package's author push what is fetched as a bundle, and fetch it by imgpkgBundle",
	Elsewhere:  "import the archive again: everything has to be in the bundle's own repository",
	Tag:        "nothing, as long as the lock stays; the author had better name the digest",
	Missing:    "import the archive again; when the archive lacks it, export again",
	Damaged:    "import the archive again with --trust nothing",
	Locations:  "import the archive again",
	Foreign:    "export and import with --include-non-distributable-layers, or push the layer yourself",
	OldKind:    "have the repository's author write it as data.packaging.carvel.dev/v1alpha1",
	Dropped:    "nothing, unless the document was meant to be a Package",
	Misnamed:   "have the repository's author name it so",
	Duplicate:  "have the repository's author remove one of them",

	NotInstalled:      "relocate a repository that has that version as well",
	bundle.NotRead:    "look at the file",
	bundle.NotCarried: "export again from the registry of origin",
}

// newFinding makes a finding of a bundle; its level may be changed where it is made.
func newFinding(code bundle.Code, level bundle.Level, at position, reference, format string, args ...any) bundle.Finding {
	return bundle.Finding{
		Code: code, Level: level, Bundle: at.bundle, Package: at.pkg, File: at.file, Line: at.line,
		Reference: clip(reference, 1024), Message: fmt.Sprintf(format, args...), Action: actions[code],
	}
}

// position is where something is written.
type position struct {
	bundle string // reference
	pkg    string // name and version of the package, or of several
	file   string // in the bundle
	line   int    // from 1; 0 for the whole file
}

// in returns the line of the same file.
func (p position) in(line int) position {
	p.line = line
	return p
}
