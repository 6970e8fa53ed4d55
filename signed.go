package relocate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/custody"
	"relocate/internal/outfile"
	"relocate/report"
	"relocate/tarball"
)

// Signed says who must have signed an archive that is read. A nil *Signed demands nothing.
type Signed struct {
	Trust *custody.Trust
	File  string // with the signature; empty: NAME.seal.sigstore.json or NAME.seal.sig beside the archive

	// Read reads a file of a signature or a seal, of at most custody.MaxFile bytes; nil: from the file system.
	// Its error is an fs.ErrNotExist where there is none.
	Read func(name string) ([]byte, error)
}

// Open opens an archive, as tarball.Open does, once its signature is checked: first the signature itself,
// where NAME.seal is beside it, before anything of the archive is read; then, unless it is in volumes,
// that its bytes outside of the blobs are those that were signed, before a document is parsed. The content
// of blobs is checked against their digests, as always.
//
// Errors: *custody.UntrustedError; those of tarball.Open.
func (s *Signed) Open(path string, folders ...string) (*tarball.Archive, *report.Signature, error) {
	if s == nil {
		a, err := tarball.Open(path, folders...)
		return a, nil, err
	}
	c, err := s.claim(path)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(path); err == nil { // it is not in volumes
		if err := c.checkFile(path); err != nil {
			return nil, nil, err
		}
	}
	return c.open(func() (*tarball.Archive, error) { return tarball.Open(path, folders...) })
}

// OpenWith is Open for an archive that open opens, such as one on a server. name is its name, to which the
// endings of the files beside it are added. Its documents are parsed before they are compared with the
// signature.
//
// Errors: *custody.UntrustedError; those of open.
func (s *Signed) OpenWith(
	name string, open func() (*tarball.Archive, error),
) (*tarball.Archive, *report.Signature, error) {
	if s == nil {
		a, err := open()
		return a, nil, err
	}
	c, err := s.claim(name)
	if err != nil {
		return nil, nil, err
	}
	return c.open(open)
}

// open opens an archive, and compares its seal with the one that was signed.
func (c *claim) open(open func() (*tarball.Archive, error)) (*tarball.Archive, *report.Signature, error) {
	a, err := open()
	if err != nil {
		return nil, nil, err
	}
	signature, err := c.check(a.Seal())
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, signature, nil
}

// claim is a signature of an archive: of a seal that is known, or that the archive will tell.
type claim struct {
	trust      *custody.Trust
	archive    string // its name in messages
	signatures []custody.Signature
	seal       v1.Hash         // zero: not known yet
	signer     *custody.Signer // nil: not known yet
}

// claim reads the signatures of the archive, and checks them where the file of the seal is there.
func (s *Signed) claim(archive string) (*claim, error) {
	c := &claim{trust: s.Trust, archive: archive}
	sealFile := archive + custody.SealEnding
	if s.File != "" {
		sealFile = strings.TrimSuffix(strings.TrimSuffix(s.File, ".sigstore.json"), ".sig")
	}
	beside, named := readBeside, readSmall // what is named may be a pipe
	if s.Read != nil {
		beside, named = s.Read, s.Read
	}
	if s.File == "" {
		var err error
		if c.signatures, err = signaturesBeside(beside, archive); err != nil {
			return nil, err
		}
	} else {
		raw, err := named(s.File)
		if err != nil {
			return nil, err
		}
		c.signatures = []custody.Signature{{File: s.File, Raw: raw}}
	}
	if sealFile == s.File { // it does not say of which file it is
		return c, nil
	}
	raw, err := beside(sealFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return nil, err
	}
	if c.seal, err = custody.ParseSeal(raw); err != nil {
		return nil, custody.Untrustedf("%s %s", sealFile, err)
	}
	return c, c.verify()
}

// signaturesBeside reads the signatures beside an archive.
//
// Errors: *custody.UntrustedError without any.
func signaturesBeside(read func(string) ([]byte, error), archive string) (list []custody.Signature, err error) {
	files := []string{archive + custody.BundleEnding, archive + custody.SSHEnding}
	for _, file := range files {
		raw, err := read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		list = append(list, custody.Signature{File: file, Raw: raw})
	}
	if len(list) == 0 {
		return nil, custody.Untrustedf("%s is not signed: neither %s nor %s is beside it; relocate sign makes one, "+
			"--signature names one elsewhere", archive, files[0], files[1])
	}
	return list, nil
}

// verify checks that a trusted key signed the seal.
func (c *claim) verify() error {
	var errs []error
	for _, s := range c.signatures {
		signer, err := c.trust.Verify(s, custody.SealText(c.seal), "the seal", custody.SealNamespace, time.Now())
		if err == nil {
			c.signer = &signer
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// check compares the seal that an archive has with the one that was signed, and returns who signed it.
//
// A nil claim demands nothing.
//
// Errors: *custody.UntrustedError.
func (c *claim) check(seal v1.Hash) (*report.Signature, error) {
	if c == nil {
		return nil, nil
	}
	switch {
	case seal == v1.Hash{}:
		return nil, custody.Untrustedf("%s has imgpkg's format, which has no seal: sign the file itself", c.archive)
	case c.signer == nil:
		c.seal = seal
		if err := c.verify(); err != nil {
			return nil, err
		}
	case c.seal != seal:
		return nil, custody.Untrustedf("the signature by %s is good, but of another archive: it signs %s, the seal of %s is %s",
			c.signer.Principal, c.seal, c.archive, seal)
	}
	signature := report.Signature(*c.signer)
	return &signature, nil
}

// checkFile compares the bytes of the file at path with the seal that was signed. The signature
// does not show whether a file is cut off or another one: Open says which.
func (c *claim) checkFile(path string) error {
	seal, err := tarball.ReadSeal(path)
	switch {
	case errors.Is(err, tarball.ErrNoSeal):
		_, err = c.check(v1.Hash{})
	case err == nil:
		_, err = c.check(seal)
	}
	return c.explain(err)
}

// explain adds to the damage of headers or documents what it means for a signature.
func (c *claim) explain(err error) error {
	if c != nil && errors.Is(err, tarball.ErrDamaged) {
		return custody.Untrustedf("%s; so it is not what was signed", err)
	}
	return err
}

// claimOf returns the claim about a stream; nil when nobody must have signed it.
func (o Options) claimOf(stream io.Reader) (*claim, error) {
	switch {
	case o.Signed == nil:
		return nil, nil
	case o.Signed.File == "":
		return nil, optionsf("the signature of an archive on a stream must be named")
	}
	return o.Signed.claim(nameOf(stream))
}

// readBeside reads a file that lies beside an archive. On a disk from elsewhere it may be a FIFO, which would
// block.
//
// Errors: outfile.ErrNotRegular.
func readBeside(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %w", path, outfile.ErrNotRegular)
	}
	return readSmall(path)
}

// readSmall reads a file of at most custody.MaxFile bytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()                             // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, custody.MaxFile+1)) // of limited length
	if err == nil && len(raw) > custody.MaxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, custody.MaxFile)
	}
	return raw, err
}
