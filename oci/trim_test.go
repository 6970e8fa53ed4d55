package oci

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTrim(t *testing.T) {
	t.Parallel()
	hash := func(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }
	item := func(c string) string {
		return `{ "mediaType": "application/vnd.oci.image.manifest.v1+json",  "size": 7, "digest": "` + hash(c).String() + `", "platform": {"os":"linux","architecture":"a"}, "x": 1e3 }`
	}
	for name, c := range map[string]struct{ raw, want string }{
		"nothing else changes": {
			"{\n  \"schemaVersion\": 2, \"b\": [1, 2],\n  \"manifests\": [ " + item("a") + " ,\n " + item("b") + "], \"a\": {}\n}\n",
			"{\n  \"schemaVersion\": 2, \"b\": [1, 2],\n  \"manifests\": [" + item("a") + "], \"a\": {}\n,\"annotations\":{\"from\":\"x\"}}\n",
		},
		"annotations": {
			`{"schemaVersion":2,"annotations": {"k":"v"},"manifests":[` + item("b") + "," + item("a") + "]}",
			`{"schemaVersion":2,"annotations": {"from":"x","k":"v"},"manifests":[` + item("a") + "]}",
		},
		"no annotations": {
			`{"schemaVersion":2,"manifests":[` + item("b") + `],"annotations":{}}`, `{"schemaVersion":2,"manifests":[],"annotations":{"from":"x"}}`,
		},
		"null": {
			`{"schemaVersion":2,"manifests":[],"annotations":null}`, `{"schemaVersion":2,"manifests":[],"annotations":{"from":"x"}}`,
		},
		"derived before": {
			`{"schemaVersion":2,"manifests":[],"annotations":{"a":"b", "from" : "y" }}`, `{"schemaVersion":2,"manifests":[],"annotations":{"a":"b", "from" : "x" }}`,
		},
		"a child that is another one": {
			`{"schemaVersion":2,"manifests":[` + item("c") + `],"annotations":{"from":"x"}}`,
			`{"schemaVersion":2,"manifests":[` + strings.Replace(strings.Replace(item("c"), hash("c").String(), hash("d").String(), 1), `"size": 7`, `"size": 99`, 1) + `],"annotations":{"from":"x"}}`,
		},
	} {
		got, err := Trim([]byte(c.raw), func(d v1.Hash) bool { return d == hash("b") }, map[v1.Hash]v1.Descriptor{hash("c"): {Digest: hash("d"), Size: 99}}, "from", "x")
		require.NoError(t, err, name)
		assert.Equal(t, c.want, string(got), name)
		_, err = ParseManifest(v1.Descriptor{MediaType: types.OCIImageIndex}, got)
		require.NoError(t, err, name)
	}
	for _, raw := range []string{"", "[]", `{"manifests":{}}`, `{"schemaVersion":2}`, `{"manifests":[7]}`, `{"manifests":[],"manifests":[]}`, `{"manifests":[],"annotations":[]}`, `{"Manifests":[]}`, `{"manifests":[],"Annotations":{}}`} {
		_, err := Trim([]byte(raw), func(v1.Hash) bool { return false }, nil, "from", "x")
		require.Error(t, err, raw)
	}
}
