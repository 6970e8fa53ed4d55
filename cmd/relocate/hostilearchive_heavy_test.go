package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
)

// hostileMemory is what the program may have in memory at most, whatever the archive says.
const hostileMemory = 256 << 20

// heavyArchives are made to exhaust the memory of their reader.
var heavyArchives = []hostile{
	{name: "a line of 60 MiB", why: "r11, i24", make: func(f *forge) *crafted {
		return spelled(`"references":[`, `"references":[`+strings.Repeat(`"",`, 20<<20))(f)
	},
		status: statusDamage, says: "has a line of more than"},
	{name: "lines of many references", why: "r11, i24", make: func(f *forge) *crafted {
		return spelled(`"references":[`, `"references":["`+strings.Repeat(`","`, 1_390_000))(f)
	},
		status: statusDamage, says: "references"},
	{name: "many pins", why: "r11, i25", make: said(func(a *crafted) {
		for i := range 250_000 {
			a.Pins = append(a.Pins, bundle.Pin{Reference: fmt.Sprintf("z.example/z:%d", i), Digest: a.Roots[0].Digest})
		}
	}), status: statusDamage, says: "pins"},
	{name: "many roots", why: "r11, i25", make: said(func(a *crafted) {
		for i := range 250_000 {
			a.Roots = append(a.Roots, bundle.Pin{Reference: fmt.Sprintf("z.example/z%d@%s", i, a.Roots[0].Digest), Digest: a.Roots[0].Digest})
		}
	}), status: statusDamage, says: "roots"},
	{name: "110,000 entries of locks for one image", why: "r9, r11", make: func(f *forge) *crafted {
		c := f.content()
		image := c.image("layer")
		var all []v1.Descriptor
		for i := range 5 {
			var lock strings.Builder
			lock.WriteString(c.lock(image))
			for j := range 22_000 {
				fmt.Fprintf(&lock, "- {image: r.example/%d-%d@%s}\n", i, j, image.Digest)
			}
			all = append(all, c.layered(zip(f.t, tarOf(f.t, lockName, lock.String())), image))
		}
		return c.archive(c.bundleOf(all))
	}, status: statusFailed, says: "the graph has more than"},
	{name: "140,000 children of indexes", why: "r9, r11", make: func(f *forge) *crafted {
		c := f.content()
		var all []v1.Descriptor
		for i := range 3 {
			var list strings.Builder
			for j := range 48_000 {
				fmt.Fprintf(&list, `,{"digest":"sha256:%064x"}`, i*1_000_000+j)
			}
			text := `{"schemaVersion":2,"manifests":[` + list.String()[1:] + `]}`
			all = append(all, c.manifest(bundle.Index, types.OCIImageIndex, []byte(text), nil))
		}
		return c.archive(c.bundleOf(all))
	}, status: statusFailed, says: "the graph has more than"},
	{name: "400,000 layers of images", why: "r9, r11", make: func(f *forge) *crafted {
		c := f.content()
		var all []v1.Descriptor
		for i := range 9 {
			var list strings.Builder
			for j := range 45_000 {
				fmt.Fprintf(&list, `,{"digest":"sha256:%064x"}`, i*1_000_000+j)
			}
			config := c.blob(types.OCIConfigJSON, []byte(`{}`))
			all = append(all, c.manifest(bundle.Plain, types.OCIManifestSchema1, []byte(imageJSON(string(encode(f.t, config)), list.String()[1:])), []v1.Descriptor{config}))
		}
		return c.archive(c.bundleOf(all))
	}, status: statusFailed, says: "the graph has more than"},
	{name: "names of packages of 2 MiB", why: "r11, i24", make: func(f *forge) *crafted {
		c := f.content()
		long := strings.Repeat("x", 2<<20)
		var all []v1.Descriptor
		for i := range 1 {
			var files []string
			for j := range 52 { // 104 MiB
				files = append(files, fmt.Sprintf("packages/%d-%d.yml", i, j),
					"apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: x}\nspec: {displayName: "+long+"}\n")
			}
			all = append(all, c.bundleOf(nil, files...))
		}
		return c.archive(c.bundleOf(all))
	}, status: statusFailed, says: "the graph has more than"},
	{name: "YAML of many items in many bundles", why: "r8, r11, i27", make: func(f *forge) *crafted {
		c := f.content()
		var all []v1.Descriptor
		for i := range 4 {
			all = append(all, c.bundleOf(nil, "n", fmt.Sprint(i), "packages/a.yml", "x: ["+strings.Repeat("1,", 249_000)+"1]\n", "packages/b.yml", strings.Repeat("-\n", 160_000)))
		}
		return c.archive(c.bundleOf(all))
	}, says: "5 bundles"},
	{name: "YAML of more items than there may be", why: "r8, r11, i27", make: func(f *forge) *crafted {
		return lockWith("images:", "x: ["+strings.Repeat("1,", 2_000_000)+"1]\nimages:")(f)
	}, status: statusFailed, says: "keys, values and items"},
	{name: "labels of many configs", why: "r8, r11", make: func(f *forge) *crafted {
		c := f.content()
		var labels strings.Builder
		for i := range 290_000 {
			fmt.Fprintf(&labels, `,"%x":0`, i)
		}
		var all []v1.Descriptor
		for i := range 9 {
			all = append(all, c.imageOf(c.blob(types.OCIConfigJSON, fmt.Appendf(nil, `{"config":{"Labels":{"n":%d%s}}}`, i, labels.String()))))
		}
		return c.archive(c.bundleOf(all))
	}, says: "9 images"},
	{name: "200,000 blobs of 1 KiB", why: "figures: load", make: manySmall(200, 1000), says: "200 images"},
	{name: "200,000 blobs, all of them bad", why: "r11, i25", make: func(f *forge) *crafted {
		a := manySmall(200, 1000)(f)
		for i := len(a.blobs) - 200_000; i < len(a.blobs); i++ {
			a.blobs[i].content = append([]byte("bad"), a.blobs[i].content[3:]...)
		}
		return a
	}, status: statusDamage, says: "digest", late: true},
}

