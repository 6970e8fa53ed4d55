package kbld_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/carvel"
	"relocate/render/kbld"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

func parseLock(t *testing.T) *carvel.ImagesLock {
	t.Helper()
	lock, err := carvel.ParseImagesLock([]byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n" +
		"- image: private.test/all@" + digest + "\n  annotations: {kbld.carvel.dev/id: nginx}\n" +
		"- image: private.test/none@" + digest + "\n"))
	require.NoError(t, err)
	return lock
}

func disallowed(image string) string {
	return "Building of images is disallowed (tried to build '" + image + "' because a source was configured for it)"
}

// TestResolve: the first override that fits counts, of a lock or of a Config, by image or by repository.
func TestResolve(t *testing.T) {
	t.Parallel()
	config := "apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\n" +
		"overrides: [{image: nginx, newImage: by-config, preresolved: true}, {imageRepo: redis, newImage: nginx}, {image: 'redis:7', newImage: too-late},\n" +
		"  {image: mariadb, newImage: 'mariadb@" + digest + "'}, {image: built, newImage: app}, {image: broken, newImage: A B},\n" +
		"  {image: platform, newImage: 'a.test/bb@" + digest + "', platformSelection: {os: linux}},\n" +
		"  {image: selected, newImage: a.test/bb, tagSelection: {semver: {}}}, {image: unselected, newImage: a.test/bb, tagSelection: {}}]\n" +
		"sources: [{image: app, path: .}, {imageRepo: other.test/app, path: .}]\n"
	const other = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages: [{image: by-nobody}, {image: by-other, annotations: {kbld.carvel.dev/id: postgres}}]\n"
	lockFirst, configFirst := &kbld.Step{}, &kbld.Step{}
	assert.Len(t, lockFirst.AddLock(carvel.LockFile, parseLock(t), 0), 1, "an entry without id")
	lockFirst.AddFile("config.yml", []byte(config))
	lockFirst.AddFile("other.yml", []byte(other))
	lockFirst.AddFile("config.txt", []byte(strings.ReplaceAll(config, "nginx", "mysql")))
	assert.Empty(t, lockFirst.AddFile("config.yml", []byte(config)), "once")
	twoLocks := &kbld.Step{}
	twoLocks.AddLock("1/"+carvel.LockFile, parseLock(t), 7)
	twoLocks.AddLock("0/"+carvel.LockFile, parseLock(t), 0)
	configFirst.AddFile("config.yml", []byte(config))
	configFirst.AddLock(carvel.LockFile, parseLock(t), 0)
	for _, test := range []struct {
		name string
		step *kbld.Step
		ref  string
		want kbld.Result
	}{
		{"lock", lockFirst, "nginx", kbld.Result{Image: "private.test/all@" + digest, File: carvel.LockFile, Lock: true}},
		{"the first of two locks", twoLocks, "nginx", kbld.Result{Image: "private.test/all@" + digest, File: "1/" + carvel.LockFile, Lock: true, Entry: 7}},
		{"config before the lock", configFirst, "nginx", kbld.Result{Image: "by-config", File: "config.yml", Entry: -1}},
		{"literally", lockFirst, "nginx:latest", kbld.Result{Outcome: kbld.Asked, Image: "nginx:latest", Entry: -1}},
		{"repository", lockFirst, "redis:7", kbld.Result{Outcome: kbld.Asked, Image: "nginx", File: "config.yml", Entry: -1}},
		{"repository of a digest", lockFirst, "redis@" + digest, kbld.Result{Outcome: kbld.Asked, Image: "nginx", File: "config.yml", Entry: -1}},
		{"override by digest", lockFirst, "mariadb", kbld.Result{Image: "index.docker.io/library/mariadb@" + digest, File: "config.yml", Entry: -1}},
		{"override with a source", lockFirst, "built", kbld.Result{Outcome: kbld.Built, File: "config.yml", Entry: -1, Reason: disallowed("app")}},
		{"override that is no reference", lockFirst, "broken", kbld.Result{Outcome: kbld.Refused, File: "config.yml", Entry: -1,
			Reason: "repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: A B"}},
		{"platform", lockFirst, "platform", kbld.Result{Outcome: kbld.Asked, Image: "a.test/bb@" + digest, File: "config.yml", Entry: -1}},
		{"tag selection", lockFirst, "selected", kbld.Result{Outcome: kbld.Asked, Image: "a.test/bb", File: "config.yml", Entry: -1}},
		{"another tag selection", lockFirst, "unselected", kbld.Result{Outcome: kbld.Refused, File: "config.yml", Entry: -1, Reason: "Unknown tag selection strategy"}},
		{"another lock", lockFirst, "postgres", kbld.Result{Image: "by-other", File: "other.yml", Lock: true, Entry: -1}},
		{"no YAML file", lockFirst, "mysql", kbld.Result{Outcome: kbld.Asked, Image: "mysql", Entry: -1}},
		{"source", lockFirst, "app", kbld.Result{Outcome: kbld.Built, Entry: -1, Reason: disallowed("app")}},
		{"source by repository", lockFirst, "other.test/app:1", kbld.Result{Outcome: kbld.Built, Entry: -1, Reason: disallowed("other.test/app:1")}},
		{"digest", lockFirst, "a.test/bb@" + digest, kbld.Result{Outcome: kbld.Kept, Image: "a.test/bb@" + digest, Entry: -1}},
		{"digest and tag", lockFirst, "bb:1@" + digest, kbld.Result{Outcome: kbld.Kept, Image: "index.docker.io/library/bb@" + digest, Entry: -1}},
		{"one letter", lockFirst, "a.test/b", kbld.Result{Outcome: kbld.Refused, Entry: -1, Reason: "repository must be between 2 and 255 characters in length: b"}},
		{"localhost without a port", lockFirst, "localhost/b@" + digest, kbld.Result{Outcome: kbld.Kept, Image: "index.docker.io/localhost/b@" + digest, Entry: -1}},
		{"long", lockFirst, strings.Repeat("a", 2000), kbld.Result{Outcome: kbld.Refused, Entry: -1, Reason: "repository must be between 2 and 255 characters in length: " + strings.Repeat("a", 2000)}},
		{"no configuration", &kbld.Step{}, "nginx", kbld.Result{Outcome: kbld.Asked, Image: "nginx", Entry: -1}},
	} {
		assert.Equal(t, test.want, test.step.Resolve(test.ref), test.name)
	}
	for _, ref := range []string{"a.test/bb@sha256:12", "A B", ""} {
		result := lockFirst.Resolve(ref)
		assert.Equal(t, kbld.Refused, result.Outcome, ref)
		assert.NotEmpty(t, result.Reason, ref)
	}
	assert.True(t, lockFirst.HasLock())
	assert.Equal(t, "nginx", lockFirst.Similar("nginx:1.27"))
	assert.Empty(t, lockFirst.Similar("redis"))
}

