// Package imgpkg builds images with the same bytes and digests as imgpkg 0.46, and reads their
// layers: bundles, and the locations images of relocated bundles. It also makes imgpkg's tags.
//
// Begin with Build, or with ReadLayer.
package imgpkg
