package oci

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/internal/text"
)

// ParsePlatform reads os/architecture or os/architecture/variant, as in linux/arm/v7.
func ParsePlatform(s string) (v1.Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return v1.Platform{}, fmt.Errorf("%s is not a platform; write os/architecture, as in linux/amd64, or os/architecture/variant, as in linux/arm/v7", text.Quote(s))
	}
	for _, part := range parts {
		if !platformPart.MatchString(part) {
			return v1.Platform{}, fmt.Errorf("%s is not a platform: %s is not a word of letters, digits, dots, dashes and underscores", text.Quote(s), text.Quote(part))
		}
	}
	p := v1.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// IsPlatform reports whether want means the platform is, as Manifest.Platforms has it. Without a
// variant it means all variants. Where an index gives no variant, the one that containerd assumes
// counts: v7 of arm and v8 of arm64.
func IsPlatform(want v1.Platform, is string) bool {
	has, err := ParsePlatform(is)
	if err != nil || has.OS != want.OS || has.Architecture != want.Architecture {
		return false
	}
	return want.Variant == "" || variant(want) == variant(has)
}

// variant returns the variant of p, or the one that is assumed.
func variant(p v1.Platform) string {
	switch {
	case p.Variant != "":
		return p.Variant
	case p.Architecture == "arm":
		return "v7"
	case p.Architecture == "arm64":
		return "v8"
	}
	return ""
}

// attestedBy is the annotation by which BuildKit says which child of an index an attestation, another
// child of the platform unknown/unknown, is about.
const attestedBy = "vnd.docker.reference.digest"

// attested returns the digest in the annotations of a child of an index; zero when there is none that
// can be read.
func attested(annotations json.RawMessage) v1.Hash {
	var list map[string]json.RawMessage
	var s string
	if len(annotations) == 0 || json.Unmarshal(annotations, &list) != nil || json.Unmarshal(list[attestedBy], &s) != nil {
		return v1.Hash{}
	}
	d, err := v1.NewHash(s)
	if err != nil {
		return v1.Hash{}
	}
	return d
}
