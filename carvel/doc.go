// Package carvel reads and writes Carvel's files: ImagesLock, BundleLock and ImageLocations of imgpkg, Package and
// PackageMetadata of kapp-controller, and the layer of a bundle that holds them.
//
// Begin with ParseImagesLock, or with ReadPackageFile for a file below packages/. The strictness is that of
// imgpkg 0.46 and kapp-controller 0.60: what they refuse is refused, with ErrImgpkg where imgpkg does so. What
// is larger than the limits of a real file is refused as well, so that no input fills the memory. The package knows no registry and no
// graph; package bundle has those.
package carvel
