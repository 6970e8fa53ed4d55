// Package serve answers as a read-only registry: the pull part of the OCI distribution API
// (distribution-spec 1.1).
//
// Begin with NewArchives: it returns a Store of archives, which answers as if they had been
// imported, without a copy of their content, and for the paths that images had at their origin.
// Handler is the API over a Store. Server listens, with limits that no client can exceed: on
// connections, headers and times; it logs requests. It speaks HTTP/1.1 only, so that a connection
// is one request at a time, and memory is the number of connections times one buffer.
//
// What it promises:
//
//   - Nothing writes. Every method but GET and HEAD is answered with 405, on every path.
//   - No wrong answer looks complete. A manifest is hashed before its first byte is sent. A blob is
//     hashed while it is sent, and its last bytes are held back: if the digest differs, the
//     connection breaks. A range of a blob of up to 8 MiB is sent after the whole blob was hashed.
//     A range of a larger blob fails only if the file has changed: a client that joins ranges checks
//     the digest of the whole, as clients do.
//   - A repository has only the blobs that its manifests name.
//   - Every error is an OCI error (distribution-spec 1.1, error codes). Damage is 503, and is
//     reported to Options.Fault.
package serve
