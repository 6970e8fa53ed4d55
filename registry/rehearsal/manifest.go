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

// document is what a manifest or an index names (image-spec 1.1, manifest.md and image-index.md).
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Manifests     []v1.Descriptor `json:"manifests"`
	Subject       *v1.Descriptor  `json:"subject"`
}

// putManifest stores a manifest if all that it names is present (distribution-spec 1.1, pushing manifests).
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, path, id string) error {
	raw, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
	switch {
	case err != nil:
		return err
	case len(raw) > maxManifest:
		return refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("a manifest has at most %d bytes", maxManifest))
	}
	key, _ := digest.SumOf(digest.Of(raw))
	if err := checkID(id, key); err != nil {
		return err
	}
	mediaType, doc, err := readDocument(req.Header.Get("Content-Type"), raw)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repository(path, true)
	if err := repo.hasAll(doc, r.leftOut); err != nil {
		return err
	}
	if err := r.keep(key, int64(len(raw)), raw); err != nil {
		return err
	}
	repo.manifests[key] = manifest{int64(len(raw)), unique.Make(mediaType)}
	if oci.IsTag(id) {
		repo.tags[strings.Clone(id)] = key
	}
	if doc.Subject != nil {
		repo.addReferrer(doc.Subject.Digest, key)
		w.Header().Set("OCI-Subject", doc.Subject.Digest.String())
	}
	created(w, "/v2/"+path+"/manifests/"+key.Hash().String(), key)
	return nil
}

// deleteManifest deletes a manifest by its digest, unless a tag means it.
func (r *Registry) deleteManifest(w http.ResponseWriter, path, id string) error {
	d, _ := v1.NewHash(id)
	key, _ := digest.SumOf(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repository(path, false)
	if repo == nil {
		return refuse(http.StatusNotFound, "NAME_UNKNOWN", "repository not found")
	}
	tagged := repo.tags[id] != digest.Sum{}
	for _, to := range repo.tags {
		tagged = tagged || to == key
	}
	if tagged {
		return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "tags, and what they mean, are not deleted")
	}
	if _, found := repo.manifests[key]; !found {
		return refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest not found")
	}
	delete(repo.manifests, key)
	for subject, list := range repo.referrers {
		repo.referrers[subject] = slices.DeleteFunc(list, func(s digest.Sum) bool { return s == key })
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// checkID checks the tag or the digest that a manifest is pushed under.
func checkID(id string, key digest.Sum) error {
	if !strings.Contains(id, ":") {
		if !oci.IsTag(id) {
			return refuse(http.StatusBadRequest, "TAG_INVALID", "not a valid tag")
		}
		return nil
	}
	named, err := parseDigest(id)
	if err == nil && named != key {
		err = refuse(http.StatusBadRequest, "DIGEST_INVALID", "the content has the digest "+key.Hash().String())
	}
	return err
}

// addReferrer notes that a manifest refers to a subject.
func (repo *repository) addReferrer(subject v1.Hash, key digest.Sum) {
	at, ok := digest.SumOf(subject)
	if ok && !slices.Contains(repo.referrers[at], key) {
		repo.referrers[at] = append(repo.referrers[at], key)
	}
}

// readDocument reads a manifest. Its Content-Type, its mediaType and its fields must agree.
func readDocument(contentType string, raw []byte) (types.MediaType, *document, error) {
	invalid := func(format string, args ...any) (types.MediaType, *document, error) {
		return "", nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf(format, args...))
	}
	header, _, err := mime.ParseMediaType(contentType)
	mediaType := types.MediaType(header)
	doc := &document{}
	switch {
	case err != nil || !mediaType.IsIndex() && !mediaType.IsImage():
		return invalid("the Content-Type %q is not a manifest's", contentType)
	case oci.CheckJSON(raw) != nil:
		return invalid("the manifest is not unambiguous JSON: %v", oci.CheckJSON(raw))
	case json.Unmarshal(raw, doc) != nil:
		return invalid("the content is not a manifest")
	case doc.SchemaVersion != 2:
		return invalid("the manifest's schemaVersion is %d", doc.SchemaVersion)
	case doc.MediaType != "" && doc.MediaType != mediaType:
		return invalid("the Content-Type is %q, the manifest's mediaType %q", header, doc.MediaType)
	case !doc.hasFieldsOf(mediaType):
		return invalid("the manifest does not have the fields of %q", header)
	}
	return mediaType, doc, nil
}

// hasFieldsOf reports whether the document has the fields of an index or an image, and not of the other.
func (doc *document) hasFieldsOf(mediaType types.MediaType) bool {
	if mediaType.IsIndex() {
		return doc.Config == nil && doc.Layers == nil
	}
	return doc.Config != nil && doc.Manifests == nil
}

// blobs returns the config and the layers that the document names.
func (doc *document) blobs() []v1.Descriptor {
	if doc.Config == nil {
		return doc.Layers
	}
	return append([]v1.Descriptor{*doc.Config}, doc.Layers...)
}

// hasAll returns an error when something that a manifest names is missing, or has another size. Foreign layers,
// children of an index that were left out, and the subject may be missing.
func (repo *repository) hasAll(doc *document, leftOut func(v1.Hash) bool) error {
	unknown := &refusal{status: http.StatusBadRequest, code: "MANIFEST_BLOB_UNKNOWN", message: "the repository does not have what the manifest names"}
	for _, d := range doc.blobs() {
		key, ok := digest.SumOf(d.Digest)
		size, found := repo.blobs[key]
		if oci.IsForeign(d) && !found {
			continue
		}
		if err := unknown.check(d, size, ok && found); err != nil {
			return err
		}
	}
	for _, d := range doc.Manifests {
		key, ok := digest.SumOf(d.Digest)
		m, found := repo.manifests[key]
		if !found && leftOut != nil && leftOut(d.Digest) {
			continue
		}
		if err := unknown.check(d, m.size, ok && found); err != nil {
			return err
		}
	}
	if len(unknown.missing) > 0 {
		return unknown
	}
	return nil
}

// check adds d to what is missing, or returns an error when it has another size.
func (e *refusal) check(d v1.Descriptor, size int64, found bool) error {
	if !found {
		e.missing = append(e.missing, d.Digest)
	} else if size != d.Size {
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf("the manifest says that %s has %d bytes; the repository has %d", d.Digest, d.Size, size))
	}
	return nil
}
