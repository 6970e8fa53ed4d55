package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

var sealLine = regexp.MustCompile(`(?m)^(\s*seal\s+)sha256:[0-9a-f]{64}$`)

// withoutSeal takes out the seal, which changes with the format of the archive.
func withoutSeal(s string) string { return sealLine.ReplaceAllString(s, "${1}SEAL") }

// TestImportOutput: the PackageRepository, and nothing else, goes to stdout; emit writes the same from
// the archive and from the lock.
func TestImportOutput(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	digest := rootDigest(t, host, "corp/repository", "1.0.0")
	repo := host + "/private/repository"
	lock, object := filepath.Join(t.TempDir(), "lock.yml"), filepath.Join(t.TempDir(), "object.yml")

	imported := mustRelocate(t, "--from-tar", file, "--to-repo", repo, "--lock-output", lock)
	var got any
	require.NoError(t, yaml.UnmarshalStrict([]byte(imported.stdout), &got))
	assert.Equal(t, map[string]any{
		"apiVersion": "packaging.carvel.dev/v1alpha1",
		"kind":       "PackageRepository",
		"metadata": map[string]any{
			"name": "repository", "namespace": "kapp-controller-packaging-global",
			"annotations": map[string]any{"kctrl.carvel.dev/repository-version": "1.0.0"},
		},
		"spec": map[string]any{"fetch": map[string]any{"imgpkgBundle": map[string]any{"image": repo + "@" + digest}}},
	}, got)
	assert.Equal(t, 1, strings.Count(imported.stdout, "---\n"), "one document")

	assert.Equal(t, imported.stdout, mustRelocate(t, "emit", file, "--to-repo", repo).stdout)
	assert.Equal(t, imported.stdout, mustRelocate(t, "emit", "--lock", lock, "--name", "repository").stdout)

	shaped := []string{"--name", "corp", "--namespace", "tenant", "--secret-ref", "pull"}
	again := mustRelocate(t, append([]string{"--from-tar", file, "--to-repo", repo, "--repository-output", object}, shaped...)...)
	assert.Empty(t, again.stdout, "--repository-output takes the object")
	text, err := os.ReadFile(object)
	require.NoError(t, err)
	assertAll(t, string(text), "name: corp\n", "namespace: tenant\n", "secretRef:\n        name: pull\n", repo+"@"+digest)
	assert.Equal(t, string(text), mustRelocate(t, append([]string{"emit", file, "--to-repo", repo}, shaped...)...).stdout)
	assert.Equal(t, string(text), mustRelocate(t, append([]string{"emit", "--lock", lock}, shaped...)...).stdout)
}

// rootDigest is what a tag stands for.
func rootDigest(t *testing.T, host, repo, tag string) string {
	t.Helper()
	raw, _ := get(t, host, "/v2/"+repo+"/manifests/"+tag)
	return digestOf(raw)
}

// TestFormats: JSON and YAML of a report are the same document, with the version of its form.
func TestFormats(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root := pushSample(t, host)
	file := export(t, root)
	mustRelocate(t, "--from-tar", file, "--to-repo", host+"/private")
	for _, args := range [][]string{
		{"plan", "-b", root},
		{"inspect", file},
		{"inspect", file, "--tree"},
		{"verify", file},
		{"verify", "--repo", host + "/private", file},
	} {
		fromJSON, fromYAML := formats(t, args)
		assert.Equal(t, fromJSON, fromYAML, "%v", args)
		assert.EqualValues(t, 1, fromJSON["version"], "%v", args)
	}
	fromJSON, fromYAML := formats(t, []string{"version"})
	assert.Equal(t, fromJSON, fromYAML)
	assert.Equal(t, version, fromJSON["version"])

	info, err := os.Stat(file)
	require.NoError(t, err)
	plan, _ := formats(t, []string{"plan", "-b", root})
	assert.EqualValues(t, info.Size(), plan["archiveSize"])
}

func formats(t *testing.T, args []string) (fromJSON, fromYAML map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, append(args, "-o", "json")...).stdout), &fromJSON), "%v", args)
	require.NoError(t, yaml.UnmarshalStrict([]byte(mustRelocate(t, append(args, "-o", "yaml")...).stdout), &fromYAML), "%v", args)
	return fromJSON, fromYAML
}

