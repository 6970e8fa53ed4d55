package tarball

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ReadSeal returns the seal that the bytes of the archive at path have: it hashes what the seal covers,
// as the headers in the file say, and parses no document. So it is safe to call before anything in the
// archive is believed. It reads no content of a blob, and does not compare the file's last member.
//
// Errors: ErrNoSeal of imgpkg's format; as Open.
func ReadSeal(path string) (v1.Hash, error) {
	f, info, err := openFile(path)
	if err != nil {
		return v1.Hash{}, err
	}
	size := info.Size()
	if isDevice(info) {
		size = math.MaxInt64
	}
	var seal v1.Hash
	if mayBeImgpkg(f, size) {
		err = ErrNoSeal
	} else {
		seal, err = readSeal(f)
	}
	if err != nil {
		return v1.Hash{}, errors.Join(fmt.Errorf("%s %w", path, err), f.Close())
	}
	return seal, f.Close()
}

// openFile opens a file or a block device. To open a FIFO would block, so the kind is checked before, and
// again after.
//
// Errors: ErrNotArchive, ErrOnce.
func openFile(path string) (*os.File, os.FileInfo, error) {
	if info, err := os.Stat(path); err == nil {
		if err := checkKind(info); err != nil {
			return nil, nil, fmt.Errorf("%s %w", path, err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	if err := checkKind(info); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s %w", path, err), f.Close())
	}
	return f, info, nil
}

// maxMembers is how many members an archive may have: blobs, three documents and the seal.
const maxMembers = maxBlobs + 4

// readSeal hashes, member by member, headers, documents and padding, up to the header of the seal. What
// is skipped follows from headers that are hashed: two files with one seal have their blobs at the same
// places.
func readSeal(r io.ReaderAt) (v1.Hash, error) {
	h := sha256.New()
	at, skipped := int64(0), int64(0) // skipped: padding before at that is not hashed yet
	for n := range maxMembers {
		name, size, err := sealedHeader(r, h, at, skipped)
		switch {
		case err != nil:
			return v1.Hash{}, err
		case n == 0 && name != "oci-layout":
			return v1.Hash{}, fmt.Errorf("%w: it begins with %q", ErrNotArchive, name)
		case name == "seal":
			return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
		case !strings.HasPrefix(name, "blobs/") && size > maxInventory:
			return v1.Hash{}, fmt.Errorf("%w: %s has %d bytes, more than the limit of %d", ErrDamaged, name, size, maxInventory)
		case !strings.HasPrefix(name, "blobs/"):
			if got, err := io.Copy(h, io.NewSectionReader(r, at+blockSize, size)); err != nil || got < size {
				return v1.Hash{}, errors.Join(fmt.Errorf("%w in %s", ErrTruncated, name), err)
			}
		}
		at, skipped = at+member(size), padding(size)
	}
	return v1.Hash{}, fmt.Errorf("%w: it has more than %d members", ErrDamaged, maxMembers)
}

// sealedHeader reads the header at at with the padding before it, and hashes both unless it is the seal's,
// before which only padding is covered.
func sealedHeader(r io.ReaderAt, h hash.Hash, at, skipped int64) (name string, size int64, err error) {
	b := make([]byte, skipped+blockSize)
	if n, err := r.ReadAt(b, at-skipped); n < len(b) {
		if at == 0 {
			return "", 0, notArchive(b[:n], err)
		}
		if errors.Is(err, io.EOF) {
			err = ErrTruncated
		}
		return "", 0, fmt.Errorf("%w before byte %d", err, at+blockSize)
	}
	head := [blockSize]byte(b[skipped:])
	name, _, _ = strings.Cut(string(head[:100]), "\x00")
	size, ok := sizeOf(head[:])
	switch {
	case !ok || head != header(name, size):
		if at == 0 && !strings.HasPrefix(name, "oci-layout") {
			return "", 0, notArchive(head[:], nil)
		}
		return "", 0, fmt.Errorf("%w: at byte %d: no header of an archive", ErrDamaged, at)
	case name == "seal":
		b = b[:skipped]
	}
	h.Write(b)
	return name, size, nil
}
