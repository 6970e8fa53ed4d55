package rehearsal_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/registry/rehearsal"
)

// A client reaches the registry through the listener until that is closed.
func TestLocal(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	l, ended := rehearsal.Listen(), make(chan struct{})
	go func() {
		defer close(ended)
		rehearsal.New(archiveOf()).Serve(ctx, l)
	}()
	client := &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
	res, err := client.Get("http://registry.test/v2/")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, http.StatusOK, res.StatusCode)

	stop()
	<-ended
	_, err = l.Dial(t.Context(), "tcp", "registry.test:80")
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = l.Accept()
	assert.ErrorIs(t, err, net.ErrClosed)

	late, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = rehearsal.Listen().Dial(late, "tcp", "registry.test:80")
	assert.ErrorIs(t, err, context.Canceled)
}
