package serve

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/internal/digest"
	"relocate/oci"
)

const (
	maxPage      = 1000          // entries of a list, whatever n says
	maxReferrers = 4<<20 - 1<<10 // bytes of a page of referrers, which must be a valid manifest (distribution-spec 1.1, listing referrers)
	maxRead      = 32 << 20      // bytes of manifests read for one page
	maxManifest  = 4 << 20       // bytes of a manifest
)

// page reads n and last from the query (distribution-spec 1.1, listing tags).
func page(r *http.Request) (n int, last string, err error) {
	query := r.URL.Query()
	n = maxPage
	if s := query.Get("n"); s != "" {
		asked, ok := parsePosition(s)
		if !ok {
			return 0, "", refusal{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n must be a number"}
		}
		n = int(min(asked, maxPage))
	}
	return n, query.Get("last"), nil
}

// next adds the Link to the next page.
func next(w http.ResponseWriter, r *http.Request, last string) {
	query := url.Values{"last": {last}}
	for _, key := range []string{"artifactType", "n", "ns"} {
		if s := r.URL.Query().Get(key); s != "" {
			query.Set(key, s)
		}
	}
	at := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	w.Header().Set("Link", "<"+at.String()+`>; rel="next"`)
}

// list answers with a page of names.
func list(w http.ResponseWriter, r *http.Request, read func(after string, n int) ([]string, bool, error), body func([]string) any) error {
	n, last, err := page(r)
	if err != nil {
		return err
	}
	found, more, err := read(last, n)
	if err != nil {
		return err
	}
	names := append([]string{}, found...) // an empty list is not null in JSON
	if more && len(names) > 0 {
		next(w, r, names[len(names)-1])
	}
	raw, err := json.Marshal(body(names))
	if err == nil {
		write(w, r, "application/json", raw)
	}
	return err
}

func (h *handler) tags(w http.ResponseWriter, r *http.Request, repo string) error {
	type tagList struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	err := list(w, r, func(after string, n int) ([]string, bool, error) {
		return h.store.Tags(r.Context(), namespace(r), repo, after, n)
	},
		func(tags []string) any { return tagList{repo, tags} })
	return unknown(err, "NAME_UNKNOWN", "repository not found")
}

func (h *handler) catalog(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, func(after string, n int) ([]string, bool, error) { return h.store.Repositories(r.Context(), after, n) },
		func(repos []string) any { return map[string][]string{"repositories": repos} })
}

// referrers answers with an index of the manifests that refer to one, which need not exist.
func (h *handler) referrers(w http.ResponseWriter, r *http.Request, repo, id string) error {
	d, err := digestOf(id)
	var all []v1.Hash
	if err == nil {
		all, err = h.store.Referrers(r.Context(), repo, d)
	}
	if err = unknown(err, "", ""); err != nil && !isUnknown(err) {
		return err
	}
	if len(all) > 0 {
		done, err := h.turn(r.Context())
		if err != nil {
			return err
		}
		defer done()
	}
	filter := r.URL.Query().Get("artifactType")
	entries, cut, err := h.describe(r, repo, all, filter)
	if err != nil {
		return err
	}
	if filter != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	if cut != "" {
		next(w, r, cut)
	}
	raw, err := json.Marshal(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     types.MediaType   `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}{2, types.OCIImageIndex, entries})
	if err == nil {
		write(w, r, string(types.OCIImageIndex), raw)
	}
	return err
}

func isUnknown(err error) bool {
	is, ok := err.(refusal)
	return ok && is.status == http.StatusNotFound
}

// describe returns descriptors of the manifests with the artifact type (all, if it is empty), after
// the query's last, as many as fit on one page. If there are more, cut is the digest to continue
// after.
func (h *handler) describe(r *http.Request, repo string, all []v1.Hash, artifactType string) (entries []json.RawMessage, cut string, err error) {
	entries = []json.RawMessage{} // an empty list is not null in JSON
	last := r.URL.Query().Get("last")
	all = all[slices.IndexFunc(all, func(d v1.Hash) bool { return d.String() == last })+1:]
	size, read := int64(0), int64(0)
	for i, d := range all {
		desc, err := h.referrer(r, repo, d)
		if err != nil {
			return nil, "", err
		}
		read += desc.Size
		if artifactType == "" || desc.ArtifactType == artifactType {
			entry, err := json.Marshal(desc)
			if err != nil {
				return nil, "", err
			}
			if size += int64(len(entry)) + 1; size > maxReferrers && len(entries) > 0 {
				return entries, all[i-1].String(), nil
			}
			entries = append(entries, entry)
		}
		if read > maxRead && i < len(all)-1 {
			return entries, d.String(), nil
		}
	}
	return entries, "", nil
}

// referrer returns the descriptor of a manifest that refers to another. Annotations that fill a
// page alone are dropped.
func (h *handler) referrer(r *http.Request, repo string, d v1.Hash) (v1.Descriptor, error) {
	desc, c, err := h.store.Manifest(r.Context(), "", repo, d.String())
	if err != nil {
		return desc, err
	}
	defer c.Close()
	if c.Size() > maxManifest {
		return desc, refusal{http.StatusServiceUnavailable, "UNAVAILABLE", "a manifest is too large"}
	}
	raw := make([]byte, c.Size()) // at most maxManifest
	if _, err := io.ReadFull(io.NewSectionReader(c, 0, c.Size()), raw); err != nil {
		return desc, err
	}
	if err := digest.Check(raw, d); err != nil {
		return desc, err
	}
	desc, err = oci.Referrer(desc, raw)
	if entry, _ := json.Marshal(desc); len(entry) > maxReferrers/2 {
		desc.Annotations = nil
	}
	return desc, err
}
