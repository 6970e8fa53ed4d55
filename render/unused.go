package render

import (
	"bytes"
	"slices"
	"strings"

	"relocate/render/ytt"
)

// usedByYtt notes which files of the folder a ytt step uses: those that it prints, runs or reads,
// and all when a template may read files, which depends on the values. ytt itself reads all YAML and
// Starlark files, except for private libraries that no template asks for.
func (n *run) usedByYtt(files []file, uses []ytt.FileUse) {
	has := func(code ...string) bool {
		return slices.ContainsFunc(files, func(f file) bool {
			return slices.ContainsFunc(code, func(c string) bool { return bytes.Contains(f.Data, []byte(c)) })
		})
	}
	readsFiles, getsLibraries := has(".read", ".list"), has("@ytt:library")
	for i, use := range uses {
		runs := use.Template && (getsLibraries || !strings.Contains("/"+files[i].Path, "/_ytt_lib/"))
		if runs || use.Output || use.Read || readsFiles {
			n.use(files[i])
		}
	}
}
