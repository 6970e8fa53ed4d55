package carvel

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRelock(t *testing.T) {
	t.Parallel()
	hash := func(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }
	a, b, x := hash("a").String(), hash("b").String(), hash("c").String()
	to := map[v1.Hash]v1.Hash{hash("a"): hash("c")}
	const head = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"
	for name, c := range map[string]struct{ text, want string }{
		"as imgpkg writes it": {
			"---\n" + head + "images:\n- annotations:\n    kbld.carvel.dev/id: reg.test/x@" + a + "\n  image: reg.test/x@" + a + "\n- image: reg.test/y@" + b + "\n",
			"---\n" + head + "images:\n- annotations:\n    kbld.carvel.dev/id: reg.test/x@" + a + "\n  image: reg.test/x@" + x + "\n- image: reg.test/y@" + b + "\n",
		},
		"comments, quotes, CRLF": {
			"# about " + a + "\r\n" + strings.ReplaceAll(head, "\n", "\r\n") + "images:\r\n  - image: \"reg.test/x:1@" + a + "\" # " + a + "\r\n    annotations: {id: 'é " + a + "'}\r\n",
			"# about " + a + "\r\n" + strings.ReplaceAll(head, "\n", "\r\n") + "images:\r\n  - image: \"reg.test/x:1@" + x + "\" # " + a + "\r\n    annotations: {id: 'é " + a + "'}\r\n",
		},
		"one line": {
			head + "images: [{annotations: {kbld.carvel.dev/id: 'é" + a + "'}, image: 'reg.test/x@" + a + "'}, {image: reg.test/z@" + a + "}]\n",
			head + "images: [{annotations: {kbld.carvel.dev/id: 'é" + a + "'}, image: 'reg.test/x@" + x + "'}, {image: reg.test/z@" + x + "}]\n",
		},
		"nothing to do": {head + "images:\n- image: reg.test/y@" + b + "\n", head + "images:\n- image: reg.test/y@" + b + "\n"},
		"no images":     {head, head},
	} {
		got, err := Relock([]byte(c.text), to)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, string(got), name)
	}
	_, err := Relock([]byte(head+"images:\n- annotations: {id: &x reg.test/x@"+a+"}\n  image: *x\n"), to)
	require.ErrorContains(t, err, "is written so that digests in it cannot be replaced")
	_, err = Relock([]byte(head+"images: 7\n"), to)
	require.Error(t, err)
}
