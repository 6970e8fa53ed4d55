// Package rehearsal is a registry to try an import on: the push and the pull part of the OCI distribution
// spec 1.1, in memory, over an archive.
//
// New makes one; it is an http.Handler. It is as strict as a registry can be: a manifest is taken when every
// blob and every child that it names was sent to the same repository before, with the size that it says; all
// that is sent is hashed, and has the digest that it is sent under; the media type that a manifest is
// sent with is the one that it says it has. Nothing is there because an archive has it: only what was
// sent in this run. Mounting is declined, and nothing is deleted.
//
// What was sent is compared and forgotten where the archive has the same content, which it then is read from;
// everything else (locations images) is kept in memory, within a limit. So it takes no second copy of
// anything, however large the archive is: about 100 bytes for each blob.
package rehearsal
