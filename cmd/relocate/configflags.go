package main

import (
	"slices"
	"strings"

	"relocate/crossing"
)

// flagIn returns the setting's own flag if its key is, or is in, one of some parts of the file; else
// empty.
func flagIn(s *crossing.Setting, parts ...string) string {
	for _, part := range parts {
		if rest, ok := strings.CutPrefix(s.Key, part); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return s.Flag
		}
	}
	return ""
}

// Parts of a file that several commands have flags for.
var (
	configSource   = []string{"roots", "includeNonDistributableLayers", "attachments", "signaturesFrom"}
	configFindings = []string{"allow", "accept"}
	configObject   = []string{"destination.name", "destination.namespace", "destination.secretRef"}
)

// ofRoot returns the flag of a command that takes one bundle, for the only one of the file.
func (f *configFlags) ofRoot(s *crossing.Setting, flag string) string {
	if flagIn(s, "roots") != "bundle" || len(f.file.Roots) > 1 {
		return ""
	}
	return flag
}

// noArchive reports whether the arguments of inspect and render begin with what to show, and not
// with an archive.
func noArchive(args []string) bool {
	return len(args) == 0 || (args[0] == "packages" || args[0] == "package") && !isFile(args[0])
}

// configFor returns the flags of a copy for the settings of a file.
func (f *copyFlags) configFor(s *crossing.Setting, _ []string) string {
	parts := []string{"includeNonDistributableLayers", "attachments"}
	if f.fromTar != "" && !isOnce(f.fromTar) {
		parts = append(parts, "platforms", "platformMode")
	}
	if f.fromTar == "" {
		parts = f.config.forWalk(&f.selection, f.rendering.on || f.strict)
	}
	if f.toTar != "" {
		parts = append(parts, "have", "bases")
	}
	switch {
	case f.shard.shard.given():
		parts = append(parts, "destination.repository")
	case f.toTar == "":
		parts = append(parts, "destination")
	}
	return flagIn(s, parts...)
}

// configFor returns the flags of plan for the settings of a file.
func (f *planFlags) configFor(s *crossing.Setting, _ []string) string {
	if f.fromTar != "" {
		return flagIn(s, "platforms", "platformMode")
	}
	return flagIn(s, append(f.config.forWalk(&f.selection, f.rendering.on || f.strict), "have", "bases")...)
}

// forWalk returns the parts of a file that a walk of registries uses.
func (f *configFlags) forWalk(selection *selectionFlags, renders bool) []string {
	parts := append(slices.Concat(configSource, configFindings), "choose", "platforms", "platformMode", "strict", "render.packages")
	if renders {
		parts = append(parts, "render", "cluster.kubernetesVersion")
	}
	if selection.ofRoots = f.choosesOfRoots(); selection.given() {
		parts = append(parts, "cluster")
	}
	return parts
}

// configFor returns the flags of inspect for the settings of a file.
func (f *inspectFlags) configFor(s *crossing.Setting, args []string) string {
	if !noArchive(args) {
		return flagIn(s, "platforms", "platformMode")
	}
	return f.config.ofRoot(s, "repo")
}

// configFor returns the flags of render for the settings of a file.
func (f *packageFlags) configFor(s *crossing.Setting, args []string) string {
	switch {
	case noArchive(args) && f.config.ofRoot(s, "repo") != "":
		return "repo"
	case s.Key == "render.values":
		pkg, _, _ := strings.Cut(append(args, "")[max(0, len(args)-1)], "/")
		s.Values = slices.DeleteFunc(s.Values, func(value string) bool {
			of, _, _ := strings.Cut(value, "=")
			of, _, _ = strings.Cut(of, "/")
			return of != pkg
		})
		if len(s.Values) == 0 {
			return ""
		}
	}
	return flagIn(s, "render.values", "cluster.kubernetesVersion", "destination.repository")
}

// configFor returns the flags of rehearse for the settings of a file.
func (f *rehearseFlags) configFor(s *crossing.Setting, _ []string) string {
	if s.Key == "destination.repository" {
		return "as"
	}
	parts := append([]string{"destination.tag", "destination.noTag", "bases", "platforms", "platformMode"}, configFindings...)
	if !f.rendering.off {
		parts = append(parts, "render.values", "cluster.kubernetesVersion")
	}
	return flagIn(s, parts...)
}

// configFor returns the flags of verify for the settings of a file. An archive by itself is not
// compared with the destination.
func (f *verifyFlags) configFor(s *crossing.Setting, args []string) string {
	archive, objects := len(args) > 0, f.cluster.file != ""
	var parts []string
	switch {
	case s.Key == "destination.repository" && !archive:
		return "repo"
	case f.takesPlatforms(s.Key, archive):
		return s.Flag
	case objects:
		return flagIn(s, "allow", "cluster.kubernetesVersion")
	case archive && f.repo != "":
		parts = []string{"destination.tag", "destination.noTag", "destination.repoBasedTags"}
	}
	parts = append(parts, configFindings...)
	if f.repo == "" {
		parts = append(parts, "strict")
	}
	if !f.rendering.off {
		parts = append(parts, "render.values", "cluster.kubernetesVersion")
	}
	return flagIn(s, parts...)
}

// takesPlatforms reports whether a key chooses the platforms of what is verified.
func (f *verifyFlags) takesPlatforms(key string, archive bool) bool {
	switch {
	case archive && f.repo != "" && f.cluster.file == "":
		return key == "platforms" || key == "platformMode"
	case !archive && f.cluster.file == "":
		return key == "platforms" && f.config.file.PlatformMode != platformsDerive
	}
	return false
}

// configFor returns the flags of emit for the settings of a file.
func (f *emitFlags) configFor(s *crossing.Setting, _ []string) string {
	if s.Key == "destination.repository" && f.sites == "" { // sites have their own
		return s.Flag
	}
	return flagIn(s, configObject...)
}

// configFor returns the flags of inventory for the settings of a file.
func (f *inventoryFlags) configFor(s *crossing.Setting, args []string) string {
	if s.Key == "destination.repository" && len(args) == 0 {
		return "repo"
	}
	return ""
}

// configFor returns the flags of prune for the settings of a file.
func (f *pruneFlags) configFor(s *crossing.Setting, _ []string) string {
	if s.Key == "destination.repository" {
		return "repo"
	}
	return ""
}
