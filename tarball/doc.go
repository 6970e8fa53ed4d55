// Package tarball reads and writes relocate's archive: one file that holds everything a package
// repository needs. It also reads and writes imgpkg's.
//
// Start with Open, which returns a bundle.Source, and with New, which prepares the archive of a
// plan. A file gets its name when it is complete and durable; before that, Resume continues it.
// Equal plans give equal bytes. A reader checks what it reads: content against its digest,
// everything else against the seal.
//
// The rest of this comment is the specification of the format, version 1. "Must" is what the reader
// enforces: it refuses a file that breaks a rule.
//
// # Members
//
// An archive is an OCI image layout (image-spec 1.1, image-layout.md) in an uncompressed tar:
//
//	oci-layout              {"imageLayoutVersion":"1.0.0"}
//	index.json              an OCI image index: the roots, then every bundle and image that a lock or a
//	                        Package names, in graph order, and what is attached; children of an index
//	                        are not listed
//	relocate.json           the inventory, below
//	blobs/sha256/<hex>      the small section: manifests, configs and bundle layers, in graph order;
//	blobs/sha256/<hex>      then all other blobs, in graph order
//	seal                    "sha256:<hex>\n", below
//
// Each member must be present, in this order, each blob once. Graph order is bundle.Walk's: level
// by level from the roots, locks and indexes in their own order, each digest where it occurs first;
// then, level by level, what is attached to all of that.
//
// Each entry of index.json has the annotation org.opencontainers.image.ref.name. A root has an
// entry for each reference as the operator named it, sorted. Every other reference that names a
// digest has an entry among the others, sorted for each digest. What is only attached has the
// repository where it was found, with the tag of its first attachment or, without one, its digest.
// index.json must be byte for byte what the inventory implies. A reader must also accept an
// index.json that has one entry for each digest, with the smallest of these names, as early
// archives have.
//
// # Headers
//
// Each member has one header of 512 bytes, in ustar format (POSIX.1-1988): the name; mode 0000644;
// uid, gid, mtime, devmajor and devminor zero; empty link, user and group names; typeflag '0';
// magic "ustar\0" and version "00"; the size as eleven octal digits and a NUL or, from 8 GiB
// (8589934592 bytes), in GNU base-256 in the same field: 0x80, then eleven bytes, big endian.
// Content is followed by zero bytes to the next multiple of 512. Two blocks of zero bytes end the
// archive. A reader must accept up to 1 GiB of zero bytes after it, say how many there were, and refuse
// other bytes; on a device it must read nothing after the end. So there are no PAX records, links, devices, directories or sparse
// members, and sizes alone imply every offset: none is stored.
//
// # Inventory
//
// relocate.json is JSON in one legal spelling: that of inventory.encode, an element a line, so that
// decoding and encoding it again must give the same bytes.
//
//	format      1
//	roots       references as named, with the digests that they stood for
//	pins        tags that were followed, with the digests that they stood for; sorted. Each must be a
//	            tag: a pin of a digest would put other content in its place
//	manifests   in graph order: digest, media type, size, kind (index, bundle, image; attachment for
//	            what is only attached), where it was found, and every reference that names it, sorted
//	attachments pins of what is attached to a manifest: the subject's digest, the digest that was found, and
//	            the tag, sha256-<hex of the subject> and .sig, .att or .sbom; without a tag the manifest
//	            itself must name the subject. By subject in graph order, for each subject by tag as above,
//	            then by digest, each once
//	unseen      what is or may be attached and is not in the archive, sorted: a reference, what of it (tags
//	            or referrers that a repository does not show, or a manifest), and the reason
//	omitted     what a manifest names and the archive leaves out, with the reason: blobs that may not be
//	            distributed (non-distributable); children of an index, with their platform (platform),
//	            where nothing else leads to them and the index has others
//	bases       only in a delta: what the destination is assumed to have, an archive by its seal and with its
//	            roots, or an inventory by its SHA-256; each must be needed by assumed
//	assumed     only in a delta: layers that the archive leaves out because a base has them, in graph order:
//	            digest, size, and the base by its place in bases. Neither configs nor layers of bundles
//	lock        only where the roots are the images of an ImagesLock that has annotations or an image twice: its
//	            entries in their order, each a reference with a digest, which must be a root's, and annotations
//	blobs       every blob in file order: digest and size
//
// The inventory proves nothing. An importer walks the roots through the archive's own manifests and
// must come to the same manifests, pins, attachments, omissions, assumptions and blobs.
//
// # Seal
//
// The seal is the SHA-256 of every byte before its own header that is not content of a blob:
// headers, padding, and the three documents. The blobs' digests, the seal, and the fixed bytes of
// the seal's own member and of the end account for every byte of the file. Whoever knows the seal
// from another source knows that the file is the one that was written.
//
// # Determinism
//
// The same references, resolved to the same digests and found in the same places, give the same
// bytes. They do not depend on time, user, host or the order in which blobs arrive.
//
// # Limits
//
// index.json and relocate.json have at most 64 MiB each, and are read as streams; a line of
// relocate.json and a manifest 4 MiB. There are at most 1,000 roots; 1,000 bases and roots of
// these; 50,000 each of pins, attachments, unseen, and lock entries with their annotations; 250,000
// manifests and references to them; 250,000 blobs, with those that are left out: an assumed one counts
// as one, an omitted one as three. A reader needs at most 256 MiB of memory
// (docs/decisions/0005-limits.md).
//
// # Writing
//
// Everything but the blobs' content, the seal included, is known from the plan, before the first
// layer is fetched. Work goes to NAME.part, with a journal beside it. Blobs are written in place,
// in parallel, each byte once. Then come the seal, fsync, rename, and fsync of the folder: a file
// under the final name is complete. Resume continues a .part that was cut off.
//
// StreamWriter writes the same bytes from front to back, OpenStream reads them so.
//
// # imgpkg's format
//
// New writes, with Format Imgpkg, and Open reads the tar of imgpkg copy --to-tar: manifest.json, a
// JSON array with all manifests and configs as text; then each distinct layer, ascending by digest,
// as sha256-<hex>.tar.gz whatever its type, in headers as above; two zero blocks. It has no seal.
// See docs/decisions/0008-imgpkg-tar.md.
//
// # Journal
//
// NAME.part.journal is text. Its first line is {"journal":1,"request":…,"seal":"sha256:…"}: the
// request of the export, and the seal of its plan. In imgpkg's format two more members may say what
// that plan does not: "elsewhere", where manifests were found, and "unseen", what may be attached
// and is not in the archive. The line "ready" follows when the documents and the small section are
// durable in NAME.part. Then, for each blob in turn, come lines of two decimal numbers with a blank
// between: the blob's place in file order, from 0, and how many bytes of its content are durable.
// The last line of a blob counts; a line without a line feed does not. The journal only promises.
// What it promises is checked again: see docs/decisions/0006-resume.md.
package tarball
