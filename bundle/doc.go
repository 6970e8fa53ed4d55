// Package bundle reads the graph of a package repository: the bundles, indexes and images that the root
// references need, and the signatures and other manifests attached to them.
//
// Begin with Walk. NewPlan puts its Graph in the order of an archive. The same content gives the same
// Graph, for any number of jobs. All content comes from a Source and must match its digest. The package
// opens neither connections nor files. Package carvel parses Carvel's files, package oci manifests.
package bundle
