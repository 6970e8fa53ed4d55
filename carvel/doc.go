// Package carvel reads and writes Carvel's files: ImagesLock, BundleLock and ImageLocations of
// imgpkg, Package, PackageMetadata and values schemas of kapp-controller.
//
// Begin with ParseImagesLock, or with ReadPackageFile for a file below packages/. The package
// refuses what imgpkg 0.46 and kapp-controller 0.60 refuse, with an ImgpkgError where imgpkg does.
// It also refuses files far larger than real ones, so that no input exhausts memory. Registries and
// the graph are in package bundle.
package carvel
