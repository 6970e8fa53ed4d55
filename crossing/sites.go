package crossing

import (
	"fmt"
	"regexp"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Sites is what a file says of the sites that have one archive: what differs from site to site, and nothing
// else. It is read as strictly as a Crossing.
type Sites struct {
	APIVersion string `json:"apiVersion" enum:"relocate/v1alpha1" need:"yes" help:"version of the format"`
	Kind       string `json:"kind" enum:"Sites" need:"yes" help:"kind of the document"`

	Seal  Seal   `json:"seal" help:"seal of the archive that all sites should have, as the export prints it"`
	Sites []Site `json:"sites" help:"the sites"`

	lines map[string]int
}

// Site is a cluster with a registry of its own.
type Site struct {
	Name       SiteName   `json:"name" help:"name of the site, of its folder and of its receipts: lower-case letters, digits and dashes"`
	Repository Repository `json:"repository" flag:"to-repo" help:"registry and path to import to, without a tag"`
	CA         Path       `json:"ca" flag:"registry-ca-cert-path" help:"CA certificates of the registry"`
	SecretRef  string     `json:"secretRef" flag:"secret-ref" help:"name of the Secret with the login to the registry"`
	Shards     int        `json:"shards" help:"number of Pods that upload layers at once: N of --with import-job=N"`
	JobImage   string     `json:"jobImage" flag:"job-image" help:"image with relocate, for the Jobs of --with import-job"`
	JobSource  string     `json:"jobSource" flag:"job-source" help:"where the Jobs find the archive"`
	Receipts   string     `json:"receipts" help:"where the Job leaves its receipts: url-secret:NAME, the URL to upload them to under the key url of the Secret NAME, or pvc:NAME[:MODE]/FOLDER, a folder on a volume"`
	ReceiptKey string     `json:"receiptKey" help:"name of the Secret with the private key that signs them, under the key receipt.key, and its password under password"`
}

// Texts with a syntax.
type (
	Seal     string // sha256:<hex>
	SiteName string // a DNS label
)

func (s Seal) check() error {
	_, err := v1.NewHash(string(s))
	return err
}

var siteName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (s SiteName) check() error {
	if !siteName.MatchString(string(s)) {
		return fmt.Errorf("must have lower-case letters, digits and dashes, and at most 63 of them")
	}
	return nil
}

// ReadSites reads the file at path.
//
// Errors: *Error, *fs.PathError.
func ReadSites(path string) (*Sites, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return ParseSites(path, data)
}

// ParseSites reads the text of the file at path.
//
// Errors: *Error.
func ParseSites(path string, data []byte) (*Sites, error) {
	s := &Sites{lines: map[string]int{}}
	if err := parse(path, data, s, s.lines, s.check); err != nil {
		return nil, err
	}
	return s, nil
}

// check refuses what a type cannot say: sites without a name or a repository, two with one name, and two with one
// repository.
func (s *Sites) check() error {
	if len(s.Sites) == 0 {
		return &Error{Line: 1, Field: "sites", Err: fmt.Errorf("has no site")}
	}
	named, at := map[SiteName]string{}, map[Repository]string{}
	for i, site := range s.Sites {
		place := fmt.Sprintf("sites[%d]", i)
		wrong := func(format string, args ...any) error {
			return &Error{Line: s.lines[place], Field: place, Err: fmt.Errorf(format, args...)}
		}
		switch {
		case site.Name == "":
			return wrong("name is missing")
		case site.Repository == "":
			return wrong("repository is missing")
		case named[site.Name] != "":
			return wrong("%s is already %s", site.Name, named[site.Name])
		case site.ReceiptKey != "" && site.Receipts == "":
			return wrong("receiptKey needs receipts")
		case at[site.Repository] != "":
			return wrong("%s is already that of %s", site.Repository, at[site.Repository])
		}
		named[site.Name], at[site.Repository] = place, place
	}
	return nil
}
