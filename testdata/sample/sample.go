// Package sample is a package repository to try relocate on, after the one of the Carvel tutorial
// (simple-app.corp.com). Push puts it on a registry; all its content is below bundles/ and in
// app/, and so small that a test can do so in milliseconds.
//
//	HOST/corp/repository:1.0.0                 package repository: 2 packages, 3 versions
//	├── simple-app.corp.com 1.0.0
//	│   └── HOST/corp/packages/simple-app:1.0.0    bundle
//	│       └── HOST/corp/simple-app:1.0.0             image, Docker schema 2, by digest
//	└── guestbook.corp.com
//	    ├── 1.0.0
//	    │   └── HOST/corp/packages/guestbook:1.0.0     bundle
//	    │       └── HOST/corp/guestbook:1.0.0              image, OCI, by tag
//	    └── 1.1.0
//	        └── HOST/corp/packages/guestbook:1.1.0     bundle
//	            ├── HOST/corp/guestbook:1.1.0              index, OCI, by tag
//	            │   ├── linux/amd64                            image
//	            │   └── linux/arm64                            image
//	            └── HOST/corp/packages/common:1.0.0        nested bundle
//	                └── HOST/corp/status:1.0.0                 image, Docker schema 2, by digest
//
// By digest or by tag is how the configuration names the image; locks have digests only. Every
// image has two layers: the program, the same in all images of a platform, and the release's name.
package sample

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"relocate/internal/imgpkg"
)

// What the repository has; an index counts as one image.
const (
	Packages = 2
	Versions = 3
	Bundles  = 5
	Images   = 4
)

// bundleFiles has the files of each bundle below bundles/REPOSITORY/TAG. References in them are
// placeholders, for example IMAGE_SIMPLE_APP_1_0_0, because host and digest are known only when the
// sample is pushed.
//
//go:embed all:bundles
var bundleFiles embed.FS

// bundleTags are the bundles, each after those that it names.
var bundleTags = []string{
	"packages/simple-app:1.0.0",
	"packages/common:1.0.0",
	"packages/guestbook:1.0.0",
	"packages/guestbook:1.1.0",
	"repository:1.0.0",
}

// Push pushes the sample to registry ("host:port") below /corp, and returns the reference of the
// package repository. app gives the program for an architecture: Compile's function, or Tiny.
// The same registry and programs give the same digests.
func Push(ctx context.Context, registry string, app func(arch string) ([]byte, error)) (root name.Tag, err error) {
	programs := map[string][]byte{}
	for _, arch := range []string{"amd64", "arm64"} {
		if programs[arch], err = app(arch); err != nil {
			return root, err
		}
	}
	refs := map[string]string{"REGISTRY_HOST": registry} // placeholder → what it stands for
	for _, image := range images {
		content, err := image.build(programs)
		if err != nil {
			return root, fmt.Errorf("build image %s: %w", image.tag, err)
		}
		tag, digest, err := push(ctx, registry, image.tag, content)
		if err != nil {
			return root, err
		}
		refs[placeholder("IMAGE", image.tag)] = tag.Digest(digest.String()).Name()
	}
	for _, bundleTag := range bundleTags {
		content, err := buildBundle(bundleTag, refs)
		if err != nil {
			return root, fmt.Errorf("build bundle %s: %w", bundleTag, err)
		}
		tag, digest, err := push(ctx, registry, bundleTag, content)
		if err != nil {
			return root, err
		}
		// imgpkg push writes this tag as well.
		self := tag.Tag("sha256-" + digest.Hex + ".imgpkg")
		if err := remote.Tag(self, content, remote.WithContext(ctx)); err != nil {
			return root, fmt.Errorf("tag %s: %w", self, err)
		}
		refs[placeholder("BUNDLE", bundleTag)] = tag.Digest(digest.String()).Name()
		root = tag // of the last one in the end
	}
	return root, nil
}

// buildBundle makes a bundle of the files of bundleTag, with refs in place of the placeholders.
func buildBundle(bundleTag string, refs map[string]string) (v1.Image, error) {
	dir, err := fs.Sub(bundleFiles, path.Join("bundles", strings.ReplaceAll(bundleTag, ":", "/")))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = fs.WalkDir(dir, ".", func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dir, p)
		if err != nil {
			return err
		}
		text := string(data)
		for old, ref := range refs { // in any order: none is part of another
			text = strings.ReplaceAll(text, old, ref)
		}
		files[p] = []byte(text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return Bundle(files)
}

// Bundle makes a bundle of files (path → content) as "imgpkg push" does.
func Bundle(files map[string][]byte) (v1.Image, error) {
	built, err := imgpkg.Build(files, map[string]string{imgpkg.Label: "true"})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(bundleImage{built})
}

// placeholder returns, for example, IMAGE_SIMPLE_APP_1_0_0 for "simple-app:1.0.0". Folders are left
// out.
func placeholder(kind, tag string) string {
	return kind + "_" + strings.NewReplacer("-", "_", ":", "_", ".", "_").Replace(strings.ToUpper(path.Base(tag)))
}

func push(ctx context.Context, registry, imageTag string, c pushable) (name.Tag, v1.Hash, error) {
	tag, err := name.NewTag(registry + "/corp/" + imageTag)
	if err != nil {
		return name.Tag{}, v1.Hash{}, err
	}
	digest, err := c.Digest()
	if err != nil {
		return name.Tag{}, v1.Hash{}, err
	}
	if err := remote.Push(tag, c, remote.WithContext(ctx)); err != nil {
		return name.Tag{}, v1.Hash{}, fmt.Errorf("push %s: %w", tag, err)
	}
	return tag, digest, nil
}