// TestInspectOutput compares what people see of the sample with golden files. Its digests, and the
// sizes of compressed bundles, change with the registry's port.
func TestInspectOutput(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	file := export(t, pushSample(t, host))
	golden(t, "inspect-sample.txt", masked(host, mustRelocate(t, "inspect", file).stdout))
	golden(t, "inspect-sample-tree.txt", masked(host, mustRelocate(t, "inspect", file, "--tree").stdout))
}

// TestInspectNames: the tree has every name of a manifest, once; the smallest is beside its kind and size.
func TestInspectNames(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	app := s.ref("a/app", s.image("a/app", "1", "app"))
	copied := s.ref("b/app", s.image("b/app", "1", "app"))
	pkg := s.bundle("a/pkg", "1", nil, app)
	s.bundle("b/pkg", "1", nil, app)
	s.bundle("top", "1", nil, s.ref("a/pkg", pkg), s.ref("b/pkg", pkg), copied)
	file := filepath.Join(t.TempDir(), "r.tar")
	mustRelocate(t, "-b", host+"/top:1", "-b", host+"/a/pkg:1", "--to-tar", file)
	_, tree, _ := strings.Cut(masked(host, mustRelocate(t, "inspect", file, "--tree").stdout), "\n\n")
	assert.Equal(t, `bundle, SIZE, HOST/top:1
├── bundle, SIZE, HOST/a/pkg:1
│   │   also HOST/a/pkg@sha256:2
│   │   also HOST/b/pkg@sha256:2
│   └── image, SIZE, HOST/a/app@sha256:3
│           also HOST/b/app@sha256:3
└── image, SIZE, HOST/a/app@sha256:3
bundle, SIZE, HOST/a/pkg:1 (as above)
`, tree)
}

var (
	digestText = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	sizeText   = regexp.MustCompile(`\d+(\.\d+)? k?B\b`)
)

// masked numbers digests in the order they come, and hides host and sizes.
func masked(host, s string) string {
	seen := map[string]string{}
	s = digestText.ReplaceAllStringFunc(withoutSeal(s), func(d string) string {
		if seen[d] == "" {
			seen[d] = fmt.Sprintf("sha256:%d", len(seen)+1)
		}
		return seen[d]
	})
	return sizeText.ReplaceAllString(strings.ReplaceAll(s, host, "HOST"), "SIZE")
}

// TestHelp: the help of every command and topic fits a terminal of 80 columns, is clean, and has the exit statuses.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, cmd := range append(newRoot().Commands(), newRoot()) {
		path := strings.Fields(cmd.CommandPath())[1:]
		t.Run(cmd.Name(), func(t *testing.T) {
			t.Parallel()
			r := mustRelocate(t, append([]string{"help"}, path...)...)
			assert.Empty(t, r.stderr)
			assert.NotRegexp(t, `(?m)[ \t]+$`, r.stdout, "blanks at the end of a line")
			assert.NotRegexp(t, `\n\n\n|\n\n$|^\n`, r.stdout, "empty lines")
			assert.NotContains(t, r.stdout, "\x1b")
			for _, l := range strings.Split(r.stdout, "\n") {
				assert.LessOrEqual(t, utf8.RuneCountInString(l), helpWidth, l)
			}
			if cmd.IsAdditionalHelpTopicCommand() {
				return
			}
			assert.Equal(t, r, mustRelocate(t, append(path, "--help")...))
			assertAll(t, r.stdout, "Usage:\n")
			if cmd.Name() != "version" && cmd.Name() != "completion" && cmd.Name() != "help" {
				assertAll(t, r.stdout, "Exit status:", "130 interrupted", "Examples:\n")
			}
		})
	}
}

