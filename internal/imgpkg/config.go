package imgpkg

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Labels of configs.
const (
	// Label makes an image a bundle; only its presence counts.
	Label = "dev.carvel.imgpkg.bundle"

	// LabelDerivedFrom has the digest of the bundle that a bundle was derived from.
	LabelDerivedFrom = "relocate/derived-from"
	// LabelChoice has the choice of packages that it was derived by.
	LabelChoice = "relocate/choice"
	// LabelPlatforms has the platforms that it was derived for, with blanks between.
	LabelPlatforms = "relocate/platforms"
	// LabelManifests has the name of the set of plain manifests that a bundle carries.
	LabelManifests = "relocate/manifests"
)

// MaxLabel is the limit on a label that is read, in bytes. An annotation of an object has room for it.
const MaxLabel = 128 << 10

// Config is what the labels of an image's config say.
type Config struct {
	IsBundle            bool
	DerivedFrom, Choice string // of a bundle that relocate derived from another
	Platforms           string // for which it was; empty for all
	Manifests           string // of a bundle that carries plain manifests: their name
}

// ReadConfig reads a config. One that is not a JSON object with labels says nothing.
func ReadConfig(raw []byte) Config {
	var config struct {
		Config struct {
			Labels labels `json:"Labels"`
		} `json:"config"`
	}
	if json.Unmarshal(raw, &config) != nil {
		return Config{}
	}
	return Config(config.Config.Labels)
}

// labels is a Config that is read from labels, without keeping the others.
type labels Config

// UnmarshalJSON implements json.Unmarshaler.
func (l *labels) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); t == nil || err != nil { // null
		return err
	} else if t != json.Delim('{') {
		return errors.New("labels are no object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		switch key {
		case Label:
			l.IsBundle = true
		case LabelDerivedFrom:
			l.DerivedFrom = labelText(value)
		case LabelChoice:
			l.Choice = labelText(value)
		case LabelPlatforms:
			l.Platforms = labelText(value)
		case LabelManifests:
			l.Manifests = labelText(value)
		}
	}
	return nil
}

// labelText returns the text of a label; empty when it is none, or too long.
func labelText(value json.RawMessage) (s string) {
	if json.Unmarshal(value, &s) != nil || len(s) > MaxLabel {
		return ""
	}
	return s
}