// TestSee: keys come before searchRules, those before the rule for image, and the first that matches counts.
func TestSee(t *testing.T) {
	t.Parallel()
	step := &kbld.Step{}
	require.Empty(t, step.AddFile("config.yml", []byte(`apiVersion: kbld.k14s.io/v1alpha1
kind: Config
searchRules:
- {keyMatcher: {path: [data, image]}, updateStrategy: {none: {}}}
- {keyMatcher: {path: [spec, {index: 1}, {allIndexes: true}, ref]}}
- {keyMatcher: {name: json}, updateStrategy: {json: {searchRules: [{keyMatcher: {name: inner}}]}}}
- {keyMatcher: {name: yaml}, updateStrategy: {yaml: {}}}
- {valueMatcher: {imageRepo: a.test/b}}
- {keyMatcher: {name: sidecar}, updateStrategy: {none: {}}}
`)))
	require.Empty(t, step.AddFile("keys.yml", []byte("apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\nkeys: [sidecar]\n")))
	rules := step.Rules()
	for _, test := range []struct {
		path, value  string
		image, inner bool
	}{
		{"image", "x", true, false}, {"spec image", "x", true, false}, {"image spec", "x", false, false}, {"0", "x", false, false}, {"", "x", false, false},
		{"data image", "x", false, false}, {"spec 1 5 ref", "x", true, false}, {"spec 0 5 ref", "x", false, false}, {"spec 1 key ref", "x", false, false},
		{"json", `{"inner":"x"}`, false, true}, {"json", "inner: x", false, false}, {"yaml", "inner: x", false, true},
		{"any", "a.test/b:1", true, false}, {"any", "a.test/c:1", false, false}, {"sidecar", "x", true, false},
	} {
		var path []kbld.Part
		for _, part := range strings.Fields(test.path) {
			if part[0] <= '9' {
				path = append(path, kbld.Part{IsIndex: true, Index: int(part[0] - '0')})
			} else {
				path = append(path, kbld.Part{Key: part})
			}
		}
		image, inner := rules.See(path, test.value)
		assert.Equal(t, test.image, image, "%s: %s", test.path, test.value)
		assert.Equal(t, test.inner, inner != nil, "%s: %s", test.path, test.value)
	}
	_, inner := rules.See([]kbld.Part{{Key: "json"}}, "{}")
	image, _ := inner.See([]kbld.Part{{Key: "inner"}}, "x")
	assert.True(t, image)
	image, _ = inner.See([]kbld.Part{{Key: "image"}}, "x")
	assert.False(t, image, "no built-in rule joins them")
	image, _ = (*kbld.Step)(nil).Rules().See([]kbld.Part{{Key: "image"}}, "x")
	assert.True(t, image)
}
