package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/digest"
	"relocate/oci"
)

const (
	bufferSize = 64 << 10 // bytes; each answer under way has one buffer
	hashBefore = 8 << 20  // bytes of the largest blob that is hashed before a range of it is sent
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// manifest answers with a manifest. It hashes the manifest before it sends the first byte.
func (h *handler) manifest(w http.ResponseWriter, r *http.Request, repo, id string) error {
	if strings.Contains(id, ":") {
		d, err := digestOf(id)
		if err != nil {
			return unknown(err, "MANIFEST_UNKNOWN", "the repository has no such manifest")
		}
		id = d.String()
	} else if !oci.IsTag(id) {
		return refusal{http.StatusNotFound, "MANIFEST_UNKNOWN", "not a tag or a digest"}
	}
	desc, c, err := h.store.Manifest(r.Context(), namespace(r), repo, id)
	if err != nil {
		return unknown(err, "MANIFEST_UNKNOWN", "the repository has no such manifest")
	}
	defer c.Close()
	if err := check(r.Context(), c, desc.Digest); err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	w.Header().Set("Content-Type", string(desc.MediaType))
	return h.send(w, r, c, desc.Digest, span{n: c.Size()})
}

// blob answers with a blob, or a range of it.
func (h *handler) blob(w http.ResponseWriter, r *http.Request, repo, id string) error {
	d, err := digestOf(id)
	var c Content
	if err == nil {
		c, err = h.store.Blob(r.Context(), repo, d)
	}
	if err != nil {
		return unknown(err, "BLOB_UNKNOWN", "the repository has no such blob")
	}
	defer c.Close()
	part := span{n: c.Size()}
	w.Header().Set("Accept-Ranges", "bytes")
	if ranges := r.Header.Get("Range"); ranges != "" && r.Method == http.MethodGet && isFresh(r.Header.Get("If-Range"), d) {
		if part, err = parseRange(ranges, c.Size()); err != nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", c.Size()))
			return refusal{http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "the range is outside of the blob"}
		}
	}
	if part.isPart && c.Size() <= hashBefore {
		if err := check(r.Context(), c, d); err != nil {
			return fmt.Errorf("blob %s: %w", d, err)
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	return h.send(w, r, c, d, part)
}

// check reads and hashes all of c.
func check(ctx context.Context, c Content, d v1.Hash) error {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for in := whole(c, d); ; {
		_, err := in.Read(buf[:])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

func whole(c Content, d v1.Hash) io.Reader {
	return digest.Reader(io.NewSectionReader(c, 0, c.Size()), d, c.Size())
}

// send answers with content of the digest d, or a part of it. An error is returned before anything
// was sent; later errors break the connection before the last byte.
func (h *handler) send(w http.ResponseWriter, r *http.Request, c Content, d v1.Hash, part span) error {
	header := w.Header()
	header.Set("Docker-Content-Digest", d.String())
	header.Set("Etag", etag(d))
	if isKnown(r.Header.Values("If-None-Match"), d) {
		header.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	header.Set("Content-Length", strconv.FormatInt(part.n, 10))
	if r.Method == http.MethodHead {
		return nil
	}
	in, status := whole(c, d), http.StatusOK
	if part.isPart {
		in, status = io.NewSectionReader(c, part.at, part.n), http.StatusPartialContent
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.at, part.at+part.n-1, c.Size()))
	}
	return h.stream(w, r, in, status, part.n)
}

// stream sends n bytes of in.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, in io.Reader, status int, n int64) error {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	out := pacing(w)
	for sent := int64(0); ; {
		got, err := readFull(in, buf[:])
		if err == nil && got == 0 && sent < n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			err = fmt.Errorf("after %d of %d bytes: %w", sent, n, err)
			if sent == 0 {
				w.Header().Del("Content-Range")
				return err
			}
			h.fault(r, err)
			panic(http.ErrAbortHandler) // net/http breaks the connection
		}
		if sent == 0 {
			w.WriteHeader(status)
		}
		if got == 0 {
			return nil
		}
		if _, err := out.Write(buf[:got]); err != nil {
			panic(http.ErrAbortHandler) // the client closed the connection, or is too slow
		}
		sent += int64(got)
	}
}

// readFull fills buf as far as r has content. The end is no error. Content before an error is
// dropped.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) {
		got, err := r.Read(buf[n:])
		n += got
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// stall is how long a client may take for one buffer: a client slower than about 2 KiB/s is
// dropped.
const stall = 30 * time.Second

// pacing returns a writer to w with a deadline for each buffer.
func pacing(w http.ResponseWriter) io.Writer { return pacer{w, http.NewResponseController(w)} }

type pacer struct {
	w       io.Writer
	control *http.ResponseController
}

func (p pacer) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		_ = p.control.SetWriteDeadline(time.Now().Add(stall)) // a test's writer has no deadline
		var wrote int
		wrote, err = p.w.Write(b[n:min(n+bufferSize, len(b))])
		n += wrote
	}
	return n, err
}

func etag(d v1.Hash) string { return `"` + d.String() + `"` }

// isKnown reports whether a client already has d (RFC 9110, 13.1.2).
func isKnown(values []string, d v1.Hash) bool {
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == "*" || tag == etag(d) {
			return true
		}
	}
	return false
}

// isFresh reports whether a range may be sent (RFC 9110, 13.1.5).
func isFresh(ifRange string, d v1.Hash) bool { return ifRange == "" || ifRange == etag(d) }
