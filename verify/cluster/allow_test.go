package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/verify/cluster"
)

func TestPlaceHolds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		place, reference string
		want             bool
	}{
		{"registry.k8s.io", "registry.k8s.io/pause:3.9", true},
		{"registry.k8s.io", "registry.k8s.io.example.com/pause:3.9", false},
		{"registry.k8s.io", "example.com/registry.k8s.io/pause:3.9", false},
		{"gcr.io/knative", "gcr.io/knative/queue:1", true},
		{"gcr.io/knative", "gcr.io/knative", true},
		{"gcr.io/knative", "gcr.io/knative-releases/queue:1", false},
		{"docker.io", "nginx", true},
		{"docker.io", "busybox@sha256:0123456789012345678901234567890123456789012345678901234567890123", true},
		{"docker.io", "index.docker.io/library/nginx:1", true},
		{"docker.io/library", "docker.io/grafana/grafana:1", false},
		{"host:5000", "host/x:1", false},
		{"github.com", "https://github.com/a/b.git", true},
		{"github.com/a", "git@github.com:a/b.git", true},
		{"github.com/a", "https://github.com/ab/b.git", false},
		{"github.com", "", false},
	} {
		place, err := cluster.ParsePlace(c.place)
		require.NoError(t, err)
		require.Equal(t, c.want, place.Holds(c.reference), "%s holds %s", c.place, c.reference)
	}
}