// manySmall makes images of so many layers of 1 KiB each.
func manySmall(images, layers int) func(f *forge) *crafted {
	return func(f *forge) *crafted {
		c := f.content()
		var all []v1.Descriptor
		for i := range images {
			var list []v1.Descriptor
			for j := range layers {
				content := make([]byte, 1024)
				copy(content, fmt.Sprintf("%d %d", i, j))
				list = append(list, c.blob(types.OCILayer, content))
			}
			all = append(all, c.imageOf(c.blob(types.OCIConfigJSON, fmt.Appendf(nil, `{"n":%d}`, i)), list...))
		}
		return c.archive(c.bundleOf(all))
	}
}

// TestHostileMemory runs the program with each archive in a process of its own, whose peak of memory the
// system tells. One at a time: they are large here, too.
func TestHostileMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/self/status")
	}
	if testing.Short() {
		t.Skip("makes archives of 300 MB")
	}
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	t.Parallel()
	good, host := hostileSample(t)
	for _, h := range heavyArchives {
		t.Run(h.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "archive.tar")
			require.NoError(t, os.WriteFile(path, h.make(&forge{t, good, host}).bytes(t), 0o600))
			debug.FreeOSMemory()
			commands := [][]string{{"verify", path}}
			if h.status != 0 && !h.late {
				commands = append(commands, []string{"--from-tar", path, "--to-repo", "127.0.0.1:1/nowhere"})
			}
			for _, args := range commands {
				r := relocateChild(t, args...)
				t.Logf("%s: status %d, %d MiB", args[0], r.status, r.peak>>20)
				assert.Less(t, r.peak, int64(hostileMemory), "%v", args)
				want := h.status
				if args[0] == "verify" && h.status != 0 {
					want = statusDamage
				}
				assert.Equal(t, want, r.status, "%v: %.3000s%.3000s", args, r.stdout, r.stderr)
				if want != 0 {
					assertAll(t, r.stdout+r.stderr, h.says)
				}
			}
		})
	}
}

// childResult is what a process left.
type childResult struct {
	result
	peak int64 // bytes in memory
}

// relocateChild runs the program in another process: this test program, as TestHostileChild.
func relocateChild(t *testing.T, args ...string) childResult {
	t.Helper()
	out := filepath.Join(t.TempDir(), "result")
	text, err := json.Marshal(args)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostileChild$")
	cmd.Env = append(os.Environ(), "RELOCATE_CHILD_ARGS="+string(text), "RELOCATE_CHILD_OUT="+out)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	require.NoError(t, cmd.Run(), console.String())
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	var r struct {
		Status         int
		Stdout, Stderr string
		Peak           int64
	}
	require.NoError(t, json.Unmarshal(b, &r))
	return childResult{result{r.Status, r.Stdout, r.Stderr}, r.Peak}
}

// TestHostileChild is the program in the process that relocateChild starts.
func TestHostileChild(t *testing.T) {
	text := os.Getenv("RELOCATE_CHILD_ARGS")
	if text == "" {
		t.Skip("runs in a process of its own")
	}
	var args []string
	require.NoError(t, json.Unmarshal([]byte(text), &args))
	debug.SetMemoryLimit(softLimit) // as main does
	growth.Set()
	r := tryRelocate(t, args...)
	b, err := json.Marshal(map[string]any{"Status": r.status, "Stdout": r.stdout, "Stderr": r.stderr, "Peak": peakMemory(t)})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(os.Getenv("RELOCATE_CHILD_OUT"), b, 0o600))
}

// peakMemory is the most that this process had in memory.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(status), "VmHWM:")
	require.True(t, found)
	var kib int64
	_, err = fmt.Sscan(after, &kib)
	require.NoError(t, err)
	return kib << 10
}
