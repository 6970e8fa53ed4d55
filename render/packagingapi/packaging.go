// Package packagingapi knows the types of kapp-controller's packaging API, v0.53, and what kapp-controller
// makes of the documents of a package repository before it deploys them: it drops other kinds, removes
// the namespace, adds annotations, and drops the fields that its types do not have.
package packagingapi

import (
	"bytes"
	"encoding/json"
	"fmt"

	"relocate/internal/yamlnode"
)

// APIVersion is that of the Packages and PackageMetadata that kapp-controller serves.
const APIVersion = "data.packaging.carvel.dev/v1alpha1"

// IsServed reports whether kapp-controller serves a document. It drops all others.
func IsServed(apiVersion, kind string) bool {
	return apiVersion == APIVersion && (kind == "Package" || kind == "PackageMetadata")
}

// Deployed returns what kapp-controller deploys of a document that ytt printed, before kbld; nil of one
// that it drops. It removes the namespace, adds its annotations, and then knows only the fields of its
// own types. repository is the NAMESPACE/NAME of the PackageRepository.
//
// An error says why kapp-controller refuses the whole repository.
func Deployed(doc yamlnode.Document, repository string) (map[string]any, error) {
	object, err := decodeObject(doc.Text)
	if err != nil {
		return nil, err
	}
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	if !IsServed(apiVersion, kind) {
		return nil, nil
	}
	if _, has := object["metadata"]; !has { // the overlay wants one
		return nil, fmt.Errorf("%s: metadata is missing", kind)
	}
	metadata, err := mapAt(object, "metadata", "metadata")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	annotations, err := mapAt(metadata, "annotations", "metadata.annotations")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	delete(metadata, "namespace")
	for key, value := range map[string]string{
		"kapp.k14s.io/disable-original": "", "kapp.k14s.io/disable-wait": "",
		"packaging.carvel.dev/package-repository-ref": repository,
		"kapp.k14s.io/create-strategy":                "fallback-on-update-or-noop",
	} {
		annotations[key] = value
	}
	known, _, err := kinds[kind].known(object, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return known.(map[string]any), nil
}

// mapAt returns the map at a key of m, a new one in the place of null or none.
func mapAt(m map[string]any, key, path string) (map[string]any, error) {
	switch v := m[key].(type) {
	case map[string]any:
		return v, nil
	case nil:
		made := map[string]any{}
		m[key] = made
		return made, nil
	default:
		return nil, check("a map", v, path)
	}
}

// decodeObject decodes a document as kapp-controller does, with the digits of its numbers where a float64
// does not have them.
func decodeObject(text []byte) (map[string]any, error) {
	if value, ok, err := yamlnode.JSONValue(text); ok && err == nil {
		object, _ := value.(map[string]any)
		return object, nil
	}
	var raw json.RawMessage
	if err := yamlnode.Decode(text, &raw, false); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var content any
	if err := decoder.Decode(&content); err != nil {
		return nil, err
	}
	object, _ := content.(map[string]any)
	return object, nil
}
