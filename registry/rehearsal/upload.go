package rehearsal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"

	"relocate/internal/digest"
)

// maxBlob is the largest blob that is kept because the archive does not have it, in bytes: configs
// and layers of locations images. Each upload under way may have as much in memory.
const maxBlob = 4 << 20

// bufferSize is how many bytes are received and hashed at a time.
const bufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// upload is a blob under way. A request that pushes to it holds its lock.
type upload struct {
	id   string
	repo string

	mu   sync.Mutex
	hash hash.Hash
	size int64
	raw  []byte // content so far; nil if too large to keep
	skip bool   // the archive has the content
	done bool
}

// Write hashes content, and keeps it while it is small.
func (u *upload) Write(b []byte) (int, error) {
	u.size += int64(len(b))
	if u.size <= maxBlob && !u.skip {
		u.raw = append(u.raw, b...)
	} else {
		u.raw = nil
	}
	return u.hash.Write(b)
}

// upload answers requests about the uploads of a repository (distribution-spec 1.1, pushing blobs).
func (r *Registry) upload(w http.ResponseWriter, req *http.Request, repo, id string) error {
	if id == "" {
		if req.Method != http.MethodPost {
			return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "an upload begins with POST")
		}
		return r.begin(w, req, repo)
	}
	r.mu.Lock()
	u := r.uploads[id]
	r.mu.Unlock()
	if u == nil || u.repo != repo {
		return refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "upload not found")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.done:
		return refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "the upload has ended")
	case req.Method == http.MethodGet:
		u.answer(w, http.StatusNoContent)
		return nil
	case req.Method == http.MethodDelete:
		r.forget(u)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case req.Method == http.MethodPatch:
		if err := u.receive(req); err != nil {
			return err
		}
		u.answer(w, http.StatusAccepted)
		return nil
	case req.Method == http.MethodPut:
		return r.complete(w, req, u)
	}
	return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "an upload supports GET, PATCH, PUT and DELETE")
}

// begin begins an upload. That declines a mount. Content in the POST completes it.
func (r *Registry) begin(w http.ResponseWriter, req *http.Request, repo string) error {
	r.mu.Lock()
	if len(r.uploads) >= maxUploads {
		r.mu.Unlock()
		return refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many unfinished uploads")
	}
	r.begun++
	u := &upload{id: strconv.Itoa(r.begun), repo: repo, hash: sha256.New()}
	r.uploads[u.id] = u
	r.mu.Unlock()
	if req.URL.Query().Get("digest") != "" {
		u.mu.Lock()
		defer u.mu.Unlock()
		return r.complete(w, req, u)
	}
	u.answer(w, http.StatusAccepted)
	return nil
}

// answer says how much of an upload has arrived.
func (u *upload) answer(w http.ResponseWriter, status int) {
	w.Header().Set("Location", "/v2/"+u.repo+"/blobs/uploads/"+u.id)
	w.Header().Set("Docker-Upload-UUID", u.id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(u.size-1, 0)))
	w.Header().Set("Content-Length", "0")
	if status == http.StatusNoContent {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(status)
}

// receive reads the body of a request, which continues the upload.
func (u *upload) receive(req *http.Request) error {
	if s := req.Header.Get("Content-Range"); s != "" {
		var from, to int64
		if n, err := fmt.Sscanf(s, "%d-%d", &from, &to); n != 2 || err != nil || from != u.size || to < from ||
			req.ContentLength >= 0 && to-from+1 != req.ContentLength {
			return refuse(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("the upload continues at byte %d", u.size))
		}
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	if _, err := io.CopyBuffer(u, req.Body, buffer[:]); err != nil {
		return fmt.Errorf("the content broke off after %d bytes: %w", u.size, err)
	}
	return nil
}

// complete reads the rest of an upload, and stores the blob if it has the digest in the query.
func (r *Registry) complete(w http.ResponseWriter, req *http.Request, u *upload) error {
	key, err := parseDigest(req.URL.Query().Get("digest"))
	if err == nil {
		_, missing := r.archive.Content(key.Hash())
		u.skip = missing == nil
		err = u.receive(req)
	}
	var is *refusal
	if err != nil && !errors.As(err, &is) {
		return err // the client may continue the upload
	}
	r.forget(u)
	if err != nil {
		return err
	}
	if got := digest.Sum(u.hash.Sum(nil)); got != key {
		if r.wrong != nil {
			r.wrong(key.Hash())
		}
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("the content, %d bytes, has the digest %s", u.size, got.Hash()))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.keep(key, u.size, u.raw); err != nil {
		return err
	}
	r.repository(u.repo, true).blobs[key] = u.size
	created(w, "/v2/"+u.repo+"/blobs/"+key.Hash().String(), key)
	return nil
}

// forget removes an upload. The caller holds its lock.
func (r *Registry) forget(u *upload) {
	u.done = true
	r.mu.Lock()
	delete(r.uploads, u.id)
	r.mu.Unlock()
}
