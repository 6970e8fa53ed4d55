package rehearsal

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// headerTime is how long a client may take for the header of a request.
const headerTime = 10 * time.Second

// Serve answers requests at l, in plain HTTP, until ctx ends. Then it cuts off requests under way.
// It closes l.
func (r *Registry) Serve(ctx context.Context, l net.Listener) {
	server := &http.Server{Handler: r, ReadHeaderTimeout: headerTime, ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(l) // its error is only that the listener was closed
}
