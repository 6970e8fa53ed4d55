// Package rewrite computes what refers to a relocated repository: the mapping of references, the
// tags of the destination, lock files, and the PackageRepository of the target cluster. It is pure:
// values in, values or text out.
package rewrite
