package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/diff"
	"relocate/inventory"
	"relocate/report"
	"relocate/tarball"
)

// pushUpgrade pushes two releases of a package repository and returns their references. Between them
//
//	shop   drops 0.9.0, changes what 1.0.0 fetches, keeps 1.1.0 and adds 1.2.0, whose Package has other values
//	blog   adds 2.1.0, whose files declare other values; its Packages have no schema
//	gone   is removed, fresh is new, and still stays as it is
func pushUpgrade(t *testing.T, host string) (old, upgrade string) {
	t.Helper()
	s := site{t: t, host: host}
	bundle := func(name string, files map[string]string) string {
		image := s.ref("corp/images", s.image("corp/images", "", "base", name))
		return s.ref("corp/packages", s.bundle("corp/packages", "", files, image))
	}
	pkg := func(name, version, fetch, schema string) string {
		text := packageText(name+".corp.com", version, fetch)
		if schema == "" {
			return text
		}
		return strings.Replace(text, "spec:\n", "spec:\n  valuesSchema: {openAPIv3: {properties: "+schema+"}}\n", 1)
	}
	meta := func(title string) string {
		return "apiVersion: data.packaging.carvel.dev/v1alpha1\nkind: PackageMetadata\nmetadata: {name: shop.corp.com}\nspec: {displayName: " + title + "}\n"
	}
	blog := func(values string) map[string]string {
		return map[string]string{"config/values.yml": "#@data/values-schema\n---\n" + values}
	}
	const before = "{host: {type: string, default: shop.corp.com}, port: {type: integer, default: 80}, old: {type: boolean, default: true}}"
	const after = "{host: {type: string, default: shop.corp.com}, port: {type: integer, default: 8080}, tls: {properties: {enabled: {type: boolean, default: false}}}}"
	shop11, still, fresh := bundle("shop 1.1", nil), bundle("still", nil), bundle("fresh", nil)
	blog20 := bundle("blog 2.0", blog("title: Blog\nlimit: 5\n"))
	repository := func(tag string, locked []string, files ...string) string {
		all := map[string]string{}
		for i, text := range files {
			all[fmt.Sprintf("packages/%d.yml", i)] = text
		}
		s.bundle("corp/repository", tag, all, locked...)
		return host + "/corp/repository:" + tag
	}
	shop09, shop10, gone := bundle("shop 0.9", nil), bundle("shop 1.0", nil), bundle("gone", nil)
	old = repository("1.0.0", []string{shop09, shop10, shop11, blog20, still, gone}, meta("Shop"),
		pkg("shop", "0.9.0", shop09, ""), pkg("shop", "1.0.0", shop10, before), pkg("shop", "1.1.0", shop11, before),
		pkg("blog", "2.0.0", blog20, ""), pkg("still", "1.0.0", still, ""), pkg("gone", "1.0.0", gone, ""))
	shop10, shop12, blog21 := bundle("shop 1.0 again", nil), bundle("shop 1.2", nil), bundle("blog 2.1", blog("title: Blog\nlimit: 10\nauthor: ''\n"))
	upgrade = repository("1.1.0", []string{shop10, shop11, shop12, blog20, blog21, still, fresh}, meta("The Shop"),
		pkg("shop", "1.0.0", shop10, before), pkg("shop", "1.1.0", shop11, before), pkg("shop", "1.2.0", shop12, after),
		pkg("blog", "2.0.0", blog20, ""), pkg("blog", "2.1.0", blog21, ""), pkg("still", "1.0.0", still, ""), pkg("fresh", "1.0.0", fresh, ""))
	return old, upgrade
}

// readDiff runs diff, which must find differences, and returns its report.
func readDiff(t *testing.T, args ...string) (r diff.Report) {
	t.Helper()
	got := tryRelocate(t, append([]string{"diff", "-o", "json"}, args...)...)
	require.Equal(t, statusDifferent, got.status, got.stderr)
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	return r
}

