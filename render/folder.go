package render

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"relocate/render/ytt"
)

// file is a file that a step gets.
type file = ytt.File

// Folder returns the files of the app folder, by path, and the faults of its fetches. It is what App
// does first.
//
// Errors: *FailedError; *NotRenderedError.
func (app App) Folder() ([]File, []Fault, error) {
	s, err := parseSpec(app.Spec)
	if err != nil {
		return nil, nil, err
	}
	return app.folder(s.Fetch)
}

func (app App) folder(fetches []fetch) (files []File, faults []Fault, err error) {
	if len(fetches) == 0 {
		return nil, nil, fetchFailed("Expected at least one fetch option")
	}
	dirs, faults, err := fetchDirs(fetches)
	if err != nil {
		return nil, faults, err
	}
	for i, f := range fetches {
		fetched, err := app.fetch(i, &f)
		if err != nil {
			return nil, faults, err
		}
		for _, file := range fetched {
			to, err := scoped(dirs[i], file.Path)
			if err != nil {
				return nil, faults, fetchFailed("%v", err)
			}
			if to == dirs[i] {
				return nil, faults, fetchFailed("open %s: is a directory", file.Path)
			}
			file.Path = to
			files = append(files, file)
		}
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, faults, nil
}

// fetchDirs returns the folder of each fetch. vendir refuses paths that overlap, or that are the
// folder of the App itself. It would write outside of that folder where a path says so, and we do
// not.
func fetchDirs(fetches []fetch) ([]string, []Fault, error) {
	if len(fetches) == 1 && fetches[0].Path == "" {
		return []string{""}, nil, nil
	}
	dirs := make([]string, len(fetches))
	for i, f := range fetches {
		dirs[i] = cmp.Or(f.Path, strconv.Itoa(i))
		if slices.Contains([]string{"/", ".", ".."}, dirs[i]) {
			return nil, nil, fetchFailed("Validating directory '%s' (%d): Expected path to not be one of '/', '.', '..', ''", dirs[i], i)
		}
	}
	for i, dir := range dirs {
		for j, other := range dirs {
			if i != j && strings.HasPrefix(other+"/", dir+"/") {
				return nil, nil, fetchFailed("Expected to not manage overlapping paths: '%s' and '%s'", other, dir)
			}
		}
	}
	for i, dir := range dirs {
		dirs[i] = path.Clean(dir)
		if path.IsAbs(dir) || dirs[i] == "." || dirs[i] == ".." || strings.HasPrefix(dirs[i], "../") {
			return nil, []Fault{{
				Code: CodeOutside, Step: -1,
				Message: fmt.Sprintf("fetch %d goes to %q, which is not in the folder of the App: vendir would write over files of kapp-controller", i+1, dir),
				Action:  "give the fetch a path below the folder of the App, such as " + strconv.Itoa(i),
			}}, notRendered("fetch %d goes to %q, which is not in the folder of the App", i+1, dir)
		}
	}
	return dirs, nil, nil
}

// fetch returns the files of a fetch, with their paths in its folder.
func (app App) fetch(i int, f *fetch) (files []File, err error) {
	switch kind := f.kind(); {
	case kind == "":
		return nil, fetchFailed("Fetching (%d): Unsupported way to fetch templates", i)
	case kind == "inline":
		inline, err := app.inlineFiles(f.Inline)
		if err != nil {
			return nil, failedIn(-1, "fetch", err)
		}
		for _, file := range inline {
			files = append(files, File{Path: file.Path, Data: file.Data, Fetch: i, Name: file.Path})
		}
		return files, nil
	case i >= len(app.Fetched):
		return nil, notRendered("what fetch %d (%s) gives is not available", i+1, kind)
	case app.Fetched[i].Missing != "":
		return nil, notRendered("fetch %d: %s", i+1, app.Fetched[i].Missing)
	}
	sub := ""
	if f.subPath() != "" {
		if sub, err = scoped("", f.subPath()); err != nil {
			return nil, fetchFailed("Calculating new root path: %v", err)
		}
	}
	found := sub == ""
	for _, file := range app.Fetched[i].Files {
		if rest, ok := below(file.Path, sub); ok {
			found = true
			files = append(files, File{Path: rest, Data: file.Data, Fetch: i, Name: file.Path})
		}
	}
	if !found {
		return nil, fetchFailed("fetch %d: subPath '%s': no such file or directory", i+1, f.subPath())
	}
	return files, nil
}

func fetchFailed(format string, args ...any) error {
	return &FailedError{Step: -1, Kind: "fetch", Message: fmt.Sprintf(format, args...)}
}

// failedIn makes err, which is a message of kapp-controller, an error of a step. Other errors are
// returned as they are.
func failedIn(step int, kind string, err error) error {
	if m, ok := err.(message); ok {
		return &FailedError{Step: step, Kind: kind, Message: string(m)}
	}
	return err
}

// message is an error in the words of kapp-controller or of vendir.
type message string

func (m message) Error() string { return string(m) }

// scoped joins paths as kapp-controller does: lexically, and not above dir.
func scoped(dir, sub string) (string, error) {
	root := path.Join("/", dir)
	joined := path.Join("/root", root, sub) // below a folder, so that one can leave it
	if _, ok := below(joined, path.Join("/root", root)); !ok && joined != path.Join("/root", root) {
		return "", message("Invalid path: " + sub)
	}
	return strings.TrimPrefix(strings.TrimPrefix(joined, "/root"), "/"), nil
}

// below returns the path of file relative to dir. It returns false when file is not below dir.
func below(file, dir string) (string, bool) {
	if dir == "" {
		return file, file != ""
	}
	return strings.CutPrefix(file, dir+"/")
}

// inlineFiles returns the files of an inline fetch, by path. Of two files with one path the later
// source wins.
func (app App) inlineFiles(in *inline) ([]file, error) {
	files := map[string][]byte{}
	add := func(name string, data []byte) error {
		to, err := scoped("", name)
		if err == nil {
			files[to] = data
		}
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(in.Paths)) {
		if err := add(name, []byte(in.Paths[name])); err != nil {
			return nil, err
		}
	}
	for _, from := range in.PathsFrom {
		found, dir, err := app.object(from)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if err := add(path.Join(dir, f.Path), f.Data); err != nil {
				return nil, err
			}
		}
	}
	var sorted []file
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sorted = append(sorted, file{Path: name, Data: files[name]})
	}
	return sorted, nil
}

// object returns the keys of the Secret or ConfigMap that a source names as files, by name, and the
// folder that pathsFrom gives them.
func (app App) object(from source) (files []file, dir string, err error) {
	kind, ref := "Secret", from.SecretRef
	switch {
	case from.files != nil:
		return from.files, "", nil
	case ref == nil && from.ConfigMapRef != nil:
		kind, ref = "ConfigMap", from.ConfigMapRef
	case ref == nil:
		return nil, "", message("Expected either secretRef or configMapRef as a source")
	}
	i := slices.IndexFunc(app.Objects, func(o Object) bool { return o.Kind == kind && o.Name == ref.Name })
	if i < 0 {
		return nil, "", notRendered("the package needs the %s %s of the cluster", kind, ref.Name)
	}
	return app.Objects[i].Files(), ref.DirectoryPath, nil
}
