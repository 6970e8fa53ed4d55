package kappctrl_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"relocate/carvel"
	"relocate/render/kbld"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// TestRead: a step reads its paths, files and folders; one without paths reads all, unless it is given the output of the
// step before.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		steps kappctrl.Steps
		want  []bool // config/a.yml, config.yml, b/c/d.yml
	}{
		{nil, []bool{true, true, true}},
		{kappctrl.Steps{{Kind: "ytt"}}, []bool{true, true, true}},
		{kappctrl.Steps{{Kind: "ytt", Paths: []string{"config"}}, {Kind: "kbld"}}, []bool{true, false, false}},
		{kappctrl.Steps{{Kind: "ytt", Paths: []string{"config"}}, {Kind: "helmTemplate"}}, []bool{true, true, true}},
		{kappctrl.Steps{{Kind: "kbld", Paths: []string{"-", "./b/c/"}}}, []bool{false, false, true}},
		{kappctrl.Steps{{Kind: "ytt", Paths: []string{"config.yml"}, Values: []string{"b"}}}, []bool{false, true, true}},
	} {
		assert.Equal(t, test.want, []bool{test.steps.Read("config/a.yml"), test.steps.Read("config.yml"), test.steps.Read("b/c/d.yml")}, "%+v", test.steps)
	}
}

// TestFiles follows files through the steps, each to the first kbld step that its documents reach.
func TestFiles(t *testing.T) {
	t.Parallel()
	lock := &carvel.ImagesLock{}
	bundle := func() (files []*content.File) {
		for _, path := range []string{"z.yml", carvel.LockFile, "config/a.yml"} {
			files = append(files, &content.File{Path: path})
		}
		return files
	}
	for _, test := range []struct {
		name  string
		steps kappctrl.Steps
		want  []string // path, and what rewrites it
		noted []report.Code
	}{
		{"none", nil, []string{".imgpkg/images.yml lock", "config/a.yml lock", "z.yml lock"}, nil},
		{"no kbld", kappctrl.Steps{{Kind: "ytt", Paths: []string{"config"}}}, []string{"config/a.yml -"}, nil},
		{"kbld without the lock", kappctrl.Steps{{Kind: "ytt", Paths: []string{"config"}}, {Kind: "kbld"}}, []string{"config/a.yml no lock"}, nil},
		{"kbld with the lock", kappctrl.Steps{{Kind: "ytt", Paths: []string{"config"}}, {Kind: "kbld", Paths: []string{"-", carvel.LockFile}}},
			[]string{".imgpkg/images.yml lock", "config/a.yml lock"}, nil},
		{"files after kbld", kappctrl.Steps{{Kind: "ytt", Paths: []string{"config", carvel.LockFile}}, {Kind: "kbld"}, {Kind: "ytt", Paths: []string{"-", "z.yml"}}},
			[]string{".imgpkg/images.yml lock", "config/a.yml lock", "z.yml -"}, nil},
		{"two kbld steps", kappctrl.Steps{{Kind: "kbld", Paths: []string{"z.yml"}}, {Kind: "kbld", Paths: []string{"-", carvel.LockFile}}},
			[]string{".imgpkg/images.yml lock", "z.yml no lock"}, nil},
		{"sops gives nothing on", kappctrl.Steps{{Kind: "sops", Paths: []string{"z.yml"}}, {Kind: "ytt", Paths: []string{"-", "config"}}}, []string{"config/a.yml -"}, nil},
		{"inline", kappctrl.Steps{{Kind: "ytt", Paths: []string{"nothing"}, Inline: map[string]string{"i.yml": "a: b\n"}}, {Kind: "kbld"}},
			[]string{"(inline) i.yml no lock"}, []report.Code{"missing-path"}},
	} {
		var noted []report.Code
		var got []string
		for _, f := range test.steps.Files(&kappctrl.Folder{Files: bundle(), Locks: []kappctrl.Lock{{File: carvel.LockFile, Images: lock}}}, func(list ...report.Finding) {
			for _, f := range list {
				noted = append(noted, f.Code)
			}
		}) {
			rewrites := "-"
			if f.Kbld != nil {
				rewrites = map[bool]string{true: "lock", false: "no lock"}[f.Kbld.HasLock()]
			}
			got = append(got, f.Path+" "+rewrites)
		}
		assert.Equal(t, test.want, got, test.name)
		assert.Equal(t, test.noted, noted, test.name)
	}
}

// TestConfigOfEarlierStep: a kbld step gives objects on, and not its configuration.
func TestConfigOfEarlierStep(t *testing.T) {
	t.Parallel()
	const config = "apiVersion: kbld.k14s.io/v1alpha1\nkind: Config\noverrides: [{image: aa, newImage: b, preresolved: true}]\n"
	first, second := &content.File{Path: "config.yml", Data: []byte(config)}, &content.File{Path: "z.yml"}
	steps := kappctrl.Steps{{Kind: "kbld", Paths: []string{"config.yml"}}, {Kind: "kbld", Paths: []string{"-", "z.yml"}}}
	steps.Files(&kappctrl.Folder{Files: []*content.File{first, second}}, func(...report.Finding) {})
	assert.Equal(t, kbld.Rewritten, first.Kbld.Resolve("aa").Outcome)
	assert.Equal(t, kbld.Asked, second.Kbld.Resolve("aa").Outcome)
}
