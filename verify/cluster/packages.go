package cluster

import (
	"bytes"
	"fmt"

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
		if spec, _ := v.packageOf(i); spec != nil {
			continue
		}
		f := report.Finding{Code: codeNoPackage, Level: report.Install, Object: &i.object.Object, Path: "spec.packageRef", Line: i.line}
		switch have := versions[i.name]; {
		case i.wrong != nil:
			f.Message, f.Action = "its constraint is not accepted: "+saying(i.wrong.Error()), "write a constraint such as >=1.0.0"
		case len(versions) == 0:
			f.Code, f.Level = codeNotChecked, report.Warning
			f.Message, f.Action = "what it installs was not checked: the input has no Packages, and its PackageRepositories do not have it", "add the cluster's Packages: kubectl get packages -A -o yaml"
		case have == nil:
			f.Message = fmt.Sprintf("the Package %s is missing", text.Quote(i.name))
			f.Action = "relocate a repository that has it, or see why its PackageRepository does not offer it"
		case i.version != "" && !have[i.version]:
			f.Message = fmt.Sprintf("the version %s of the Package %s is missing", text.Quote(i.version), text.Quote(i.name))
			f.Action = "relocate a repository that has it, or choose another version"
		case i.version == "":
			f.Message = fmt.Sprintf("no version of the Package %s meets %s", text.Quote(i.name), text.Quote(i.constraint))
			f.Action = "relocate a repository that has one, or choose another version"
		default:
			continue
		}
		v.result.Findings = append(v.result.Findings, f)
	}
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
