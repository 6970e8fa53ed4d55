package crossing_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/crossing"
)

// TestSites: every value; paths are relative to the file.
func TestSites(t *testing.T) {
	const head = "apiVersion: relocate/v1alpha1\nkind: Sites\n"
	s, err := crossing.ParseSites("/etc/sites.yml", []byte(head+"sites:\n- name: oslo\n  repository: reg.test:5000/a/b\n  ca: ca/oslo.pem\n  secretRef: pull\n"))
	require.NoError(t, err)
	assert.Equal(t, []crossing.Site{{Name: "oslo", Repository: "reg.test:5000/a/b", CA: crossing.Path(filepath.Join("/etc", "ca", "oslo.pem")), SecretRef: "pull"}}, s.Sites)

	for text, says := range map[string]string{
		"apiVersion: relocate/v1alpha1\nkind: Crossing\nsites:\n- name: a\n": "/etc/sites.yml:2: kind: must be Sites",
		head: "/etc/sites.yml:1: sites: has no site",
		head + "sites:\n- name: A\n  repository: a.test/b\n":           "sites.yml:4: sites[0].name: \"A\": must have lower-case letters",
		head + "seal: abc\nsites:\n- name: a\n":                        "sites.yml:3: seal: ",
		head + "sites:\n- name: a\n  repository: a.test/b:1\n":         "sites.yml:5: sites[0].repository: ",
		head + "sites:\n- name: a\n  repository: ops:pw@a.test/b\n":    "sites.yml:5: sites[0].repository: has a user or a password",
		head + "sites:\n- name: a\n  repository: a.test/b\n  nme: b\n": "sites.yml:6: sites[0]: unknown key \"nme\"",
	} {
		_, err := crossing.ParseSites("/etc/sites.yml", []byte(text))
		require.ErrorContains(t, err, says)
		assert.ErrorAs(t, err, new(*crossing.Error))
	}
}
