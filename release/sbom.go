package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// component is one of an SBOM (CycloneDX 1.6, component).
type component struct {
	Type     string        `json:"type"`
	Ref      string        `json:"bom-ref"`
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Hashes   []hash        `json:"hashes,omitempty"`
	Licenses []licenseItem `json:"licenses,omitempty"`
	PURL     string        `json:"purl"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licenseItem struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// sbom writes an SBOM in CycloneDX 1.6 of the modules that are in any of the programs. Go puts their
// names and digests into each.
func (r *release) sbom() error {
	modules := map[string]component{}
	for _, platform := range r.platforms {
		info, err := buildinfo.ReadFile(r.program(platform))
		if err != nil {
			return err
		}
		std := newComponent("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
		modules[std.Ref] = std
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			c := newComponent(m.Path, m.Version)
			sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
			if err != nil {
				return fmt.Errorf("%s: %w", m.Path, err)
			}
			if len(sum) > 0 { // of the list of files, go.sum's
				c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
			}
			modules[c.Ref] = c
		}
	}
	self := newComponent("relocate", r.version)
	self.Type = "application"
	self.Licenses = make([]licenseItem, 1)
	self.Licenses[0].License.ID = "Apache-2.0"
	refs := slices.Sorted(maps.Keys(modules))
	components := make([]component, 0, len(refs))
	for _, ref := range refs {
		components = append(components, modules[ref])
	}
	text, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":     map[string]any{"timestamp": r.date.Format(time.RFC3339), "component": self},
		"components":   components,
		"dependencies": []dependency{{self.Ref, refs}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "relocate.cdx.json"), append(text, '\n'), 0o644)
}

// newComponent returns the component of a module; its reference is its package URL.
func newComponent(module, version string) component {
	purl := "pkg:golang/" + module + "@" + url.QueryEscape(version)
	return component{Type: "library", Ref: purl, Name: module, Version: version, PURL: purl}
}
