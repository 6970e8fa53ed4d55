package render

import (
	"bytes"
	"slices"

	"relocate/render/ytt"
)

// usedByYtt notes which files of the folder a ytt step uses: those that it prints, runs or reads,
// and all when a template may read files, which depends on the values. ytt itself reads all YAML and
// Starlark files.
func (n *run) usedByYtt(files []file, uses []ytt.FileUse) {
	readsFiles := slices.ContainsFunc(files, func(f file) bool {
		return bytes.Contains(f.Data, []byte("data.read")) || bytes.Contains(f.Data, []byte("data.list"))
	})
	for i, use := range uses {
		if use.Template || use.Output || use.Read || readsFiles {
			n.use(files[i])
		}
	}
}
