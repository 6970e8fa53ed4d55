package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSkopeoReads: other tools find an entry of the layout by its reference. skopeo 1.9, which is
// Debian's, knows entries of OCI types only; bundles are of Docker's.
func TestSkopeoReads(t *testing.T) {
	t.Parallel()
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed (Debian package skopeo)")
	}
	archive := export(t, pushSample(t, startMemory(t, nil)))
	var r inspectReport
	require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "inspect", archive, "-o", "json").stdout), &r))
	read := 0
	for _, image := range r.Images {
		if len(image.References) == 0 || !strings.Contains(image.References[0], "/corp/guestbook@") {
			continue // the guestbook's image and index are the sample's OCI ones
		}
		raw, err := exec.CommandContext(t.Context(), skopeo, "inspect", "--raw", "oci-archive:"+archive+":"+image.References[0]).Output()
		require.NoError(t, err, image.References[0])
		require.Equal(t, image.Digest.String(), digestOf(raw), image.References[0])
		read++
	}
	require.Equal(t, 2, read)
}
