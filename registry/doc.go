// Package registry speaks the OCI distribution API (distribution-spec 1.1) to registries; it is the
// only package that opens a connection. A Client reads from any registry (a bundle.Source), a
// Repository reads and writes one repository and reaches nothing else (a Source and copy.Repository).
//
// Every request passes one RoundTripper, which retries what is idempotent, refuses plain HTTP where
// it was not asked for, and keeps credentials with their host. Names, keychains and the
// authenticating transport are go-containerregistry's.
package registry
