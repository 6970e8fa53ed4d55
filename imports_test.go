package relocate_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed holds the direction of the packages: what each may import of the others, tests apart. Media
// (tarball, registry) do not know each other, nor what copies or verifies them; they meet in
// bundle.Source and copy's sinks. See docs/decisions/0001-packages.md.
var allowed = map[string][]string{
	"internal/digest":    {},
	"internal/extract":   {"bundle", "oci"},
	"internal/inputfile": {"internal/watchdog"},
	"internal/inspect":   {"bundle", "carvel", "carvel/values", "render", "report", "tarball"},
	"internal/progress":  {"copy", "internal/text", "internal/watchdog", "registry"},
	"internal/outfile":   {},
	"internal/ownfile":   {},
	"internal/printer":   {"internal/text"},
	"internal/text":      {},
	"internal/watchdog":  {},
	"internal/yamlnode":  {"internal/text"},
	"report":             {"internal/text"},
	"report/page":        {"bundle", "carvel", "diff", "internal/text", "oci", "report"},
	"oci":                {"internal/digest", "internal/text"},
	"carvel":             {"internal/text", "internal/yamlnode", "oci"},
	"carvel/values":      {"carvel", "internal/text", "internal/yamlnode"},
	"choose":             {"carvel", "internal/imgpkg", "internal/text", "internal/yamlnode", "oci", "render", "report"},
	"internal/imgpkg":    {"internal/digest", "internal/text", "internal/yamlnode"},
	"bundle":             {"carvel", "internal/digest", "internal/imgpkg", "internal/text", "internal/yamlnode", "oci", "render", "report"},
	"tarball":            {"bundle", "carvel", "internal/digest", "internal/ownfile", "oci", "render", "report", "volume"},
	"registry":           {"internal/digest", "internal/text"},
	"crossing":           {"choose", "internal/text", "internal/yamlnode", "oci", "verify/cluster"},
	"diff":               {"bundle", "carvel", "internal/digest", "internal/yamlnode", "inventory", "render", "report"},
	"copy":               {"bundle", "carvel", "internal/digest", "internal/imgpkg", "internal/text", "oci"},
	"rewrite":            {"bundle", "carvel", "manifests", "oci"},
	"verify":             {"bundle", "carvel", "internal/digest", "internal/imgpkg", "oci", "render", "report"},
	"verify/cluster":     {"bundle", "carvel", "internal/digest", "internal/text", "internal/yamlnode", "oci", "render", "render/kbld", "render/ytt", "report", "verify/leak/content", "verify/leak/kappctrl"},
	"verify/leak":        {"bundle", "carvel", "internal/digest", "internal/imgpkg", "internal/text", "internal/yamlnode", "manifests", "oci", "report", "verify/leak/content", "verify/leak/kappctrl", "render", "render/kbld", "render/ytt"},

	"verify/leak/kappctrl": {"carvel", "internal/text", "internal/yamlnode", "report", "verify/leak/content", "render/kbld", "render/packagingapi"},
	"verify/leak/content":  {"carvel", "internal/text", "internal/yamlnode", "report", "render/kbld"},

	"internal/child":     {"internal/heap"},
	"internal/heap":      {},
	"internal/httpfile":  {"internal/inputfile", "internal/text", "registry"},
	"internal/selfimage": {},
	"release":            {"custody", "internal/selfimage"},
	"render":             {"carvel", "internal/child", "internal/text", "internal/yamlnode", "render/kbld", "render/packagingapi", "render/ytt", "report"},
	"render/kbld":        {"carvel", "internal/text", "internal/yamlnode", "report"},
	"render/ytt":         {"internal/child"},

	"render/packagingapi": {"internal/yamlnode"},

	"custody": {"internal/text", "oci"},

	"volume": {"internal/ownfile"},

	"manifests": {"carvel", "internal/imgpkg", "internal/text", "internal/yamlnode", "oci", "render/kbld"},

	"inventory": {"bundle", "internal/digest", "internal/text"},

	"registry/serve": {"bundle", "carvel", "internal/digest", "internal/imgpkg", "oci"},

	"registry/rehearsal": {"bundle", "internal/digest", "oci", "registry/serve"},
	".": {"bundle", "carvel", "choose", "copy", "custody", "diff", "inventory", "internal/digest", "internal/imgpkg", "internal/outfile", "internal/ownfile", "internal/text", "internal/yamlnode", "manifests", "oci", "registry", "registry/rehearsal", "registry/serve", "render", "render/kbld", "render/ytt", "report", "rewrite",
		"tarball", "verify", "verify/cluster", "verify/leak", "volume"},
	"cmd/relocate": {".", "bundle", "carvel", "carvel/values", "choose", "copy", "crossing", "custody", "diff", "inventory",
		"internal/child", "internal/digest", "internal/extract", "internal/heap", "internal/httpfile", "internal/inputfile", "internal/inspect", "internal/progress", "internal/outfile", "internal/ownfile", "internal/printer", "internal/selfimage", "internal/watchdog",
		"internal/text", "manifests", "oci", "registry", "registry/serve", "render", "render/ytt", "report", "report/page", "rewrite",
		"tarball", "verify", "verify/cluster", "verify/leak", "volume"},
}

// network are the imports that open connections: registry's alone, and those of registry/…, which take them. The verbs
// listen, and the command names the errors of package net. internal/httpfile reads files by what registry connects.
var network = []string{"net", "net/http", "github.com/google/go-containerregistry/pkg/v1/remote", "github.com/google/go-containerregistry/pkg/v1/remote/transport"}

// TestImports keeps the direction of the packages.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || (strings.HasPrefix(entry.Name(), ".") && path != ".")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		may, known := allowed[pkg]
		require.True(t, known, "package %s is not in the table: a new package needs a reason in docs/decisions", pkg)
		seen[pkg] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			own, ok := strings.CutPrefix(imported, "relocate/")
			if imported == "relocate" {
				own, ok = ".", true
			}
			if ok && !slices.Contains(may, own) {
				t.Errorf("%s imports %s; package %s may import %v", path, imported, pkg, may)
			}
			if slices.Contains(network, imported) && pkg != "registry" && !strings.HasPrefix(pkg, "registry/") && pkg != "internal/httpfile" && !((pkg == "." || pkg == "cmd/relocate") && imported == "net") {
				t.Errorf("%s imports %s; only package registry opens connections", path, imported)
			}
		}
		return nil
	})
	require.NoError(t, err)
	for pkg := range allowed {
		require.True(t, seen[pkg], "the table has package %s, the tree does not", pkg)
	}
}
