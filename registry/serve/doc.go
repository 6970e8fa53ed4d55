// Package serve answers as a read-only registry: the pull part of the OCI distribution spec 1.1.
//
// Handler is the API over a Store. Archives is a Store made of archives, which answers as if they had been imported
// (without a copy of anything), and under the paths that images had at their origin. Serve listens, within
// limits that no client can break: it bounds connections, headers and times, and logs requests. HTTP/1.1 only, so that a
// connection is one request at a time, and memory is connections × one buffer.
//
// What it promises:
//
//   - Nothing writes. Every method but GET and HEAD is answered with 405 on every path; there is no code behind it.
//   - No wrong answer looks whole. A manifest is hashed before the first byte is sent. A blob is hashed while it is sent
//     and its last bytes are held back: when the digest differs, the connection breaks. A range is part of a blob,
//     which is hashed before when it has up to 8 MiB; of a larger one only the file is watched (ErrChanged): whoever
//     puts ranges together checks the digest of the whole, as every client does.
//   - A blob is there only in repositories that name it.
//   - Whatever the request, the answer is an OCI error, never 500. Damage is 503, and in the log.
package serve
