package ytt_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
	"relocate/render/ytt"
)

func TestMain(m *testing.M) {
	ytt.Hook()
	os.Exit(m.Run())
}

// program is this test binary, of which one child is used again.
func program(t testing.TB) *child.Pool {
	path, err := os.Executable()
	require.NoError(t, err)
	by := ytt.Children(child.Program{Path: path}, 1)
	t.Cleanup(by.Close)
	return by
}

func run(t *testing.T, in ytt.Input) *ytt.Output {
	t.Helper()
	out, err := ytt.Run(t.Context(), program(t), in)
	require.NoError(t, err)
	return out
}

// strs returns strings as "document pointer value file:line".
func strs(out *ytt.Output) (list []string) {
	for _, s := range out.Strings {
		list = append(list, fmt.Sprintf("%d %s %s %s:%d", s.Document, s.Path, s.Value, s.Place.File, s.Place.Line))
	}
	return list
}

// TestPlaces holds where ytt says that strings and documents come from.
func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		starts, strings []string
	}{
		"values-order": {[]string{"config/deployment.yml:1"}, []string{
			"0 /image second/image config/deployment.yml:2", "0 /tag schema config/deployment.yml:3",
			"0 /list/0 first config/deployment.yml:4", "0 /list/1 one config/deployment.yml:4", "0 /nested/b values2 config/deployment.yml:5",
		}},
		"overlay": {[]string{"base/a.yml:1", "base/a.yml:6", "overlays/b.yml:1"}, []string{
			"0 /kind Deployment base/a.yml:1", "0 /metadata/name a base/a.yml:3",
			"0 /spec/image inside.example.com/a:1 overlays/a.yml:5", "0 /spec/pull Always overlays/a.yml:7",
			"1 /kind Service base/a.yml:7", "1 /metadata/name a base/a.yml:9",
			"2 /kind ConfigMap overlays/b.yml:1", "2 /data/image b/c overlays/b.yml:3",
		}},
		"same-names": {[]string{"one/config.yml:1", "two/config.yml:1", "three/config.yml:1"}, []string{
			"0 /image one/image one/config.yml:1", "1 /kind Two two/config.yml:1",
			"1 /image two/image two/config.yml:2", "2 /image three/image three/config.yml:1",
		}},
		"file-marks":      {[]string{"config/a.yml:1", "config/notes.txt:1", "alone/plain.yml:1"}, []string{"0 /a x/y config/a.yml:2"}},
		"private-library": {[]string{"config/_ytt_lib/app/app.yml:1"}, []string{"0 /image given/image config/_ytt_lib/app/app.yml:2"}},
		"stdin": {[]string{"stdin.yml:1", "stdin.yml:3"}, []string{
			"0 /kind A stdin.yml:1", "0 /image x overlay.yml:5", "1 /kind B stdin.yml:5", "1 /image x overlay.yml:5",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, readCase(t, "testdata/"+name+".txtar").input(t))
			var starts []string
			for _, p := range out.Starts {
				starts = append(starts, fmt.Sprintf("%s:%d", p.File, p.Line))
			}
			assert.Equal(t, c.starts, starts)
			assert.Equal(t, c.strings, strs(out))
		})
	}
}

// TestStrings holds which strings are kept, and their pointers.
func TestStrings(t *testing.T) {
	long := strings.Repeat("x", 5000)
	out := run(t, ytt.Input{Files: []ytt.File{{Path: "a.yml", Data: []byte(strings.Join([]string{
		"a/b~c: d", "1: one", "y: [[e, {f: g}]]", "empty: ''", "number: 1", "long: " + long, "longer: " + long + "/" + long, "lines: |", "  - image: h", "",
	}, "\n"))}}})
	var got []string
	for _, s := range out.Strings {
		got = append(got, fmt.Sprintf("%s %.20s", s.Path, s.Value))
	}
	assert.Equal(t, []string{
		"/a~1b~0c d", "/1 one", "/true/0/0 e", "/true/0/1/f g", "/longer " + long[:20], "/lines - image: h\n",
	}, got)
}

// TestUses holds what ytt makes of each file.
func TestUses(t *testing.T) {
	none, runs, prints, reads := ytt.FileUse{}, ytt.FileUse{Template: true, Read: true}, ytt.FileUse{Template: true, Output: true, Read: true}, ytt.FileUse{Read: true}
	for name, want := range map[string]map[string]ytt.FileUse{
		"libraries": {
			"config/a.yml": prints, "config/data.json": reads, "config/fn.star": reads, "config/part.lib.yml": reads, "config/notes.txt": runs,
		},
		"file-marks": {
			"config/a.yml": prints, "config/notes.txt": prints, "config/skipped/b/c.yml": none, "alone/plain.yml": {Output: true, Read: true},
		},
		"file-marks-exclusive": {"config/a.yml": runs, "config/b.yml": prints, "config/c.json": none},
		"private-library": {
			"config/a.yml": prints, "config/_ytt_lib/app/app.yml": runs, "config/_ytt_lib/app/values.yml": runs, "config/_ytt_lib/unused/a.yml": {Template: true},
		},
		"values-order": {"config/deployment.yml": prints, "config/schema.yml": runs, "config/values.yml": runs, "config/values2.yml": runs},
		"overlay":      {"base/a.yml": prints, "overlays/a.yml": prints, "overlays/b.yml": prints},
	} {
		t.Run(name, func(t *testing.T) {
			in := readCase(t, "testdata/"+name+".txtar").input(t)
			got := map[string]ytt.FileUse{}
			for i, use := range run(t, in).Uses {
				got[in.Files[i].Origin] = use
			}
			assert.Equal(t, want, got)
		})
	}
}

func TestConcurrent(t *testing.T) {
	by := program(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			out, err := ytt.Run(t.Context(), by, ytt.Input{Files: []ytt.File{{Path: "a.yml", Data: fmt.Appendf(nil, "a: #@ %d + 1\n", i)}}})
			if assert.NoError(t, err) {
				assert.Equal(t, fmt.Sprintf("a: %d\n", i+1), string(out.Text))
			}
		})
	}
	all.Wait()
}

// TestEmpty holds that ytt prints nothing of nothing.
func TestEmpty(t *testing.T) {
	assert.Equal(t, &ytt.Output{Text: []byte{}}, run(t, ytt.Input{}))
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ytt.Run(ctx, program(t), ytt.Input{})
	require.ErrorIs(t, err, context.Canceled)
}
