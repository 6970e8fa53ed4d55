// Package rewrite makes what refers to a relocated repository: the mapping of references, the tags
// of the destination, lock files, and the objects of the target cluster.
//
// Begin with PackageRepositories and Encode, or with ForCluster for what a cluster needs beside
// them. The package is pure: values in, values or text out. No digest is ever changed, and names
// that Kubernetes would refuse are errors.
package rewrite
