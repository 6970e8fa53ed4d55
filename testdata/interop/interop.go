// Package interop has what the real imgpkg wrote for a small package repository (README.md), and a
// registry in memory that serves it, or what a test makes up.
package interop

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/imgpkg"
)

// Files has everything that was recorded.
//
//go:embed registry locations locks tar all:source
var Files embed.FS

// The recorded repositories.
const (
	Repository = "127.0.0.1:5110/src/repository" // where the package repository was pushed, as 1.0.0
	Relocated  = "127.0.0.1:5111/dst/repository" // where imgpkg copied it
	Root       = "sha256:4db59cf40bd2e3a247241f7af2df1cd8daf9af6e3858e5fcff8c777205a2cd54"
)

// Bundles has the digest of each directory below source/, as imgpkg pushed it.
var Bundles = map[string]string{
	"common":      "sha256:f6aec8ab6763fa8a90e95ef3a2bec4129b45268eb61165c275c129183759b9c1",
	"alpha-1.0.0": "sha256:95634de336e67c57eb75bf9e2333ced927cd3b888e0328b4698107733b9b7d43",
	"alpha-2.0.0": "sha256:8585af81bfc8ff9de899b8163bc399e930188c965b6570d17b93ca2326e95b3c",
	"beta-1.0.0":  "sha256:a3fd7c0f2b37a02ceee870b64f07118d11ac8cc27dd6e638f78827c8a720097a",
	"repository":  Root,
}

// Source returns the registry that the package repository was pushed to. It has the layers of
// bundles, rebuilt, but none of images.
func Source() (*Registry, error) { return load("registry/source.json", "127.0.0.1:5110") }

// Destination returns the registry that imgpkg filled, with the layers of bundles and locations
// images, but none of images.
func Destination() (*Registry, error) { return load("registry/destination.json", "127.0.0.1:5111") }

// Read returns a recorded file.
func Read(name string) ([]byte, error) { return Files.ReadFile(name) }

// BundleFiles returns the files of the directory source/dir by their path in it.
func BundleFiles(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	root := path.Join("source", dir)
	err := fs.WalkDir(Files, root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[strings.TrimPrefix(p, root+"/")], err = Files.ReadFile(p)
		}
		return err
	})
	return files, err
}

// dump is a repository as README.md describes registry/*.json.
type dump struct {
	Repository string             `json:"repository"`
	Tags       map[string]v1.Hash `json:"tags"`
	Manifests  map[string]struct {
		MediaType types.MediaType `json:"mediaType"`
		Raw       string          `json:"raw"`
	} `json:"manifests"`
	Configs map[string]string `json:"configs"`
}

func load(file, host string) (*Registry, error) {
	raw, err := Files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var dumps []dump
	if err := json.Unmarshal(raw, &dumps); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	layers, err := smallLayers()
	if err != nil {
		return nil, err
	}
	registry := &Registry{}
	for _, d := range dumps {
		repo := registry.Repo(host + "/" + d.Repository)
		for _, m := range d.Manifests {
			repo.PutManifest(m.MediaType, []byte(m.Raw))
		}
		for _, config := range d.Configs {
			repo.PutBlob([]byte(config))
		}
		for _, layer := range layers {
			repo.PutBlob(layer)
		}
		maps.Copy(repo.Tags, d.Tags)
	}
	return registry, nil
}

// smallLayers returns the layers of bundles and locations images, of which there is no dump.
func smallLayers() ([][]byte, error) {
	var layers [][]byte
	for _, dir := range slices.Sorted(maps.Keys(Bundles)) {
		files, err := BundleFiles(dir)
		if err != nil {
			return nil, err
		}
		image, err := imgpkg.Build(files, map[string]string{imgpkg.Label: "true"})
		if err != nil {
			return nil, err
		}
		layers = append(layers, image.Layer)
	}
	recorded, err := fs.Glob(Files, "locations/*.layer.tar.gz")
	if err != nil {
		return nil, err
	}
	for _, name := range recorded {
		layer, err := Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}
