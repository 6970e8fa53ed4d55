// Package carvel reads and writes Carvel's files: ImagesLock, BundleLock and ImageLocations of imgpkg, Package,
// PackageMetadata and values schemas of kapp-controller.
//
// Begin with ParseImagesLock, or with ReadPackageFile for a file below packages/. The strictness is that of
// imgpkg 0.46 and kapp-controller 0.60: what they refuse is refused, with an ImgpkgError where imgpkg does so. What
// is larger than the limits of a real file is refused as well, so that no input fills the memory. The
// package knows no registry and no graph; package bundle has those.
package carvel
