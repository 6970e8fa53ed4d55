package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUsage: command lines that cannot be meant. Nothing is read or written.
func TestUsage(t *testing.T) {
	t.Parallel()
	reg := startReal(t)
	archive := filepath.Join(t.TempDir(), "no.tar")
	lock := filepath.Join(t.TempDir(), "lock.yml")
	require.NoError(t, os.WriteFile(lock, []byte("---\napiVersion: imgpkg.carvel.dev/v1alpha1\nbundle:\n  image: private.test/x@"+digestOf("x")+"\nkind: BundleLock\n"), 0o600))
	list := filepath.Join(t.TempDir(), "list.yml")
	require.NoError(t, os.WriteFile(list, []byte("# values\n- a\n"), 0o600))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink("none", link))
	ref, repo, digest := reg.Addr+"/a/b:1", reg.Addr+"/x", digestOf("x")
	for name, c := range map[string]struct {
		args  []string
		parts []string
	}{
		"nothing":                {nil, []string{"nothing to do", "-b", "--to-tar"}},
		"no-source":              {[]string{"--to-tar", archive}, []string{"no source", "--bundle (-b)"}},
		"no-source-to-repo":      {[]string{"--to-repo", repo}, []string{"no source", "Expected either --lock, --bundle (-b), --image (-i), or --tar as a source"}},
		"no-destination":         {[]string{"-b", ref}, []string{"no destination", "--to-tar"}},
		"archive-no-destination": {[]string{"--from-tar", archive}, []string{"no destination", "--to-repo"}},
		"two-sources":            {[]string{"-b", ref, "--from-tar", archive, "--to-repo", repo}, []string{"two sources"}},
		"two-destinations":       {[]string{"-b", ref, "--to-tar", archive, "--to-repo", repo}, []string{"two destinations"}},
		"tar-to-tar":             {[]string{"--from-tar", archive, "--to-tar", archive + "2"}, []string{"--from-tar", "--to-tar"}},
		"lock-to-tar":            {[]string{"-b", ref, "--to-tar", archive, "--lock-output", "l"}, []string{"--lock-output needs --to-repo"}},
		"tag-to-tar":             {[]string{"-b", ref, "--to-tar", archive, "--tag", "l"}, []string{"--tag needs --to-repo"}},
		"concurrency-0":          {[]string{"-b", ref, "--to-tar", archive, "--concurrency", "0"}, []string{`"--concurrency"`, "between 1 and 256"}},
		"concurrency-text":       {[]string{"-b", ref, "--to-tar", archive, "--concurrency", "many"}, []string{"--concurrency", "many"}},
		"plan-concurrency":       {[]string{"plan", "-b", ref, "--concurrency", "-1"}, []string{`"--concurrency"`, "between 1 and 256"}},
		"trust":                  {[]string{"--from-tar", archive, "--to-repo", repo, "--trust-registry", "me"}, []string{"--trust-registry me", "manifests, blobs or nothing"}},
		"progress":               {[]string{"--from-tar", archive, "--to-repo", repo, "--progress", "loud"}, []string{"--progress", "loud", "json"}},
		"repo-with-tag":          {[]string{"--from-tar", archive, "--to-repo", repo + ":1"}, []string{"--to-repo " + repo + ":1", "tag", "--tag"}},
		"repo-with-digest":       {[]string{"--from-tar", archive, "--to-repo", repo + "@" + digest}, []string{"--to-repo " + repo + "@" + digest, "digest"}},
		"repo-without-registry":  {[]string{"--from-tar", archive, "--to-repo", "corp/x"}, []string{"--to-repo corp/x", "has no registry"}},
		"repo-upper":             {[]string{"--from-tar", archive, "--to-repo", reg.Addr + "/X"}, []string{"--to-repo " + reg.Addr + "/X"}},
		"repo-empty":             {[]string{"--from-tar", archive, "--to-repo", reg.Addr}, []string{"--to-repo " + reg.Addr}},
		"direct-repo-with-tag":   {[]string{"-b", ref, "--to-repo", repo + ":1"}, []string{"--to-repo " + repo + ":1", "tag"}},
		"repo-slash":             {[]string{"--from-tar", archive, "--to-repo", repo + "/"}, []string{"--to-repo " + repo + "/", "single slashes"}},
		"repo-slashes":           {[]string{"--from-tar", archive, "--to-repo", reg.Addr + "//x"}, []string{"single slashes"}},
		"repo-separator":         {[]string{"--from-tar", archive, "--to-repo", reg.Addr + "/x/trail-"}, []string{"--to-repo " + reg.Addr + "/x/trail-", "container runtimes cannot pull"}},
		"repo-scheme":            {[]string{"--from-tar", archive, "--to-repo", "https://" + repo}, []string{"without https://"}},
		"bundle-scheme":          {[]string{"-b", "https://" + ref, "--to-tar", archive}, []string{"--bundle https://", "without https://"}},
		"bundle-slash":           {[]string{"-b", repo + "/", "--to-tar", archive}, []string{"--bundle " + repo + "/"}},
		"verify-slash":           {[]string{"verify", "--repo", repo + "/", "--root", digest}, []string{"--repo " + repo + "/"}},
		"stream-keep-going":      {[]string{"-b", ref, "--to-tar", "-", "--keep-going"}, []string{"--keep-going", "stream"}},
		"stream-no-resume":       {[]string{"-b", ref, "--to-tar", "-", "--no-resume"}, []string{"--no-resume"}},
		"import-no-resume":       {[]string{"--from-tar", archive, "--to-repo", repo, "--no-resume"}, []string{"--no-resume"}},
		"no-tmpdir":              {[]string{"-b", ref, "--to-repo", repo, "--tmpdir", "/none/such"}, []string{"--tmpdir /none/such"}},
		"report-stream":          {[]string{"-b", ref, "--to-tar", archive, "--report", "-"}, []string{"--report -"}},
		"report-is-archive":      {[]string{"-b", ref, "--to-tar", archive, "--report", filepath.Dir(archive) + "/./no.tar"}, []string{"--to-tar and --report name the same file"}},
		"report-link":            {[]string{"-b", ref, "--to-tar", archive, "--report", link}, []string{"--report " + link, "a broken symbolic link"}},
		"report-folder":          {[]string{"-b", ref, "--to-tar", archive, "--report", filepath.Dir(archive)}, []string{"--report " + filepath.Dir(archive), "not a regular file"}},
		"user-alone":             {[]string{"-b", ref, "--to-tar", archive, "--registry-username", "bob"}, []string{"must be given together"}},
		"user-and-token":         {[]string{"-b", ref, "--to-tar", archive, "--registry-username", "bob", "--registry-password", "x", "--registry-token", "y"}, []string{"cannot be used together"}},
		"anon-and-token":         {[]string{"-b", ref, "--to-tar", archive, "--registry-anon", "--registry-token", "y"}, []string{"--registry-anon"}},
		"verify-level-archive":   {[]string{"verify", archive, "--level", "deep"}, []string{"--repo"}},
		"verify-tags":            {[]string{"verify", "--repo", repo, archive, "--tag", "x", "--no-tag"}, []string{"--tag and --no-tag"}},
		"rehearse-tags":          {[]string{"rehearse", archive, "--tag", "x", "--no-tag"}, []string{"--tag and --no-tag"}},
		"verify-allow-pattern":   {[]string{"verify", archive, "--allow", "*.example.com"}, []string{"--allow", "no host"}},
		"verify-objects-folder":  {[]string{"verify", "--repo", repo, "-f", filepath.Dir(archive)}, []string{"is a directory", "name a file"}},
		"verify-tag-archive":     {[]string{"verify", archive, "--tag", "x"}, []string{"--repo"}},
		"emit-lock-name":         {[]string{"emit", "--lock", lock}, []string{"--name"}},
		"tags":                   {[]string{"--from-tar", archive, "--to-repo", repo, "--tag", "a", "--no-tag"}, []string{"--tag and --no-tag"}},
		"unknown-command":        {[]string{"exprot"}, []string{"unknown command", "exprot"}},
		"unknown-command-flag":   {[]string{"exprot", "-b", ref}, []string{"unknown command", "exprot"}},
		"unknown-flag":           {[]string{"--form-tar", archive}, []string{"unknown flag", "--form-tar"}},
		"unknown-flag-plan":      {[]string{"plan", "--form-tar", archive}, []string{"unknown flag", "--form-tar"}},
		"unknown-short":          {[]string{"-z"}, []string{"-z"}},
		"missing-value":          {[]string{"-b"}, []string{"-b"}},
		"plan-argument":          {[]string{"plan", ref}, []string{ref}},
		"plan-nothing":           {[]string{"plan"}, []string{"-b REF"}},
		"version-argument":       {[]string{"version", "x"}, []string{"x"}},
		"inspect-nothing":        {[]string{"inspect"}, []string{"archive"}},
		"inspect-two":            {[]string{"inspect", "a", "b"}, []string{"archive"}},
		"format":                 {[]string{"inspect", archive, "-o", "xml"}, []string{"xml", "json"}},
		"verify-nothing":         {[]string{"verify"}, []string{"archive"}},
		"verify-tag-and-root":    {[]string{"verify", "--repo", repo + ":1", "--root", digest}, []string{"--repo " + repo + ":1 and --root both name the root"}},
		"verify-tag-and-archive": {[]string{"verify", "--repo", repo + ":1", archive}, []string{"--repo " + repo + ":1", "the archive names the roots", "--tag"}},
		"verify-level":           {[]string{"verify", "--repo", repo, "--root", digest, "--level", "x"}, []string{"--level x", "deep"}},
		"verify-root-short":      {[]string{"verify", "--repo", repo, "--root", "sha256:12"}, []string{"--root sha256:12", "digest"}},
		"verify-seal-short":      {[]string{"verify", archive, "--seal", "12"}, []string{"--seal 12", "digest"}},
		"emit-nothing":           {[]string{"emit"}, []string{"archive"}},
		"emit-no-repo":           {[]string{"emit", archive}, []string{"--to-repo"}},
		"values-plan":            {[]string{"plan", "-b", ref, "--values-file", "a.test=" + lock}, []string{"--values-file needs --render or --strict"}},
		"values-export":          {[]string{"-b", ref, "--to-tar", archive, "--kubernetes-version", "1.31"}, []string{"--kubernetes-version needs --render or --strict"}},
		"values-no-render":       {[]string{"rehearse", archive, "--no-render", "--values-file", "a.test=" + lock}, []string{"--no-render and --values-file cannot be used together"}},
		"values-no-name":         {[]string{"rehearse", archive, "--values-file", lock}, []string{"--values-file " + lock, "write NAME=FILE"}},
		"values-no-file":         {[]string{"verify", archive, "--values-file", "a.test=none.yml"}, []string{"--values-file", "none.yml", "no such file"}},
		"values-folder":          {[]string{"verify", archive, "--values-file", "a.test=" + filepath.Dir(archive)}, []string{"is a directory"}},
		"values-list":            {[]string{"verify", archive, "--values-file", "a.test=" + list}, []string{"--values-file " + list + ": line 2: is not a map"}},
		"values-objects":         {[]string{"verify", "--repo", repo, "-f", "x.yml", "--values-file", "a.test=" + lock}, []string{"--values-file", "PackageInstalls"}},
		"render-import":          {[]string{"--from-tar", archive, "--to-repo", repo, "--render"}, []string{"--render needs a source in a registry", "rehearse"}},
		"helm-none":              {[]string{"rehearse", archive, "--helm", archive + "/helm"}, []string{"--helm", archive + "/helm"}},
		"kubernetes-version":     {[]string{"rehearse", archive, "--kubernetes-version", "latest"}, []string{"--kubernetes-version latest: write a version, such as 1.30.0"}},
		"render-nothing":         {[]string{"render"}, []string{"name an archive, or a package repository with --repo"}},
		"render-no-package":      {[]string{"render", archive}, []string{"after the archive, write \"package NAME[/VERSION]\"\n"}},
		"render-packages":        {[]string{"render", archive, "packages"}, []string{"not \"packages\""}},
		"render-both":            {[]string{"render", archive, "--repo", repo, "package", "a"}, []string{"an archive and --repo cannot be used together"}},
		"render-slashes":         {[]string{"render", archive, "package", "a/1/2"}, []string{"write NAME or NAME/VERSION"}},
		"render-format":          {[]string{"render", archive, "package", "a", "-o", "text"}, []string{"must be yaml or json"}},
		"render-to-repo":         {[]string{"render", archive, "package", "a", "--to-repo", repo + ":1"}, []string{"--to-repo " + repo + ":1", "tag"}},
		"ca-file":                {[]string{"-b", ref, "--to-tar", archive, "--registry-ca-cert-path", "no.pem"}, []string{"no.pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := tryRelocate(t, c.args...)
			assertFailed(t, r, statusUsage, append(c.parts, "hint: ")...)
		})
	}
	assert.Empty(t, reg.Requests())
	assert.NoFileExists(t, archive)
}
