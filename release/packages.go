package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// packages writes a Debian and an RPM package for each architecture of Linux, with nfpm.
func (r *release) packages() error {
	for _, arch := range r.linux() {
		config, err := yaml.Marshal(r.nfpm(arch))
		if err != nil {
			return err
		}
		path := filepath.Join(r.scratch, "nfpm.yaml")
		if err := os.WriteFile(path, config, 0o644); err != nil {
			return err
		}
		for _, format := range []string{"deb", "rpm"} {
			err := r.run(nil, "tool", "-modfile=.ci/nfpm.mod", "nfpm", "package",
				"--config", path, "--packager", format, "--target", r.out)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

const summary = "Carries Carvel package repositories across an air gap"

// nfpm returns nfpm's configuration for an architecture.
func (r *release) nfpm(arch string) map[string]any {
	type content struct {
		Source      string         `json:"src"`
		Destination string         `json:"dst"`
		Packager    string         `json:"packager,omitempty"`
		Info        map[string]any `json:"file_info"`
	}
	file := func(source, destination, packager string, mode int) content {
		return content{source, destination, packager, map[string]any{"mode": mode, "owner": "root", "group": "root"}}
	}
	contents := []content{
		file(r.program("linux/"+arch), "/usr/bin/relocate", "", 0o755),
		file(filepath.Join(r.scratch, "bash"), "/usr/share/bash-completion/completions/relocate", "", 0o644),
		file(filepath.Join(r.scratch, "fish"), "/usr/share/fish/vendor_completions.d/relocate.fish", "", 0o644),
		file(filepath.Join(r.scratch, "zsh"), "/usr/share/zsh/vendor-completions/_relocate", "deb", 0o644),
		file(filepath.Join(r.scratch, "zsh"), "/usr/share/zsh/site-functions/_relocate", "rpm", 0o644),
		file(filepath.Join(r.scratch, "man", "*.1.gz"), "/usr/share/man/man1/", "", 0o644),
		file(filepath.Join(r.source, "LICENSE"), "/usr/share/doc/relocate/copyright", "deb", 0o644),
		file(filepath.Join(r.source, "LICENSE"), "/usr/share/licenses/relocate/LICENSE", "rpm", 0o644),
		file(filepath.Join(r.source, "CHANGELOG.md"), "/usr/share/doc/relocate/CHANGELOG.md", "", 0o644),
	}
	return map[string]any{
		"name": "relocate", "arch": arch, "platform": "linux", "section": "admin", "priority": "optional",
		"version": packageVersion(r.version), "version_schema": "none", "release": "1",
		"maintainer": "The relocate authors <relocate@localhost>", "license": "Apache-2.0",
		"description": summary + `
Exports, imports and verifies package repositories, their packages and all
their images, with every digest unchanged.`,
		"mtime":    r.date.Format(time.RFC3339),
		"rpm":      map[string]any{"buildhost": "localhost", "summary": summary},
		"contents": contents,
	}
}

// described is what "git describe" adds to a tag after n commits.
var described = regexp.MustCompile(`-([0-9]+)-g([0-9a-f]+)`)

// packageVersion returns a version as packages order them: 1.2.0~rc1 before 1.2.0, and 1.2.0+3.g1a2b3c4
// after it. A commit without a tag is before everything (deb-version(7), rpm-version(7)).
func packageVersion(version string) string {
	v := strings.TrimPrefix(version, "v")
	v = described.ReplaceAllString(v, "+$1.g$2")
	v = strings.ReplaceAll(strings.ReplaceAll(v, "-dirty", "+dirty"), "-", "~")
	if v == "" || v[0] < '0' || v[0] > '9' || !strings.Contains(v, ".") {
		return fmt.Sprintf("0~%s", v)
	}
	return v
}
