package relocate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/custody"
	"relocate/internal/outfile"
	"relocate/tarball"
)

// Sealed is what lies beside an archive to say which it is, and who says so.
type Sealed struct {
	Seal      v1.Hash
	File      string // of the seal; empty: none, as beside a stream
	Signature string // the file with the signature; empty: none
	Key       string // the fingerprint of the key that signed; empty: none
	IsSSH     bool   // the signature is OpenSSH's, not a sigstore bundle
	WasSigned bool   // the signature was there before
}

// Sign signs the archive at path, and writes NAME.seal and the signature beside it. It reads documents and
// headers, and no content of a blob: Verify checks that. Where the signature is there already, and is the
// key's, nothing changes.
//
// Errors: ErrOptions of imgpkg's format, which has no seal, and where the signature of another key or
// another archive would be lost; those of tarball.Open and tarball.ReadSeal.
func Sign(path string, key *custody.Key, folders ...string) (*Sealed, error) {
	a, err := tarball.Open(path, folders...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if a.Format() == tarball.Imgpkg {
		return nil, optionsf("%s has imgpkg's format, which has no seal: sign the file itself", path)
	}
	if a.Volumes() == nil {
		seal, err := tarball.ReadSeal(path)
		if err != nil {
			return nil, err
		}
		if seal != a.Seal() {
			return nil, fmt.Errorf("%s %w: its headers or documents are not what its inventory implies; relocate verify lists all damage", path, tarball.ErrDamaged)
		}
	}
	return seal(path, a.Seal(), key)
}

// seal writes the file of the seal of the archive at path and, with a key, the signature.
func seal(path string, seal v1.Hash, key *custody.Key) (*Sealed, error) {
	s := &Sealed{Seal: seal, File: path + custody.SealEnding}
	if key == nil {
		return s, writeBeside(s.File, custody.SealText(seal))
	}
	signature, ending, err := key.Sign(seal)
	if err != nil {
		return nil, err
	}
	s.sign(key, path+ending)
	isSigned, err := isSigned(s.Signature, seal, key)
	if err != nil {
		return nil, err
	}
	if err := writeBeside(s.File, custody.SealText(seal)); err != nil || isSigned {
		s.WasSigned = isSigned
		return s, err
	}
	return s, writeBeside(s.Signature, signature)
}

// writeBeside writes a file beside an archive. On a disk from elsewhere it may be a link to a file that the
// user did not name, or a FIFO, which would block.
//
// Errors: outfile.ErrNotRegular.
func writeBeside(path string, text []byte) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s %w", path, outfile.ErrNotRegular)
	}
	return outfile.Write(path, text)
}

func (s *Sealed) sign(key *custody.Key, file string) {
	s.Signature, s.Key, s.IsSSH = file, key.Public().Fingerprint(), key.IsSSH()
}

// isSigned reports whether the file has the key's signature of the seal.
//
// Errors: ErrOptions where it has another.
func isSigned(file string, seal v1.Hash, key *custody.Key) (bool, error) {
	raw, err := readBeside(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	var trust custody.Trust
	if err := trust.Add("the key", []byte("signer "+key.Public().Line())); err != nil {
		return false, err
	}
	if _, err := trust.Verify(custody.Signature{File: file, Raw: raw}, custody.SealText(seal), "the seal", custody.SealNamespace, time.Now()); err != nil {
		return false, optionsf("%s is there, and is not a signature of this archive with this key: remove it, or move it away", file)
	}
	return true, nil
}

// companions are the endings of the files beside an archive that are about it.
var companions = []string{custody.BundleEnding, custody.SSHEnding, custody.SealEnding, custody.ReceiptsEnding}

// checkCompanions refuses folders where files are to lie beside the archive at path: removeCompanions could
// not remove them when the archive is complete.
//
// Errors: outfile.ErrNotRegular.
func checkCompanions(path string) error {
	for _, ending := range companions {
		if info, err := os.Lstat(path + ending); err == nil && info.IsDir() {
			return fmt.Errorf("%s %w: it is a folder", path+ending, outfile.ErrNotRegular)
		}
	}
	return nil
}

// removeCompanions removes what lies beside an older archive at path and is about that one.
func removeCompanions(path string) error {
	for _, ending := range companions {
		if err := os.Remove(path + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// seals says beside an archive that is complete which it is, and signs it.
func (e *exporting) seals(r *Result) (err error) {
	if r.Format == tarball.Imgpkg {
		return nil
	}
	if r.Sealed, err = seal(e.to.Path, r.Seal, e.to.Key); err != nil {
		return fmt.Errorf("%s is complete, but not sealed and signed: %w; relocate sign does that, too", e.to.Path, err)
	}
	return nil
}

// signStream signs an archive that went to a stream.
func (e *exporting) signStream(r *Result) error {
	if e.to.Key == nil {
		return nil
	}
	signature, _, err := e.to.Key.Sign(r.Seal)
	if err != nil {
		return err
	}
	r.Sealed = &Sealed{Seal: r.Seal}
	r.Sealed.sign(e.to.Key, e.to.Signature)
	return outfile.Write(e.to.Signature, signature)
}
