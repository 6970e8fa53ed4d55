// Command oracle answers what the code of kbld v0.44.0 makes of documents, and what the code with
// which kapp-controller v0.53.1 selects versions makes of versions. Tests compare relocate's answers
// with these.
//
// It is a module of its own, so that kbld has the dependencies that it is released with. Package
// realkbld builds it and asks it: requests are JSON values on standard input, and each has one answer
// on standard output.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carvel.dev/kbld/pkg/kbld/cmd"
	"carvel.dev/kbld/pkg/kbld/logger"
	"carvel.dev/kbld/pkg/kbld/version"
	"carvel.dev/vendir/pkg/vendir/versions"
	"carvel.dev/vendir/pkg/vendir/versions/v1alpha1"
	"github.com/carvel-dev/semver/v4"
	"github.com/cppforlife/go-cli-ui/ui"
)

// request asks for what kbld makes of Files, or for which of Versions are selected.
type request struct {
	Files []struct { // in the order of -f; "-" is the stream
		Path string
		Data []byte
	}
	Versions    []string
	Constraint  string
	Prereleases *v1alpha1.VersionSelectionSemverPrereleases
	Kubernetes  *target
	Controller  *target
}

// target is the version of a cluster, or of its kapp-controller, and what each of the versions demands
// of it.
type target struct {
	Version     string
	Constraints []string
}

type answer struct {
	Text     string   // what kbld prints
	Selected []string // of the versions, lowest first
	Nothing  string   // what kapp-controller says where nothing is selected
	Error    string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := refuseNetwork(); err != nil {
		return err
	}
	version.Version = "0.44.1" // kapp-controller has this patch of it
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		switch err := in.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := out.Encode(r.answer()); err != nil {
			return err
		}
	}
}

// refuseNetwork makes a proxy that answers each request for a registry with "418 asked".
func refuseNetwork() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		if err := os.Setenv(name, "http://"+l.Addr().String()); err != nil {
			return err
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, "HTTP/1.1 418 asked\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}()
		}
	}()
	return nil
}

func (r *request) answer() (a answer) {
	defer func() {
		if v := recover(); v != nil {
			a = answer{Error: fmt.Sprintf("panic: %v", v)}
		}
	}()
	var err error
	if r.Files != nil {
		a.Text, err = r.kbld()
	} else {
		a.Selected, a.Nothing, err = r.selected()
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// kbld runs "kbld -f … --build=false", as kapp-controller does.
func (r *request) kbld() (string, error) {
	dir, err := os.MkdirTemp("", "oracle-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	log := logger.NewLogger(io.Discard)
	o := cmd.NewResolveOptions(ui.NewNoopUI())
	o.ImagesAnnotation, o.OriginsAnnotation, o.BuildConcurrency = true, true, 4
	o.RegistryFlags.VerifyCerts = true
	for i, f := range r.Files {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return "", err
		}
		if f.Path == "-" {
			if os.Stdin, err = os.Open(path); err != nil {
				return "", err
			}
			defer os.Stdin.Close()
			path = "-"
		}
		o.FileFlags.Files = append(o.FileFlags.Files, path)
	}
	docs, err := o.ResolveResources(&log, log.NewPrefixedWriter(""))
	if err != nil {
		said := err.Error()
		for i, f := range r.Files {
			said = strings.ReplaceAll(said, "'"+filepath.Join(dir, fmt.Sprint(i))+"'", "'"+f.Path+"'")
		}
		return "", errors.New(said)
	}
	var b strings.Builder
	for _, doc := range docs {
		b.WriteString("---\n")
		b.Write(doc)
	}
	return b.String(), nil
}

// selected returns the versions from which kapp-controller takes the highest for a PackageInstall, or
// what it says where there is none (pkg/packageinstall/packageinstall.go, referencedPkgVersion).
func (r *request) selected() (selected []string, nothing string, err error) {
	if r.Constraint != "" && r.Prereleases == nil {
		if v, err := versions.NewSemver(r.Constraint); err == nil && len(v.Pre) > 0 {
			r.Prereleases = &v1alpha1.VersionSelectionSemverPrereleases{}
		}
	}
	var checks []versions.ConstraintCallback
	if r.Kubernetes.any() {
		checks = append(checks, versions.ConstraintCallback{Constraint: r.accepts(r.Kubernetes), Name: "kubernetes-version-check"})
	}
	if r.Controller != nil {
		checks = append(checks, versions.ConstraintCallback{Constraint: r.accepts(r.Controller), Name: "kapp-controller-version-check"})
	}
	config := v1alpha1.VersionSelection{Semver: &v1alpha1.VersionSelectionSemver{Constraints: r.Constraint, Prereleases: r.Prereleases}}
	highest, err := versions.HighestConstrainedVersionWithAdditionalConstraints(r.Versions, config, checks)
	switch {
	case err == nil:
	case strings.HasPrefix(err.Error(), "Expected to find at least one version"):
		nothing = err.Error()
	default:
		return nil, "", err
	}
	list := versions.NewRelaxedSemversNoErr(r.Versions).FilterPrereleases(r.Prereleases)
	for _, check := range checks {
		list = list.Filter(check.Constraint)
	}
	if r.Constraint != "" {
		if list, err = list.FilterConstraints(r.Constraint); err != nil {
			return nil, "", err
		}
	}
	all := list.Sorted().All()
	if len(all) > 0 && all[len(all)-1] != highest {
		return nil, "", fmt.Errorf("the highest of %q is said to be %q", all, highest)
	}
	return all, nothing, nil
}

// any reports whether a version demands something.
func (t *target) any() bool {
	return t != nil && slices.ContainsFunc(t.Constraints, func(c string) bool { return c != "" })
}

// accepts returns kapp-controller's check of a version (clusterVersionConstraintsSatisfied and
// kcVersionConstraintsSatisfied in the same file, parseAndScrubVersion in pkg/componentinfo).
func (r *request) accepts(t *target) func(version string) bool {
	return func(version string) bool {
		constraint := t.Constraints[slices.Index(r.Versions, version)]
		if constraint == "" {
			return true
		}
		v, err := semver.ParseTolerant(t.Version)
		if err != nil {
			return false
		}
		v.Pre, v.Build = semver.PRVersion{}, semver.BuildMeta{}
		satisfies, err := semver.ParseRange(constraint)
		return err == nil && satisfies(v) // validation keeps others out
	}
}
