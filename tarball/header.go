package tarball

import (
	"encoding/binary"
	"fmt"
)

const (
	blockSize = 512
	maxOctal  = 1 << 33 // bytes; larger sizes are written in base 256
)

// header returns the one legal header of a member.
func header(name string, size int64) [blockSize]byte {
	var b [blockSize]byte
	copy(b[0:100], name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00") // uid
	copy(b[116:], "0000000\x00") // gid
	if size < maxOctal {
		copy(b[124:], fmt.Sprintf("%011o\x00", size))
	} else {
		b[124] = 0x80
		binary.BigEndian.PutUint64(b[128:], uint64(size))
	}
	copy(b[136:], "00000000000\x00") // mtime
	b[156] = '0'
	copy(b[257:], "ustar\x0000")
	copy(b[329:], "0000000\x00") // devmajor
	copy(b[337:], "0000000\x00") // devminor
	copy(b[148:], checksum(b))
	return b
}

// checksum returns the checksum field of a header. The field itself counts as blanks.
func checksum(b [blockSize]byte) string {
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	return fmt.Sprintf("%06o\x00 ", sum)
}

// padding returns how many zero bytes follow content of size bytes.
func padding(size int64) int64 { return -size & (blockSize - 1) }

// member returns the bytes that a member takes: header, content, padding.
func member(size int64) int64 { return blockSize + size + padding(size) }

// sizeOf reads the size field of a header. Callers check the rest by comparing it with header().
func sizeOf(b []byte) (int64, bool) {
	if b[124] == 0x80 {
		n := binary.BigEndian.Uint64(b[128:136])
		return int64(n), n < 1<<62
	}
	var n int64
	for _, c := range b[124:135] {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	return n, true
}
