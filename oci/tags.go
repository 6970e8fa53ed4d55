package oci

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// attachmentSuffixes are cosign's: a signature, attestations, an SBOM.
var attachmentSuffixes = []string{".sig", ".att", ".sbom"}

// AttachmentTags are the tags by which something hangs on the manifest d.
func AttachmentTags(d v1.Hash) []string {
	var tags []string
	for _, suffix := range attachmentSuffixes {
		tags = append(tags, ReferrersTag(d)+suffix)
	}
	return tags
}

// ReferrersTag is the tag of the index that lists what refers to the manifest d, at a registry that has no
// referrers API (OCI distribution 1.1, referrers tag schema).
func ReferrersTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex }

// IsAttachmentTag reports whether something may hang on a manifest by tag.
func IsAttachmentTag(tag string) bool {
	for _, suffix := range attachmentSuffixes {
		if hex, ok := strings.CutSuffix(tag, suffix); ok {
			tag = hex
			break
		}
	}
	_, err := v1.NewHash(strings.Replace(tag, "-", ":", 1))
	return err == nil && strings.HasPrefix(tag, "sha256-")
}
