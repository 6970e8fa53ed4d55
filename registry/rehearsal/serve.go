package rehearsal

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// headerTime is how long a client may take for the header of a request: one that connects and says nothing
// is dropped.
const headerTime = 10 * time.Second

// Serve answers at l, in plain HTTP, until ctx ends; then it breaks off what is under way. It closes l.
func (r *Registry) Serve(ctx context.Context, l net.Listener) {
	server := &http.Server{Handler: r, ReadHeaderTimeout: headerTime, ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // what it cuts off, the client sees
	defer stop()
	_ = server.Serve(l) // it ends with the listener, which nobody misses but the client
}
