package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/report"
)

// installs checks that the Package of each PackageInstall is present. The namespaces where a
// Package is offered depend on kapp-controller's configuration and are not checked.
func (v *verification) installs() {
	versions := map[string]map[string]bool{} // by the Package's name
	for _, p := range v.objects.packages {
		if versions[p.name] == nil {
			versions[p.name] = map[string]bool{}
		}
		versions[p.name][p.version] = true
	}
	for n := range v.objects.installs {
		i := &v.objects.installs[n]
		spec, version := v.packageOf(i)
		if spec != nil && (i.version == "" || version == i.version) {
			continue
		}
		f := report.Finding{Code: codeNoPackage, Level: report.Install, Object: &i.object.Object, Path: "spec.packageRef", Line: i.line}
		switch {
		case i.wrong != nil:
			f.Message, f.Action = "its constraint is not accepted: "+saying(i.wrong.Error()), "write a constraint such as >=1.0.0"
		case spec != nil:
			f = i.selectsOther(version, f)
		case len(versions) == 0:
			f = v.notOffered(i, f)
		default:
			f.Message, f.Action = i.missing(versions[i.name])
		}
		if f.Message != "" {
			v.result.Findings = append(v.result.Findings, f)
		}
	}
}

// selectsOther reports that kapp-controller selects another version than the one that is installed.
func (i *install) selectsOther(version string, f report.Finding) report.Finding {
	f.Message = fmt.Sprintf("no PackageRepository has its version %s of the Package %s: kapp-controller selects %s", text.Quote(i.version), text.Quote(i.name), text.Quote(version))
	f.Action = "relocate a repository that has it, or let kapp-controller install the other version"
	if carvel.CompareVersions(version, i.version) > 0 || i.downgrades {
		f.Level = report.Warning
	} else {
		f.Message += ", which is older, and does not install it without the annotation " + downgradable
	}
	return f
}

// missing says what is missing when the input has these versions of the Package, and what to do; nothing if
// it is there.
func (i *install) missing(have map[string]bool) (message, action string) {
	switch {
	case have == nil:
		return fmt.Sprintf("the Package %s is missing", text.Quote(i.name)), "relocate a repository that has it, or see why its PackageRepository does not offer it"
	case i.version == "":
		return fmt.Sprintf("no version of the Package %s meets %s", text.Quote(i.name), text.Quote(i.constraint)), "relocate a repository that has one, or choose another version"
	case !have[i.version]:
		return fmt.Sprintf("the version %s of the Package %s is missing", text.Quote(i.version), text.Quote(i.name)), "relocate a repository that has it, or choose another version"
	}
	return "", ""
}

// notOffered reports that no PackageRepository of the input offers what a PackageInstall selects. It is
// a problem if all of its offers are known: then kapp-controller does not find it either.
func (v *verification) notOffered(i *install, f report.Finding) report.Finding {
	if why := v.unknown(i); why != "" {
		f.Code, f.Level = codeNotChecked, report.Warning
		f.Message = "what it installs was not checked: the input has no Packages, and " + why
		f.Action = "add the cluster's Packages: kubectl get packages -A -o yaml"
		return f
	}
	f.Message = fmt.Sprintf("it selects %s, of which its PackageRepositories have no version: %s",
		text.Quote(strings.TrimSpace(i.name+" "+i.constraint)), carvel.NoVersion(v.details(i)))
	f.Action = "relocate a repository that has it, or choose another version"
	return f
}

// unknown says why it is not known what PackageRepositories offer to a PackageInstall. It is empty if
// all of that is known.
func (v *verification) unknown(i *install) string {
	offered := false
	var unread []string
	for _, namespace := range i.sources() {
		list, has := v.unread[namespace]
		offered = offered || has
		for _, o := range list {
			unread = append(unread, repositoryName(o))
		}
	}
	switch {
	case !offered:
		return "no PackageRepository of its namespace or of " + carvel.GlobalNamespace
	case len(unread) > 0:
		return "not all Packages of these PackageRepositories were read: " + listed(unread)
	case i.object.Kind == "InstalledPackage": // its kapp-controller offers what later ones drop
		return "its PackageRepositories do not have it"
	}
	return ""
}

// sources returns the namespaces whose PackageRepositories offer Packages to a PackageInstall. Those of
// old ones have no namespace.
func (i *install) sources() []string {
	return slices.Compact([]string{"", i.object.Namespace, carvel.GlobalNamespace})
}

// offersTo reports whether kapp-controller offers the Packages of a PackageRepository to a PackageInstall.
func (r *repository) offersTo(i *install) bool {
	return slices.Contains(i.sources(), r.claim.object.Namespace)
}

// details says how many of the offered versions each filter of kapp-controller leaves.
func (v *verification) details(i *install) string {
	var versions []string
	for _, r := range v.offering {
		for _, o := range r.offers {
			if o.name == i.name && o.version != "" && r.offersTo(i) {
				versions = append(versions, o.version)
			}
		}
	}
	slices.Sort(versions)
	_, details := i.selects.Select(slices.Compact(versions))
	return details
}

// conflicts finds Packages that two PackageRepositories have with different content. In one
// namespace, the second PackageRepository cannot be reconciled (docs/carvel.md, "How a
// PackageRepository is reconciled").
func (v *verification) conflicts() {
	first := map[[2]string]*pkg{}
	for i := range v.objects.packages {
		p := &v.objects.packages[i]
		key := [2]string{p.name, p.version}
		other := first[key]
		if other == nil {
			first[key] = p
		} else if other.repository != p.repository && !bytes.Equal(other.spec, p.spec) {
			v.result.Findings = append(v.result.Findings, report.Finding{Code: codeConflict, Level: report.Warning, Object: &p.object.Object, Line: p.line,
				Message: fmt.Sprintf("the PackageRepositories %s and %s have this Package with different content: in one namespace the second one fails", text.Quote(other.repository), text.Quote(p.repository)),
				Action:  "relocate both to one repository"})
		}
	}
}
