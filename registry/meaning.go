package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Meanings of an Error, beside fs.ErrNotExist, fs.ErrPermission and fs.ErrExist.
var (
	// ErrNoSpace says that a registry has no space left, or that a quota is used up.
	ErrNoSpace = errors.New("the registry is full")

	// ErrPath says that a registry accepts no pushes to a path, as when its project does not exist.
	ErrPath = errors.New("the registry does not accept pushes to this path")

	// ErrReadOnly says that a registry, or a project of it, accepts pushes from nobody.
	ErrReadOnly = errors.New("the registry is read-only")

	// ErrPolicy says that a registry has the content, and that a policy forbids to pull or push it.
	ErrPolicy = errors.New("a policy of the registry forbids it")
)

// ManifestError says that a registry refuses all manifests of a kind: of a media type, or with layers that have URLs.
type ManifestError struct {
	MediaType types.MediaType // of the manifest
	URLs      bool            // it is refused because its layers have URLs, as those of Windows images, and not for its type
}

func (e ManifestError) Error() string {
	switch {
	case e.URLs:
		return "the registry refuses layers with URLs, as of Windows images"
	case e.IsDocker():
		return fmt.Sprintf("the registry refuses Docker's media types (%s)", e.MediaType)
	case e.MediaType.IsIndex():
		return fmt.Sprintf("the registry refuses indexes of this type (%s)", e.MediaType)
	}
	return fmt.Sprintf("the registry refuses manifests of this type (%s)", e.MediaType)
}

// IsDocker reports whether the type is one of Docker's.
func (e ManifestError) IsDocker() bool {
	return e.MediaType == types.DockerManifestSchema2 || e.MediaType == types.DockerManifestList
}

// refusesType reports whether a manifest is refused for its type. Other refusals are about its
// content or digest.
func (e *Error) refusesType() bool {
	return e.Status == http.StatusUnsupportedMediaType || e.Code == "UNSUPPORTED"
}

// explainManifest adds to the error of a PUT of a manifest why it was refused, where that is known.
func explainManifest(kind types.MediaType, raw []byte, err error) error {
	var answer *Error
	switch {
	case !errors.As(err, &answer), answer.reason != nil, isPermission(answer.Status):
		return err
	case answer.Status == http.StatusUnsupportedMediaType:
		return explained{ManifestError{MediaType: kind}, answer}
	case answer.refusesURLs(raw):
		answer.blobs, answer.blobsMissing = nil, false // they need not be uploaded again
		return explained{ManifestError{MediaType: kind, URLs: true}, answer}
	}
	return err
}

// refusesURLs reports whether a manifest is refused because of layers with URLs. The distribution
// project's registry then answers 500, with two errors without a text and MANIFEST_BLOB_UNKNOWN for
// such a layer, even if it has the layer.
func (e *Error) refusesURLs(raw []byte) bool {
	var doc struct {
		Layers []struct {
			Digest v1.Hash  `json:"digest"`
			URLs   []string `json:"urls"`
		} `json:"layers"`
	}
	if e.Status != http.StatusInternalServerError && e.Code != "UNKNOWN" || json.Unmarshal(raw, &doc) != nil {
		return false
	}
	for _, layer := range doc.Layers {
		if len(layer.URLs) > 0 && slices.Contains(e.blobs, layer.Digest) {
			return true
		}
	}
	return false
}

// Texts of registries, searched for in all of a refusal.
var (
	// fullWords say that there is no space: Harbor and others name a quota, the distribution
	// project's registry has the system's error in the detail of an UNKNOWN (28 is ENOSPC).
	fullWords = regexp.MustCompile(`(?i)quota|no space|"Err":28\b|disk full|insufficient (disk |storage )?(storage|space)|not enough (disk |storage )?(storage|space)`)

	// limitWords mean the same in a 4xx only: Harbor 2.15 says "adding 2.6 MiB of storage resource,
	// which when updated to current usage of 8.3 KiB will exceed the configured upper limit of 1.0
	// MiB". In a 5xx, the storage behind a registry may limit its requests, which passes.
	limitWords = regexp.MustCompile(`(?is)storage.{0,200}(exceed|limit)|(exceed|reach|over ).{0,60}(storage|upper limit)`)

	readOnlyWords = regexp.MustCompile(`(?i)read[- ]?only|maintenance mode|proxy[- ]?(cache )?project|(proxy|pull[- ]through)[- ]cache`)
	noPathWords   = regexp.MustCompile(`(?i)\bNAME_INVALID\b|invalid repository name|project \S+ (was )?not found|project \S+ does not exist`)
	policyWords   = regexp.MustCompile(`(?i)PROJECTPOLICYVIOLATION|is not signed|cannot be pulled due to|vulnerabilit`)
	tagWords      = regexp.MustCompile(`(?i)immutab|overwrit|already exists`)
)

// meaning returns the meaning of an answer by its method, its status and its text; nil if the
// status says all.
func (e *Error) meaning(text string) error {
	switch {
	case e.Status == http.StatusInsufficientStorage, e.writes() && e.saysFull(text):
		return ErrNoSpace
	case e.Status/100 != 4 || e.Status == http.StatusTooManyRequests:
		return nil
	case policyWords.MatchString(text):
		return ErrPolicy
	case e.writes() && readOnlyWords.MatchString(text):
		return ErrReadOnly
	case e.Status != http.StatusNotFound && noPathWords.MatchString(text):
		return ErrPath
	case e.putsTag() && e.keepsTag(text):
		return fs.ErrExist
	}
	return nil
}

// writes reports whether the request sends content.
func (e *Error) writes() bool {
	return slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, e.Method)
}

// saysFull reports whether a refusal of a write says that there is no space. A 429 is not one: it
// may name a quota of requests.
func (e *Error) saysFull(text string) bool {
	switch e.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge:
		return fullWords.MatchString(text) || limitWords.MatchString(text)
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		return fullWords.MatchString(text)
	}
	return false
}

// putsTag reports whether the request was a PUT of a manifest under a tag.
func (e *Error) putsTag() bool {
	_, id, ok := strings.Cut(e.URL, "/manifests/")
	return ok && e.Method == http.MethodPut && !strings.Contains(id, ":")
}

// keepsTag reports whether a refusal means that the tag cannot be moved. Amazon ECR uses
// TAG_INVALID for it, others use that for an invalid tag.
func (e *Error) keepsTag(text string) bool {
	switch e.Status {
	case http.StatusConflict, http.StatusPreconditionFailed:
		return true
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed:
		return tagWords.MatchString(text)
	}
	return false
}
