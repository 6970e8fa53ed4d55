// Package volume reads and writes a file that is cut into volumes, each small enough for a medium, and
// rebuilds volumes that were lost or damaged. It does not interpret the file's content.
//
// Start with Create, which writes a set, and with Open, which reads one as if it were joined.
//
// # Names
//
// The volumes of NAME are NAME.001, NAME.002 and so on. Their concatenation is the file; all but the
// last have the same size. Parity volumes are NAME.p001 and so on. Numbers have three digits or, in a
// set with 1,000 volumes or more, four: all names of a set are known from its layout. The list,
// NAME.volumes, is the same text wherever it lies: beside each volume.
//
// # List
//
// The list is text that sha256sum -c reads, too:
//
//	# relocate volumes 1
//	# file SIZE SEAL         the size of the file in bytes, and what names its content: "sha256:<hex>"
//	# volume SIZE            bytes of each volume but the last: a multiple of 512
//	# parity N CODE          how many parity volumes, and how they were computed: below
//	<hex>  NAME.001          the SHA-256 of each volume, then of each parity volume
//	# list <hex>             the SHA-256 of the lines before this one
//
// It has one legal spelling. The last line shows that the list itself is as it was written; it proves
// nothing about who wrote it. NAME is the one that the file had; a set may be renamed with its list.
//
// # Parity
//
// Volume i of K and parity volume j of N are shards of a Reed-Solomon code: the bytes at one offset of
// all K+N volumes are one code word. A volume that is shorter counts as padded with zeros. Parity
// volumes have the size of the largest volume. Any N volumes can be lost. CODE is rs8, the code of
// Backblaze's JavaReedSolomon (GF(2^8), polynomial 0x11d, systematic Vandermonde matrix), or above 256
// shards leopard16, that of catid's Leopard (GF(2^16), polynomial 0x1100b): what package
// klauspost/reedsolomon 1.14 computes. Without parity it is none.
package volume
