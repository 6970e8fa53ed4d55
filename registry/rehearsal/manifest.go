package rehearsal

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unique"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
	"relocate/oci"
)

// document is what a manifest or an index names.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Manifests     []v1.Descriptor `json:"manifests"`
	Subject       *v1.Descriptor  `json:"subject"`
}

// putManifest takes a manifest when all that it names is there (distribution-spec 1.1, pushing manifests).
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, path, id string) error {
	raw, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
	switch {
	case err != nil:
		return err
	case len(raw) > maxManifest:
		return refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("a manifest has at most %d bytes", maxManifest))
	}
	key, _ := digest.SumOf(digest.Of(raw))
	isDigest := strings.Contains(id, ":")
	switch named, err := parseDigest(id); {
	case isDigest && err != nil:
		return err
	case isDigest && named != key:
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", "what was sent has the digest "+key.Hash().String())
	case !isDigest && !oci.IsTag(id):
		return refuse(http.StatusBadRequest, "TAG_INVALID", "that is no tag")
	}
	mediaType, doc, err := readDocument(req.Header.Get("Content-Type"), raw)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repository(path, true)
	if err := repo.hasAll(doc); err != nil {
		return err
	}
	if err := r.keep(key, int64(len(raw)), raw); err != nil {
		return err
	}
	repo.manifests[key] = manifest{int64(len(raw)), unique.Make(mediaType)}
	if !isDigest {
		repo.tags[strings.Clone(id)] = key
	}
	if doc.Subject != nil {
		subject, ok := digest.SumOf(doc.Subject.Digest)
		if ok && !slices.Contains(repo.referrers[subject], key) {
			repo.referrers[subject] = append(repo.referrers[subject], key)
		}
		w.Header().Set("OCI-Subject", doc.Subject.Digest.String())
	}
	created(w, "/v2/"+path+"/manifests/"+key.Hash().String(), key)
	return nil
}

// readDocument reads a manifest, whose form, media type and the type that it was sent with must agree.
func readDocument(contentType string, raw []byte) (types.MediaType, *document, error) {
	invalid := func(format string, args ...any) (types.MediaType, *document, error) {
		return "", nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf(format, args...))
	}
	header, _, err := mime.ParseMediaType(contentType)
	mediaType := types.MediaType(header)
	doc := &document{}
	switch {
	case err != nil || !mediaType.IsIndex() && !mediaType.IsImage():
		return invalid("it was sent as %q, which is no media type of manifests", contentType)
	case oci.CheckJSON(raw) != nil:
		return invalid("it is no JSON, or can be read in two ways: %v", oci.CheckJSON(raw))
	case json.Unmarshal(raw, doc) != nil:
		return invalid("it is no manifest")
	case doc.SchemaVersion != 2:
		return invalid("its schemaVersion is %d", doc.SchemaVersion)
	case doc.MediaType != "" && doc.MediaType != mediaType:
		return invalid("it was sent as %q, and says that it is %q", header, doc.MediaType)
	case mediaType.IsIndex() && (doc.Config != nil || doc.Layers != nil), mediaType.IsImage() && (doc.Config == nil || doc.Manifests != nil):
		return invalid("it has not the form of %q", header)
	}
	return mediaType, doc, nil
}

// hasAll says what is not there of what a manifest names, or is there with another size. A foreign layer need
// not be, nor the subject.
func (repo *repository) hasAll(doc *document) error {
	unknown := &refusal{status: http.StatusBadRequest, code: "MANIFEST_BLOB_UNKNOWN", message: "the repository does not have what the manifest names"}
	check := func(d v1.Descriptor, size int64, there bool) error {
		if !there {
			unknown.missing = append(unknown.missing, d.Digest)
		} else if size != d.Size {
			return refuse(http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf("it says that %s has %d bytes; there it has %d", d.Digest, d.Size, size))
		}
		return nil
	}
	blobs := doc.Layers
	if doc.Config != nil {
		blobs = append([]v1.Descriptor{*doc.Config}, blobs...)
	}
	for _, d := range blobs {
		key, ok := digest.SumOf(d.Digest)
		size, there := repo.blobs[key]
		if oci.IsForeign(d) && !there {
			continue
		}
		if err := check(d, size, ok && there); err != nil {
			return err
		}
	}
	for _, d := range doc.Manifests {
		key, ok := digest.SumOf(d.Digest)
		m, there := repo.manifests[key]
		if err := check(d, m.size, ok && there); err != nil {
			return err
		}
	}
	if len(unknown.missing) > 0 {
		return unknown
	}
	return nil
}