// TestProgressOutput: progress is on stderr only, in the form that was asked for.
func TestProgressOutput(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	root := pushSample(t, host)
	for _, mode := range []string{"auto", "plain", "json", "none", "tty"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "r.tar")
			exported := mustRelocate(t, "-b", root, "--to-tar", file, "--progress", mode)
			imported := mustRelocate(t, "--from-tar", file, "--to-repo", host+"/"+mode, "--progress", mode)
			verified := mustRelocate(t, "verify", "--repo", host+"/"+mode, file, "--level", "deep", "--progress", mode)
			assert.Empty(t, exported.stdout)
			assert.True(t, strings.HasPrefix(imported.stdout, "---\napiVersion: packaging.carvel.dev/v1alpha1\n"), imported.stdout)
			assert.Regexp(t, "^(OK|NOT CLOSED): ", verified.stdout)
			if mode != "tty" {
				assert.NotContains(t, exported.stderr+imported.stderr+verified.stderr, "\x1b")
			}
			if mode != "json" {
				assertAll(t, exported.stderr, "exported ", "seal  sha256:")
				assertAll(t, imported.stderr, "imported ")
				return
			}
			assertEvents(t, exported.stderr, "export")
			assertEvents(t, imported.stderr, "import")
			assertEvents(t, verified.stderr, "")
		})
	}
}

// assertEvents wants a JSON document on each line: the last event of each phase says that all is done,
// and the last line of a copy is its report.
func assertEvents(t *testing.T, stderr, action string) {
	t.Helper()
	done := 0
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	for i, l := range lines {
		var event struct {
			Event, Phase      string
			Blobs, BlobsTotal int
			Bytes, BytesTotal int64
			Done              bool
			Report            copyReport
		}
		require.NoError(t, json.Unmarshal([]byte(l), &event), l)
		switch {
		case action != "" && i == len(lines)-1:
			assert.Equal(t, "summary", event.Event)
			assert.Equal(t, action, event.Report.Action)
			assert.Equal(t, 1, event.Report.Version)
		case event.Event == "note":
		case event.Done:
			done++
			if event.BlobsTotal > 0 {
				assert.Equal(t, event.BlobsTotal, event.Blobs, l)
				assert.Equal(t, event.BytesTotal, event.Bytes, l)
			}
			fallthrough
		default:
			assert.Equal(t, "progress", event.Event)
			assert.NotEmpty(t, event.Phase)
		}
	}
	assert.NotZero(t, done, "no event says that a phase is done:\n%s", stderr)
}

// TestForeignText: what a package says of itself cannot steer the terminal.
func TestForeignText(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	s := site{t: t, host: host}
	pkg := s.ref("evil/pkg", s.bundle("evil/pkg", "1", nil))
	root := host + "/evil/repository:1.0.0"
	s.bundle("evil/repository", "1.0.0", map[string]string{
		"packages/evil.corp.com/1.0.0.yml": packageText("evil.corp.com", "1.0.0", pkg) +
			"---\n" + packageText("evil.corp.com", `"2.0.0\e[2J"`, `"\e]0;title\a\n\u202enot an image"`),
		"packages/evil.corp.com/metadata.yml": `apiVersion: data.packaging.carvel.dev/v1alpha1
kind: PackageMetadata
metadata:
  name: evil.corp.com
spec:
  displayName: "\e[31mred\u009b31m\u202e\r\nroot@host# "
  shortDescription: "a\tb\u2028c\u0007"
`,
	}, pkg)
	file := filepath.Join(t.TempDir(), "r.tar")
	runs := map[string]result{
		"plan":    mustRelocate(t, "plan", "-b", root),
		"export":  mustRelocate(t, "-b", root, "--to-tar", file),
		"inspect": mustRelocate(t, "inspect", file),
		"tree":    mustRelocate(t, "inspect", file, "--tree"),
		"import":  mustRelocate(t, "--from-tar", file, "--to-repo", host+"/private"),
		"verify":  mustRelocate(t, "verify", file),
		"refused": tryRelocate(t, "--from-tar", "no\x1b[31m.tar", "--to-repo", host+"/private"),
	}
	for name, r := range runs {
		assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]", r.stdout+r.stderr, name)
	}
	assert.Contains(t, runs["inspect"].stdout, "red", "the name itself is shown")
	for _, l := range strings.Split(runs["inspect"].stdout, "\n") {
		assert.False(t, strings.HasPrefix(l, "root@host#"), "a name makes no line of its own")
	}
	text := mustRelocate(t, "inspect", file, "-o", "json").stdout
	assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f]", text, "JSON escapes")
}
