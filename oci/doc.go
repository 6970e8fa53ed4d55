// Package oci reads and writes what registries hold: manifests, indexes, lists of referrers, and
// the names of repositories and tags (OCI image 1.1, OCI distribution 1.1; Docker's media types
// too).
//
// Begin with ParseManifest. It promises that no two readers can see two things in one digest: a
// document with a key twice, with two media types, or that is both an image and an index, is
// ErrMalformed. The package knows no registry and reads no files.
package oci
