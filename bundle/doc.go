// Package bundle reads the graph of a package repository: the bundles, indexes and images that root references
// lead to, and what is attached to them.
//
// Begin with Walk. The same content gives the same Graph, whatever the number of jobs; NewPlan puts it in the
// order of an archive. What is read comes through a Source, and is never trusted further than its digest; the
// package opens neither connections nor files. Carvel's files are read by package carvel, manifests by package oci.
package bundle
