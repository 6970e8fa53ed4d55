// Package bundle reads Carvel's files (ImagesLock, BundleLock, ImageLocations, Package,
// PackageMetadata) and the graph that they make: Walk turns root references into a Graph of
// everything a package repository needs, and NewPlan puts that graph in the order of an archive.
//
// The package is pure. What it reads comes through a Source; it opens neither connections nor files.
// Formats and their strictness are imgpkg's and kapp-controller's; what is read is never trusted
// further than its digest.
package bundle
