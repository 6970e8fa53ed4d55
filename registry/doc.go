// Package registry speaks the OCI distribution API (distribution-spec 1.1) to registries; it is the
// only package that opens a connection. A Client reads from any registry (a bundle.Source), a
// Repository reads and writes one repository and reaches nothing else (a Source and copy.Repository).
//
// Every request passes one RoundTripper (transport.go), which refuses plain HTTP where it was not asked
// for, retries what is idempotent within a budget for the run, ends transfers that stall, and sends a host
// no more requests at once than it bears. Where redirects and token servers may be is in hosts.go. Names, keychains and the exchange of tokens are go-containerregistry's.
//
// The body of a blob takes one of its host's requests until it is closed: who opens several and reads
// them in an order must not wait for one while others stand open.
package registry
