// Package rehearsal is a registry to try an import on: the push and the pull part of the OCI
// distribution API (distribution-spec 1.1), in memory, over an archive.
//
// Begin with New. It returns an empty Registry, which is an http.Handler; Registry.Serve listens.
//
// What it promises:
//
//   - It is strict. A manifest is accepted if every blob and every child that it names was
//     pushed to the same repository before, with the size that it says. All content is hashed,
//     and has the digest that it is pushed under. A manifest has the media type of its
//     Content-Type.
//   - It has only what was pushed in this run, or what Assume gave it, and not what the archive has. It declines mounts
//     and deletes.
//   - It needs little memory, about 100 bytes for each blob. Content that the archive has is
//     hashed and read from there later. Other content (locations images) is kept in memory,
//     within a limit.
package rehearsal
