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
	for i, s := range sites {
		shared, own := s.split()
		var others []string
		if len(shared) > 0 {
			others = []string{"../../" + baseFolder}
		}
		if i == 0 && len(shared) > 0 {
			if files, err = folder(baseFolder, nil, shared); err != nil {
				return nil, err
			}
		}
		for _, f := range s.nodes {
			f.Path = path.Join(s.Folder(), f.Path)
			files = append(files, f)
		}
		list, err := folder(s.Folder(), s.opt.Manifests, own, others...)
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
		files = append(files, list...)
	}
	return files, nil
}

// split returns the objects that all sites have in common, and the site's own, in their order.
func (s Site) split() (shared, own []object) {
	shared = slices.DeleteFunc(slices.Clone(s.objects), func(o object) bool { return !o.shared })
	own = slices.DeleteFunc(slices.Clone(s.objects), func(o object) bool { return o.shared })
	return shared, own
}
