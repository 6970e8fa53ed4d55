package tarball_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/httpfile"
	"relocate/tarball"
)

// openURL opens an archive on a server, whose requests count.
func openURL(t *testing.T, archive []byte, count func(*http.Request)) (*tarball.Archive, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count(r)
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(archive))
	}))
	t.Cleanup(server.Close)
	f, err := httpfile.Open(t.Context(), httpfile.Source{URL: server.URL + "/a.tar?key=secret"}, httpfile.Options{})
	require.NoError(t, err)
	a, err := tarball.OpenRanged(f)
	if err == nil {
		t.Cleanup(func() { assert.NoError(t, a.Close()) })
	}
	return a, err
}

// TestRanged: an archive on a server is what it is in a file.
func TestRanged(t *testing.T) {
	t.Parallel()
	m := repository(t, 3<<20, 100, 1<<20)
	archive := m.bytes(t)
	a, err := openURL(t, archive, func(*http.Request) {})
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(a.Name(), "/a.tar"), a.Name())
	plan, err := a.CheckedPlan(t.Context(), 4, nil)
	require.NoError(t, err)
	assert.Equal(t, m.plan(t).Size(), plan.Size())
	damage, err := a.Check(t.Context(), 4, nil)
	require.NoError(t, err)
	assert.Empty(t, damage)

	archive[len(archive)-3<<20] ^= 1 // in the last layer
	damage, err = a.Check(t.Context(), 4, nil)
	require.NoError(t, err)
	assert.Len(t, damage, 1)

	_, err = openURL(t, archive[:len(archive)-1], func(*http.Request) {})
	require.ErrorIs(t, err, tarball.ErrTruncated)
	assert.Contains(t, err.Error(), "/a.tar is cut off")
}
