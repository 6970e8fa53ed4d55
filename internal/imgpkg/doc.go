// Package imgpkg makes the images that imgpkg (0.46) makes, with the same bytes and so the same digests, and reads their
// layers: bundles, and the locations image that stands beside a relocated bundle. Tags are imgpkg's too.
//
// Begin with Build, or with ReadLayer.
package imgpkg
