// Package registry reads and writes registries by the OCI distribution API (distribution-spec 1.1).
//
// Begin with New, which returns a Client for all registries. A Client reads from any of them, and
// is a bundle.Source. Client.Writer returns a Repository, which reads and writes one repository,
// and is a bundle.Source and a copy.Repository; Client.Reader returns one for reading only.
//
// What it promises:
//
//   - No other package opens connections. A Repository follows no redirect to another host, and a
//     Client none from a public host into a private network, except to Options.RedirectHosts.
//     Credentials go to their registry and its token server only.
//   - Plain HTTP is refused, except for loopback and with Options.Insecure.
//   - Content has the digest that was requested, or its reader returns digest.ErrMismatch. The
//     exception is BlobFrom.
//   - Requests that may be repeated are repeated, with growing waits, within a budget for the
//     run. Transfers continue where they broke off, and fail when no data comes for a while. No
//     host gets more than Options.Jobs requests at once.
//   - A refusal is an *Error with the registry's status and words. errors.Is finds its meaning,
//     such as ErrNoSpace or fs.ErrPermission.
//
// The body of a blob occupies one of its host's requests until it is closed: a caller that opens
// several must not wait for one while it holds others open.
package registry
