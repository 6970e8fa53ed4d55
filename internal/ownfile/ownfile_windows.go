package ownfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// Flags are added to open such files: they do not follow a link.
const Flags = windows.O_FILE_FLAG_OPEN_REPARSE_POINT

// ownerAt opens the file or folder at path, and returns what ownerOf does.
func ownerAt(path string, info fs.FileInfo) (is owner, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|Flags, 0)
	if err != nil {
		return owner{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return ownerOf(f, info)
}

// ownerOf compares the owner with those that the user's token may give to a file: the user, and
// groups such as the administrators, who own what an administrator creates.
func ownerOf(f *os.File, _ fs.FileInfo) (owner, error) {
	handle := windows.Handle(f.Fd())
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(handle, &info); err != nil {
		return owner{}, err
	}
	is := owner{names: int(info.NumberOfLinks)}
	sd, err := windows.GetSecurityInfo(handle, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return owner{}, err
	}
	sid, _, err := sd.Owner()
	if err != nil {
		return owner{}, err
	}
	token := windows.GetCurrentProcessToken()
	user, err := token.GetTokenUser()
	if err != nil {
		return owner{}, err
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return owner{}, err
	}
	is.own = sid.Equals(user.User.Sid)
	for _, group := range groups.AllGroups() {
		is.own = is.own || group.Attributes&windows.SE_GROUP_OWNER != 0 && sid.Equals(group.Sid)
	}
	return is, nil
}

// othersWrite reports false: here the mode says nothing about others.
func othersWrite(fs.FileInfo) bool { return false }

// SyncDir does nothing: Windows makes a rename durable with the file system's own journal.
func SyncDir(string) error { return nil }
