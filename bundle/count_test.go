package bundle

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/digest"
	"relocate/oci"
)

// Descriptors are counted when they are read, before anything is made of them: a graph up to the limit
// takes seconds, so this test starts just below it.
func TestDescriptorsAreCountedWhenRead(t *testing.T) {
	t.Parallel()
	d := `{"size":1,"digest":"` + digest.Of(nil).String() + `"}`
	raw := []byte(`{"schemaVersion":2,"manifests":[` + d + "," + d + `]}`)
	desc := v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest.Of(raw)}
	repo, err := name.NewRepository("reg.test/repo")
	require.NoError(t, err)

	w := &walk{}
	w.held.Store(maxDescriptors - 1 - 2*edgeWeight)
	x := &want{name: "first"}
	require.NoError(t, w.open(t.Context(), x, repo, desc, raw))
	assert.Len(t, x.next, 2)

	y := &want{name: "second"}
	err = w.open(t.Context(), y, repo, desc, raw)
	require.ErrorIs(t, err, oci.ErrMalformed)
	require.EqualError(t, err, "read second: malformed: the graph has more than 400000 descriptors and documents")
	assert.Empty(t, y.next)
}
