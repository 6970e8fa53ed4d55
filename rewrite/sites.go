package rewrite

import (
	"fmt"
	"path"
	"slices"
)

// Folders for several sites.
const (
	baseFolder  = "base"
	sitesFolder = "sites"
)

// Site is what the cluster of one of several sites gets. All of them are made with the same options, but for
// what belongs to a site: the repository, its certificates, and the names of Secrets.
type Site struct {
	Name string // a DNS label
	*Cluster
}

// Folder is that of the site, below the folder of all.
func (s Site) Folder() string { return path.Join(sitesFolder, s.Name) }

// SiteFiles returns the files of a folder for several sites: in base what all of them have in common, which is
// what they install, and in sites/NAME what is different, with a kustomization.yaml that has both. kubectl
// applies a site with -k sites/NAME.
func SiteFiles(sites []Site) (files []File, err error) {
	common := inAll(sites)
	isCommon := func(o object) bool { return common[o.file()] }
	isOwn := func(o object) bool { return !isCommon(o) }
	var others []string
	if base := slices.DeleteFunc(slices.Clone(sites[0].objects), isOwn); len(base) > 0 {
		if files, err = folder(baseFolder, nil, base); err != nil {
			return nil, err
		}
		others = []string{"../../" + baseFolder}
	}
	for _, s := range sites {
		for _, f := range s.nodes {
			f.Path = path.Join(s.Folder(), f.Path)
			files = append(files, f)
		}
		own := slices.DeleteFunc(slices.Clone(s.objects), isCommon)
		list, err := folder(s.Folder(), s.opt.Manifests, own, others...)
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
		files = append(files, list...)
	}
	return files, nil
}

// inAll returns the files of the objects that are the same at every site. A PackageInstall is not, if it names the
// Secret of one.
func inAll(sites []Site) map[string]bool {
	count, common := map[string]int{}, map[string]bool{}
	for _, s := range sites {
		for _, o := range s.objects {
			if o.shared {
				count[o.file()]++
			}
		}
	}
	for file, n := range count {
		common[file] = n == len(sites)
	}
	return common
}