// TestDiff: two releases, as archives and in registries, in both directions.
func TestDiff(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	old, upgrade := pushUpgrade(t, host)
	before, after := export(t, old), export(t, upgrade)
	mustRelocate(t, "--from-tar", before, "--to-repo", host+"/private")

	text := tryRelocate(t, "diff", before, after)
	assert.Equal(t, statusDifferent, text.status)
	assert.Empty(t, text.stderr)
	golden(t, "diff.txt", masked(host, strings.NewReplacer(before, "old.tar", after, "new.tar").Replace(text.stdout)))

	want := readDiff(t, before, after)
	for _, a := range []string{before, old, host + "/private:1.0.0"} {
		for _, b := range []string{after, upgrade} {
			got := readDiff(t, a, b)
			assert.Equal(t, want.Packages, got.Packages, "%s %s", a, b)
			assert.Equal(t, want.Blobs, got.Blobs)
			assert.Equal(t, want.Carry, got.Carry)
		}
	}
	dir := t.TempDir()
	asPage, asJSON := filepath.Join(dir, "diff.html"), filepath.Join(dir, "diff.json")
	assert.Equal(t, text, tryRelocate(t, "diff", before, after, "--report", asPage))
	tryRelocate(t, "diff", before, after, "--report", asJSON)
	html, err := os.ReadFile(asPage)
	require.NoError(t, err)
	assertAll(t, string(html), "DIFFERENT", "shop.corp.com from 1.1.0 to 1.2.0", "relocate diff --report "+asPage)
	written, err := os.ReadFile(asJSON)
	require.NoError(t, err)
	assert.Equal(t, tryRelocate(t, "diff", before, after, "-o", "json").stdout, string(written))

	back := readDiff(t, after, before)
	assert.Equal(t, len(want.Images.Added), len(back.Images.Removed))
	assert.Equal(t, want.Blobs.Added, back.Blobs.Removed)
	assert.Equal(t, want.Blobs.Same, back.Blobs.Same)
}

// TestDiffRequests: a registry is asked for what plan asks for, and for nothing twice.
func TestDiffRequests(t *testing.T) {
	skipShort(t)
	t.Parallel()
	src := startReal(t)
	old, upgrade := pushUpgrade(t, src.Addr)
	before := export(t, old)
	src.ResetRequests()
	mustRelocate(t, "plan", "-b", upgrade, "--concurrency", "1") // with more, which image is asked for referrers first depends on time
	want := src.Requests()
	src.ResetRequests()
	assert.Len(t, readDiff(t, before, upgrade, "--concurrency", "1").Packages, 4)
	assert.ElementsMatch(t, want, src.Requests())
	assertOnce(t, src.Requests())
}

// TestDiffEqual: content is compared, not where it is.
func TestDiffEqual(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	old, _ := pushUpgrade(t, host)
	file := export(t, old)
	mustRelocate(t, "--from-tar", file, "--to-repo", host+"/private", "--tag", "another")
	imgpkg := filepath.Join(t.TempDir(), "imgpkg.tar")
	mustRelocate(t, "-b", old, "--to-tar", imgpkg, "--tar-format", "imgpkg")
	for _, b := range []string{file, old, host + "/private:another", imgpkg} {
		assert.Contains(t, mustRelocate(t, "diff", file, b).stdout, "\nno differences\n", b)
	}
	asJSON, asYAML := formats(t, []string{"diff", file, old})
	assert.Equal(t, asJSON, asYAML)
	assert.Equal(t, true, asJSON["equal"])
}

// TestDiffInventory: of an inventory there are digests alone.
func TestDiffInventory(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	old, upgrade := pushUpgrade(t, host)
	before, after := export(t, old), export(t, upgrade)
	list := inventoryOf(t, before)
	assert.Contains(t, mustRelocate(t, "diff", list, before).stdout, "no differences\n")
	want, got := readDiff(t, before, after), readDiff(t, list, after)
	assert.True(t, got.DigestsOnly)
	assert.Empty(t, got.Packages)
	assert.Equal(t, want.Blobs, got.Blobs)
	assert.Equal(t, want.Carry, got.Carry)
	assert.Equal(t, want.Images.Added, got.Images.Added)

	mustRelocate(t, "--from-tar", before, "--to-repo", host+"/private")
	private := filepath.Join(t.TempDir(), "private.txt")
	require.NoError(t, os.WriteFile(private, []byte(mustRelocate(t, "inventory", "--repo", host+"/private").stdout), 0o600))
	imported := readDiff(t, private, after)
	assert.Equal(t, want.Blobs.Added, imported.Blobs.Added)
	assert.Equal(t, want.Carry, imported.Carry)
	assert.Equal(t, want.Blobs.Same, imported.Blobs.Same)
	assert.Greater(t, imported.Blobs.Removed.Blobs, want.Blobs.Removed.Blobs, "the locations images that the import made")

	text := tryRelocate(t, "diff", list, after).stdout
	assertAll(t, text, "packages not compared: an inventory has digests and sizes only\n", list+" (inventory): ")
	assert.NotContains(t, text, "PACKAGE")
}

