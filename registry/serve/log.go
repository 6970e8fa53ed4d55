package serve

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// logged returns a handler that calls print with a line for each request after its answer, in the
// common log format (client, user, time, request, status, bytes), then the time it took and the
// User-Agent. Text of the client is quoted.
func logged(h http.Handler, print func(line string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		n := &recorder{ResponseWriter: w}
		defer func() {
			broken := recover()
			how := ""
			if broken != nil {
				how = " broken off"
			}
			print(logLine(r, start, n) + how)
			if broken != nil {
				panic(broken)
			}
		}()
		h.ServeHTTP(n, r)
	})
}

// maxLogged is the most of a client's text in the log, in bytes.
const maxLogged = 512

func logLine(r *http.Request, start time.Time, n *recorder) string {
	user, _, ok := r.BasicAuth()
	if user = quote(user); !ok {
		user = "-"
	}
	return fmt.Sprintf("%s - %s [%s] %s %d %d %.3fs %s", r.RemoteAddr, user, start.Format("02/Jan/2006:15:04:05 -0700"),
		quote(r.Method+" "+r.RequestURI+" "+r.Proto), n.code(), n.bytes.Load(), time.Since(start).Seconds(), quote(r.UserAgent()))
}

func quote(s string) string { return strconv.QuoteToASCII(s[:min(len(s), maxLogged)]) }

// recorder records the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  atomic.Int64
}

func (n *recorder) code() int {
	if n.status == 0 {
		return http.StatusOK
	}
	return n.status
}

// WriteHeader implements http.ResponseWriter.
func (n *recorder) WriteHeader(status int) {
	if n.status == 0 {
		n.status = status
	}
	n.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (n *recorder) Write(b []byte) (int, error) {
	if n.status == 0 {
		n.status = http.StatusOK
	}
	wrote, err := n.ResponseWriter.Write(b)
	n.bytes.Add(int64(wrote))
	return wrote, err
}

// Unwrap lets http.ResponseController reach the connection.
func (n *recorder) Unwrap() http.ResponseWriter { return n.ResponseWriter }
