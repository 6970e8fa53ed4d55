package leak

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/report"
	"relocate/testdata/judges"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

var record = flag.Bool("record", false, "write what the programs give into the cases")

// TestJudges runs the real programs over the judged cases of testdata/content, as kapp-controller calls them, and
// compares what they give with the sections output and fails. With -record it writes the sections.
func TestJudges(t *testing.T) {
	t.Parallel()
	judges.Program(t, "ytt") // or skip
	for _, file := range judgedCases(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			c, want := readCase(t, data)
			output, fails := judge(t, c)
			if *record {
				data, _, _ = bytes.Cut(data, []byte("-- output --\n"))
				data, _, _ = bytes.Cut(data, []byte("-- fails --\n"))
				section := "-- output --\n" + output
				if fails != "" {
					section = "-- fails --\n" + fails
				}
				section = strings.ReplaceAll(section, testDigest, "DIGEST")
				require.NoError(t, os.WriteFile(file, append(data, section...), 0o644))
				return
			}
			require.Equal(t, want["fails"], fails)
			require.Equal(t, want["output"], output)
		})
	}
}

// judgedCases returns the cases for which the programs' output is recorded.
func judgedCases(t *testing.T) []string {
	t.Helper()
	cases, err := filepath.Glob("testdata/content/judged-*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	return cases
}

// judge runs the template steps of a case.
func judge(t *testing.T, c *packageFiles) (output, fails string) {
	t.Helper()
	root, inline := t.TempDir(), t.TempDir()
	for _, f := range c.files {
		file := filepath.Join(root, filepath.FromSlash(f.Path))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, f.Data, 0o644))
	}
	var stream []byte
	for i, s := range c.steps {
		program, args := command(s, root, i == 0)
		if len(s.Inline) > 0 {
			for name, text := range s.Inline {
				require.NoError(t, os.WriteFile(filepath.Join(inline, name), []byte(text), 0o644))
			}
			args = append(args, "-f", inline)
		}
		run := exec.Command(judges.Program(t, program), args...)
		run.Dir, run.Stdin = root, bytes.NewReader(stream)
		run.Env = []string{"HOME=" + inline, "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1"} // no registry answers
		out, err := run.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return "", program + ": " + outcome(string(exit.Stderr))
		}
		require.NoError(t, err)
		stream = out
	}
	return string(stream), ""
}

// command returns the command line of a step.
func command(s kappctrl.Step, root string, first bool) (program string, args []string) {
	paths := s.Paths
	if paths == nil && len(s.Inline) == 0 {
		paths = map[bool][]string{true: {"."}, false: {"-"}}[first]
	}
	var given []string
	for _, p := range paths {
		if p != "-" {
			p = filepath.Join(root, p)
		}
		given = append(given, "-f", p)
	}
	switch s.Kind {
	case "helmTemplate":
		program, args = "helm", []string{"template", "app", filepath.Join(root, paths[0]), "--namespace", "app", "--include-crds"}
	case "kbld":
		return "kbld", append(given, "--build=false")
	default:
		program, args = "ytt", given
		for _, mark := range s.Marks {
			args = append(args, "--file-mark", mark)
		}
	}
	for _, v := range s.Values {
		args = append(args, map[string]string{"helm": "--values", "ytt": "--data-values-file"}[program], filepath.Join(root, v))
	}
	return program, args
}

var resolving = regexp.MustCompile(`- Resolving image '[^']*'`)

// outcome returns what a program says without what depends on the machine.
func outcome(stderr string) string {
	if lines := resolving.FindAllString(stderr, -1); lines != nil {
		slices.Sort(lines)
		return strings.Join(slices.Compact(lines), "\n") + "\n"
	}
	return strings.TrimSpace(stderr) + "\n"
}

// requireJudged compares findings with what the programs give: what a finding says to break must be there, and
// what ends outside must be found.
func requireJudged(t *testing.T, c *packageFiles, want map[string]string, findings []report.Finding) {
	t.Helper()
	given := want["output"] + want["fails"]
	for _, f := range findings {
		if !f.Level.Breaks() {
			continue
		}
		if repo, tag := f.Reference[:strings.LastIndexByte(f.Reference, ':')], f.Reference[strings.LastIndexByte(f.Reference, ':')+1:]; !strings.Contains(given, f.Reference) {
			require.Equal(t, "composed", string(f.Code), "%s is false: the programs do not give %s", f.Code, f.Reference)
			require.Contains(t, given, repo+"\n") // a pair
			require.Contains(t, given, tag)
		}
	}
	inside := map[string]bool{}
	for _, e := range c.locks[0].Images.Images {
		inside[e.Image.String()] = true
	}
	for ref := range content.References(withoutOrigins(given)) {
		if !inside[ref] && !strings.Contains(want["aside"], ref) {
			require.True(t, slices.ContainsFunc(findings, func(f report.Finding) bool { return f.Level.Breaks() && f.Reference == ref }),
				"%s ends outside, and no finding says so", ref)
		}
	}
}

// withoutOrigins cuts the annotation in which kbld records what it did.
func withoutOrigins(output string) string {
	var kept strings.Builder
	inside := false
	for l := range strings.Lines(output) {
		if inside = inside && strings.HasPrefix(l, "      ") || strings.Contains(l, "kbld.k14s.io/images:"); !inside {
			kept.WriteString(l)
		}
	}
	return kept.String()
}
