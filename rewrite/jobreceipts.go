package rewrite

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// JobReceipts are the receipts that an import in a cluster leaves: that it was imported, and then verified, which a
// second container does.
type JobReceipts struct {
	File  string    // name of the file that they are appended to
	Place JobSource // a Secret with the URL to upload them to, or a folder on a volume
	Key   string    // a Secret with the private key, and its password if it has one; empty: they are not signed
}

// Folders in the containers, and keys of the Secret with the key.
const (
	receiptsFolder = "/receipts"
	uploadFolder   = "/etc/relocate/receipts"
	keyFolder      = "/etc/relocate/key"

	receiptKey  = "receipt.key"
	keyPassword = "password"
)

// verifier is the name of the container that verifies.
const verifier = "verify"

// check is about receipts of an import of source.
func (r *JobReceipts) check(source JobSource) error {
	if r == nil {
		return nil
	}
	err := r.Place.check(0)
	if r.Key != "" {
		err = errors.Join(err, checkName("Secret of the receipt key", r.Key))
	}
	switch {
	case r.Place.Headers != "":
		err = errors.Join(err, errors.New("receipts are uploaded without headers: write url-secret:NAME"))
	case r.Place.Mode == readOnlyMany:
		err = errors.Join(err, fmt.Errorf("they cannot be written to the volume %s, which is %s",
			r.Place.Claim, readOnlyMany))
	case r.Place.Claim == "" && r.Place.Secret == source.Secret:
		err = errors.Join(err, fmt.Errorf("the Secret %s has the URL of the archive: name another", source.Secret))
	}
	if err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	return nil
}

// args are the arguments for a command that writes a receipt.
func (r *JobReceipts) args() []string {
	folder := receiptsFolder
	if r.Place.Claim != "" {
		folder = path.Join(folder, r.Place.Path)
	}
	args := []string{"--receipts", strings.ReplaceAll(path.Join(folder, r.File), "$", "$$")}
	if r.Place.Claim == "" {
		args = append(args, "--receipts-url-file", path.Join(uploadFolder, urlKey))
	}
	if r.Key != "" {
		args = append(args, "--receipt-key", path.Join(keyFolder, receiptKey),
			"--receipt-key-password-file", path.Join(keyFolder, keyPassword))
	}
	return args
}

// secrets are to be filled in.
func (r *JobReceipts) secrets(namespace string) []object {
	if r == nil {
		return nil
	}
	list := r.Place.secret(namespace)
	if r.Key != "" {
		o := newSecret(r.Key, namespace)
		o.StringData, o.skeleton = map[string]string{receiptKey: placeholderKey}, true
		list = append(list, o)
	}
	return list
}

// thenVerify lets a Pod that imports verify the repository after that.
func (j *ImportJob) thenVerify(p *podSpec, repo name.Repository) {
	r := j.Receipts
	own := &p.Containers[0]
	own.Args = append(own.Args, r.args()...)
	if r.Place.Claim != "" {
		p.mount("receipts", receiptsFolder, podVolume{Claim: &claimVolume{r.Place.Claim, false}})
		own.VolumeMounts[len(own.VolumeMounts)-1].ReadOnly = false
		p.ownVolumes()
	} else {
		p.mount("receipts", receiptsFolder, podVolume{EmptyDir: &struct{}{}})
		p.mount("upload", uploadFolder, podVolume{Secret: &secretVolume{SecretName: r.Place.Secret}})
	}
	if r.Key != "" {
		p.mount("key", keyFolder, podVolume{Secret: &secretVolume{SecretName: r.Key}})
	}
	verify := *own
	verify.Name, verify.Args = verifier, slices.Concat(j.verifyArgs(repo), r.args())
	p.InitContainers, p.Containers = p.Containers, []podContainer{verify}
}

// verifyArgs are the arguments that compare the repository with the archive.
func (j *ImportJob) verifyArgs(repo name.Repository) []string {
	// An import may have trusted a manifest that was there.
	args := []string{"verify", "--repo", repo.Name(), "--level", "blobs"}
	for _, arg := range j.Source.args() {
		if arg != "--from-tar" { // verify names a file without it
			args = append(args, arg)
		}
	}
	args = append(args, j.sealArgs()...)
	if slices.Contains(j.Args, "--no-tag") {
		args = append(args, "--no-tag")
	}
	return args
}