// inventoryOf writes the inventory of an archive to a file.
func inventoryOf(t *testing.T, file string) string {
	t.Helper()
	a, err := tarball.Open(file)
	require.NoError(t, err)
	defer a.Close()
	plan, err := a.Plan(t.Context(), 1, nil)
	require.NoError(t, err)
	list, err := inventory.Of(plan)
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "inventory.txt")
	f, err := os.Create(out)
	require.NoError(t, err)
	require.NoError(t, list.Write(f))
	require.NoError(t, f.Close())
	return out
}

// TestDiffCrossing: a crossing is what its roots are.
func TestDiffCrossing(t *testing.T) {
	skipShort(t)
	t.Parallel()
	host := startMemory(t, nil)
	old, upgrade := pushUpgrade(t, host)
	before, after := export(t, old), export(t, upgrade)
	config := writeConfig(t, "roots:\n- bundle: %s\n", upgrade)
	assert.Contains(t, mustRelocate(t, "diff", config, after).stdout, "\nno differences\n")
	want, got := readDiff(t, before, after), readDiff(t, before, config)
	assert.Equal(t, want.Packages, got.Packages)
	assert.Equal(t, want.Images, got.Images)

	both := export(t, old, upgrade)
	config = writeConfig(t, "roots:\n- bundle: %s\n- bundle: %s\n", old, upgrade)
	assert.Contains(t, mustRelocate(t, "diff", both, config).stdout, "\nno differences\n")
}

// TestDiffWrong: what cannot be compared is no difference.
func TestDiffWrong(t *testing.T) {
	t.Parallel()
	host := startMemory(t, nil)
	old, _ := pushUpgrade(t, host)
	file := export(t, old)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		status int
		args   []string
		parts  []string
	}{
		"one":        {statusUsage, []string{file}, []string{"name two things to compare; got 1"}},
		"three":      {statusUsage, []string{file, file, file}, []string{"got 3"}},
		"neither":    {statusUsage, []string{file, "nothing"}, []string{"nothing is neither a file nor a reference"}},
		"absent":     {statusUsage, []string{file, "absent.tar"}, []string{"absent.tar"}},
		"gone":       {statusMissing, []string{file, host + "/corp/repository:9"}, []string{host + "/corp/repository:9"}},
		"text":       {statusDamage, []string{file, write("a.txt", "hello\n")}, []string{"a.txt is not an archive of relocate: it is text"}},
		"cut":        {statusDamage, []string{file, write("cut.tar", string(whole[:len(whole)/2]))}, []string{"cut.tar is cut off"}},
		"inventory":  {statusDamage, []string{write("list.txt", "relocate inventory 1\nroot sha256:1\n"), file}, []string{"list.txt", "line 2"}},
		"crossing":   {statusUsage, []string{file, write("c.yml", configHead+"rots: []\n")}, []string{"c.yml:3", "rots"}},
		"no-roots":   {statusUsage, []string{file, write("c.yml", configHead+"strict: true\n")}, []string{"c.yml", "no roots"}},
		"report":     {statusUsage, []string{file, file, "--report", t.TempDir()}, []string{"--report", "not a regular file"}},
		"attachment": {statusUsage, []string{file, file, "--attachments", "require"}, []string{"--attachments require: must be auto or none"}},
	} {
		t.Run(name, func(t *testing.T) {
			assertFailed(t, tryRelocate(t, append([]string{"diff"}, c.args...)...), c.status, c.parts...)
		})
	}
}

