package oci

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// attachmentSuffixes are cosign's: a signature, attestations, an SBOM.
var attachmentSuffixes = []string{".sig", ".att", ".sbom"}

// AttachmentTags returns the tags of attachments to the manifest d.
func AttachmentTags(d v1.Hash) []string {
	var tags []string
	for _, suffix := range attachmentSuffixes {
		tags = append(tags, ReferrersTag(d)+suffix)
	}
	return tags
}

// ReferrersTag returns the tag of the index that lists the referrers of the manifest d, for a
// registry without the referrers API (OCI distribution specification 1.1, "Referrers Tag Schema").
func ReferrersTag(d v1.Hash) string { return d.Algorithm + "-" + d.Hex }

// IsAttachmentTag reports whether tag may be that of an attachment.
func IsAttachmentTag(tag string) bool {
	_, ok := SubjectOf(tag)
	return ok
}

// SubjectOf returns the digest of which the tag of an attachment, or of an index of referrers, is
// made.
func SubjectOf(tag string) (d v1.Hash, ok bool) {
	for _, suffix := range attachmentSuffixes {
		if hex, ok := strings.CutSuffix(tag, suffix); ok {
			tag = hex
			break
		}
	}
	d, err := v1.NewHash(strings.Replace(tag, "-", ":", 1))
	return d, err == nil && strings.HasPrefix(tag, "sha256-")
}
