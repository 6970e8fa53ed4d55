package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostileFile is something under the name of an archive.
type hostileFile struct {
	name   string
	why    string
	place  func(t *testing.T, path string, good []byte) error
	status int // 0 means that it is taken
	says   string
}

// hostileFiles are what is no archive, and what only looks like none.
var hostileFiles = []hostileFile{
	{"empty", "i18", contentOf(""), statusDamage, "it is empty"},
	{"one byte", "i18", contentOf("o"), statusDamage, "is not an archive"},
	{"text", "i18", contentOf("kind: PackageRepository\n"), statusDamage, "it is text"},
	{"zeros", "i18", contentOf(strings.Repeat("\x00", 10240)), statusDamage, "is not an archive"},
	{"folder", "r28", func(_ *testing.T, path string, _ []byte) error { return os.Mkdir(path, 0o700) }, statusDamage, "it is a folder"},
	{"link to nothing", "r28", linkTo("/no/such/file"), statusUsage, "no such file"},
	{"link to itself", "i6", linkTo("archive.tar"), statusUsage, "too many levels"},
	{"link to an archive", "the operator's, who may: taken", func(_ *testing.T, path string, good []byte) error {
		if err := os.WriteFile(path+".real", good, 0o600); err != nil {
			return err
		}
		return os.Symlink(path+".real", path)
	}, 0, "3 versions"},
	{"hole of a petabyte", "r11", func(_ *testing.T, path string, _ []byte) error {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		return os.Truncate(path, 1<<40) // as much as file systems take
	}, statusDamage, "is not an archive"},
	{"archive with a hole behind it", "r11", func(_ *testing.T, path string, good []byte) error {
		if err := os.WriteFile(path, good, 0o600); err != nil {
			return err
		}
		return os.Truncate(path, 1<<40)
	}, statusDamage, "follow its end"},
	{"docker save", "i18", tarred("manifest.json", `[{"Config":"c.json","RepoTags":null,"Layers":[]}]`, "repositories", "{}"), statusDamage, "it is a tar of docker save"},
	{"tar that lists nothing", "i18", tarred("manifest.json", "[]", "repositories", "{}"), statusDamage, "lists no image"},
	{"OCI layout of skopeo", "i18", tarred("oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", "{}"), statusDamage, "another program"},
	{"any tar", "i18", tarred("etc/passwd", "root"), statusDamage, `it is a tar that begins with "etc/passwd"`},
	{"imgpkg's tar", "i18", func(_ *testing.T, path string, _ []byte) error {
		b, err := os.ReadFile(interop + "tar/repository.tar")
		if err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	}, 0, "3 versions"},
	{"unfinished export", "r12", func(_ *testing.T, path string, good []byte) error {
		return os.WriteFile(path, append(bytes.Clone(good[:len(good)-2048]), make([]byte, 2048)...), 0o600)
	}, statusDamage, "the end of the file is not as it must be"},
}

func contentOf(s string) func(*testing.T, string, []byte) error {
	return func(_ *testing.T, path string, _ []byte) error { return os.WriteFile(path, []byte(s), 0o600) }
}

func linkTo(target string) func(*testing.T, string, []byte) error {
	return func(_ *testing.T, path string, _ []byte) error { return os.Symlink(target, path) }
}

func tarred(files ...string) func(*testing.T, string, []byte) error {
	return func(t *testing.T, path string, _ []byte) error { return os.WriteFile(path, tarOf(t, files...), 0o600) }
}

// TestHostileFiles: a file that is no archive is told what it is, at once, and nothing is sent.
func TestHostileFiles(t *testing.T) {
	skipShort(t)
	t.Parallel()
	good, _ := hostileSample(t)
	for _, h := range hostileFiles {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "archive.tar")
			require.NoError(t, h.place(t, path, good))
			dst := startNoting(t)
			for _, args := range [][]string{{"verify", path}, {"inspect", path}, {"--from-tar", path, "--to-repo", dst.host + "/private/repository"}} {
				r := relocateBounded(t, args...)
				assert.Equal(t, h.status, r.status, "%v: %s%s", args, r.stdout, r.stderr)
				if h.status != 0 {
					assertAll(t, r.stdout+r.stderr, h.says)
					assert.Empty(t, dst.requests())
				}
			}
		})
	}
}

// TestHostileExchange: the archive is exchanged for another, or changed in place, while an import sends
// its layers. What was checked before is then no proof of what is read (r28).
func TestHostileExchange(t *testing.T) {
	t.Parallel()
	good, _ := hostileSample(t)
	evil := bytes.Clone(good)
	evil[len(evil)-2048-1] ^= 1 // in the padding or the content of the last layer
	for name, c := range map[string]struct {
		change func(path string) error
		status int
	}{
		"changed in place": {func(path string) error { return os.WriteFile(path, append(evil, 0), 0o600) }, statusDamage},
		"cut off":          {func(path string) error { return os.Truncate(path, int64(len(good)/2)) }, statusDamage},
		"emptied":          {func(path string) error { return os.Truncate(path, 0) }, statusDamage},
		"renamed over: the file that was opened is read on": {func(path string) error {
			if err := os.WriteFile(path+".new", evil, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, 0},
		"removed: the file that was opened is read on": {os.Remove, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "archive.tar")
			require.NoError(t, os.WriteFile(path, good, 0o600))
			var once sync.Once
			host := startMemory(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						once.Do(func() { assert.NoError(t, c.change(path)) })
					}
					next.ServeHTTP(w, r)
				})
			})
			r := relocateBounded(t, "--from-tar", path, "--to-repo", host+"/private/repository")
			assert.Equal(t, c.status, r.status, r.stderr)
			if c.status != 0 {
				assert.Empty(t, r.stdout, "no PackageRepository of an archive that was changed")
			}
		})
	}
}

// TestDamageAndMore: damage does not hide what else is wrong, and what it explains is not told twice.
func TestDamageAndMore(t *testing.T) {
	t.Parallel()
	good, host := hostileSample(t)
	for name, c := range map[string]struct {
		make func(f *forge) *crafted
		want int
		says []string
	}{
		"a bad layer, and an inventory that says too much": {func(f *forge) *crafted {
			a := rotten(lastBlob, flip(0))(f)
			a.Manifests[1].References = append(a.Manifests[1].References, "z")
			return a
		}, 2, []string{"has the digest", "the inventory's manifests[1]"}},
		"a bad manifest, which the walk cannot read": {rotten(func(*crafted) int { return 0 }, flip(5)), 1, []string{"has the digest"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "archive.tar")
			require.NoError(t, os.WriteFile(path, c.make(&forge{t, good, host}).bytes(t), 0o600))
			r := relocateBounded(t, "verify", path)
			assert.Equal(t, statusDamage, r.status)
			assertAll(t, r.stdout, append(c.says, fmt.Sprintf("%d problem", c.want))...)
			assert.Equal(t, c.want, strings.Count(r.stdout, "\n  damaged: "), r.stdout)
		})
	}
}