// TestPlanReport: a plan as a page, as JSON in a file, and with its tree.
func TestPlanReport(t *testing.T) {
	skipShort(t)
	t.Parallel()
	host := startMemory(t, nil)
	root := pushSample(t, host)
	dir := t.TempDir()
	asPage, asJSON := filepath.Join(dir, "plan.html"), filepath.Join(dir, "plan.json")
	plain := mustRelocate(t, "plan", "-b", root).stdout
	assert.Equal(t, plain, mustRelocate(t, "plan", "-b", root, "--report", asPage).stdout)
	html, err := os.ReadFile(asPage)
	require.NoError(t, err)
	assertAll(t, string(html), "Plan report", "An export would copy 3 versions of 2 packages", "guestbook.corp.com", "linux/arm64", "relocate plan --bundle", root)

	mustRelocate(t, "plan", "-b", root, "--package", "guestbook.corp.com", "--latest", "1", "--report", asPage)
	html, err = os.ReadFile(asPage)
	require.NoError(t, err)
	assertAll(t, string(html), "An export would copy 1 version of 1 package", "simple-app.corp.com", "derived from sha256:")

	printed := mustRelocate(t, "plan", "-b", root, "-o", "json", "--report", asJSON).stdout
	written, err := os.ReadFile(asJSON)
	require.NoError(t, err)
	assert.Equal(t, printed, string(written))

	tree := mustRelocate(t, "plan", "-b", root, "--tree").stdout
	inspected := mustRelocate(t, "inspect", export(t, root), "--tree").stdout
	drawn := inspected[strings.Index(inspected, "\n\n"):]
	assert.Equal(t, plain+drawn[1:], tree)
	asked, _ := formats(t, []string{"plan", "-b", root, "--tree"})
	assert.Len(t, asked["images"], 11)
	assertFailed(t, tryRelocate(t, "plan", "-b", root, "--report", dir), statusUsage, "--report", "not a regular file")
}

// TestPlanBase: before a download, a plan says what is new, as diff does when it is there.
func TestPlanBase(t *testing.T) {
	skipShort(t)
	t.Parallel()
	host := startMemory(t, nil)
	old, upgrade := pushUpgrade(t, host)
	before := export(t, old)
	after := export(t, upgrade)
	plan := []string{"plan", "-b", upgrade, "--base", before}
	text := mustRelocate(t, plan...).stdout
	assertAll(t, text, "packages   7 versions of 4 packages", "values of shop.corp.com from 1.1.0 to 1.2.0", tryRelocate(t, "diff", before, upgrade).stdout)

	var planned planReport
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, append(plan, "-o", "json")...).stdout), &planned))
	want := readDiff(t, before, upgrade)
	assert.Equal(t, want, *planned.Changes)
	assert.Equal(t, planned.Contents.Bytes, want.Carry.Bytes, "a delta carries that much")
	assert.Less(t, want.Carry.Bytes, want.B.Blobs.Bytes)

	page := filepath.Join(t.TempDir(), "plan.html")
	mustRelocate(t, append(plan, "--report", page)...)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	assertAll(t, string(html), "What changes", "shop.corp.com from 1.1.0 to 1.2.0", "Where bytes go")

	delta := filepath.Join(t.TempDir(), "delta.tar")
	mustRelocate(t, "-b", upgrade, "--to-tar", delta, "--base", before)
	assert.Contains(t, mustRelocate(t, "diff", after, delta).stdout, "\nno differences\n", "a delta is what it is complete with")
	assert.Equal(t, want.Packages, readDiff(t, before, delta).Packages)
}

// TestDiffHostile: foreign text of a report does nothing on a terminal, and stays on its line.
func TestDiffHostile(t *testing.T) {
	t.Parallel()
	const foreign = "a\x1b[2J\nno differences\u202e"
	value := carvel.Value{Key: foreign, Default: foreign, Type: foreign}
	side := diff.Subject{Name: foreign, Kind: diff.Registry, Roots: []report.Root{{Reference: foreign}}, Unread: true}
	image := diff.Image{Kind: bundle.Plain, Name: foreign, Package: foreign}
	r := &diff.Report{A: side, B: side, Images: diff.Images{Added: []diff.Image{image}, Removed: []diff.Image{image}}, Packages: []diff.Package{{
		Name: foreign, State: diff.Differs, Added: []string{foreign}, Removed: []string{foreign}, Changed: []diff.Changed{{Version: foreign, Fields: []string{foreign}}}, Metadata: []string{foreign},
		Values: []diff.Values{
			{From: foreign, To: foreign + "2", Added: []carvel.Value{value}, Removed: []carvel.Value{value}, Changed: []diff.ChangedValue{{Key: foreign, Was: value, Is: value}}},
			{From: foreign, To: foreign, Unknown: foreign},
		},
	}}}
	var out strings.Builder
	differences{r}.text(&out)
	assert.False(t, obeyed.MatchString(strings.ReplaceAll(out.String(), "\n", "")), out.String())
	assert.NotContains(t, out.String(), "\nno differences")
	assert.Len(t, strings.Split(out.String(), "\n"), 30, out.String())
}
