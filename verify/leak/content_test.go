package leak

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"relocate/carvel"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// TestContent looks at the bundles of testdata/content, each a txtar: the bundle's files; package.yml, the
// Package whose steps read them, if there is one; want, the findings, a line each: level, code, file:line,
// reference; references, if they matter: file:line, reference, the id in the lock or "-". DIGEST stands for a
// digest, PKG in a place for the Package's file.
//
// A judged case has what ytt, kbld and helm make of it as well (TestJudges): output, or fails when a step fails;
// aside are references in it that are no images.
func TestContent(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/content/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			c, want := readCase(t, data)
			refs, findings := c.references()
			var got []string
			for _, f := range findings {
				require.NotEmpty(t, f.Message)
				file := f.File
				if file == "" {
					file = "PKG"
				}
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s:%d %s", f.Level, f.Code, file, f.Line, f.Reference)))
			}
			require.Contains(t, want, "want")
			require.Equal(t, sortedLines(want["want"]), sorted(got))
			if _, fails := want["fails"]; fails || want["output"] != "" {
				requireJudged(t, c, want, findings)
			}
			if wanted, ok := want["references"]; ok {
				var got []string
				for _, r := range refs {
					id := "-"
					if r.Rewritten {
						id = c.locks[0].Images.Images[r.Entry].Annotations[carvel.KbldID]
					}
					got = append(got, fmt.Sprintf("%s:%d %s %s", r.File, r.Line, r.Value, id))
				}
				require.Equal(t, sortedLines(wanted), sorted(got))
			}
		})
	}
}

var testDigest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

// readCase returns the content of a case, and what is expected.
func readCase(t testing.TB, data []byte) (*packageFiles, map[string]string) {
	t.Helper()
	c, want := &packageFiles{}, map[string]string{}
	for _, f := range cutFiles(bytes.ReplaceAll(data, []byte("DIGEST"), []byte(testDigest))) {
		switch f.Path {
		case "want", "references", "output", "fails", "aside":
			want[f.Path] = string(f.Data)
		case "package.yml":
			c.steps = readSteps(t, f.Data)
		case carvel.LockFile:
			lock, err := carvel.ParseImagesLock(f.Data)
			require.NoError(t, err)
			c.locks = bundleLock(lock)
			fallthrough
		default:
			c.files = append(c.files, f)
		}
	}
	return c, want
}

// bundleLock is the lock of the only bundle of a folder.
func bundleLock(lock *carvel.ImagesLock) []kappctrl.Lock {
	return []kappctrl.Lock{{File: carvel.LockFile, Images: lock}}
}

// cutFiles returns the files of a txtar.
func cutFiles(data []byte) []content.File {
	var files []content.File
	for l := range bytes.Lines(data) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(string(l)), "-- "); ok && strings.HasSuffix(name, " --") {
			files = append(files, content.File{Path: strings.TrimSuffix(name, " --")})
		} else if n := len(files); n > 0 {
			files[n-1].Data = append(files[n-1].Data, l...)
		}
	}
	return files
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// sortedLines returns the lines of text that are neither empty nor comments, sorted.
func sortedLines(text string) []string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			lines = append(lines, l)
		}
	}
	return sorted(lines)
}

// readSteps returns the template steps of a Package.
func readSteps(t testing.TB, data []byte) kappctrl.Steps {
	t.Helper()
	type paths struct{ Paths []string }
	var p struct {
		Spec struct {
			Template struct {
				Spec struct{ Template []yaml.Node }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(data, &p))
	var steps kappctrl.Steps
	for _, n := range p.Spec.Template.Spec.Template {
		var s struct {
			Ytt *struct {
				Paths      []string
				FileMarks  []string `yaml:"fileMarks"`
				Inline     struct{ Paths map[string]string }
				ValuesFrom []struct{ Path string } `yaml:"valuesFrom"`
			}
			HelmTemplate *struct {
				Path       string
				ValuesFrom []struct{ Path string } `yaml:"valuesFrom"`
			} `yaml:"helmTemplate"`
			Kbld, Sops, Cue *paths
		}
		require.NoError(t, n.Decode(&s))
		st := kappctrl.Step{Line: n.Line}
		switch {
		case s.Ytt != nil:
			st.Kind, st.Paths, st.Inline, st.Marks = "ytt", s.Ytt.Paths, s.Ytt.Inline.Paths, s.Ytt.FileMarks
			for _, from := range s.Ytt.ValuesFrom {
				st.Values = append(st.Values, from.Path)
			}
		case s.Kbld != nil:
			st.Kind, st.Paths = "kbld", s.Kbld.Paths
		case s.HelmTemplate != nil:
			if st.Kind = "helmTemplate"; s.HelmTemplate.Path != "" {
				st.Paths = []string{s.HelmTemplate.Path}
			}
			for _, from := range s.HelmTemplate.ValuesFrom {
				st.Values = append(st.Values, from.Path)
			}
		case s.Sops != nil:
			st.Kind, st.Paths = "sops", s.Sops.Paths
		case s.Cue != nil:
			st.Kind, st.Paths = "cue", s.Cue.Paths
		}
		steps = append(steps, st)
	}
	return steps
}
