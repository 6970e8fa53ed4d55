//go:build unix

package ownfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Flags are added to open such files: they do not follow a link, nor block on a FIFO.
const Flags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func ownerOf(_ *os.File, info fs.FileInfo) (owner, error) { return ownerAt("", info) }

// ownerAt reads the owner from info. Root, too, uses only what root owns.
func ownerAt(_ string, info fs.FileInfo) (owner, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, errors.ErrUnsupported
	}
	return owner{own: int64(stat.Uid) == int64(os.Geteuid()), names: int(stat.Nlink)}, nil
}

func othersWrite(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
