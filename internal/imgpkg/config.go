package imgpkg

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Label is the config label that makes an image a bundle; only its presence counts.
const Label = "dev.carvel.imgpkg.bundle"

// IsBundle reports whether an image with this config is a bundle. A config that is not a JSON
// object with labels is not that of a bundle.
func IsBundle(raw []byte) bool {
	var config struct {
		Config struct {
			Labels labels `json:"Labels"`
		} `json:"config"`
	}
	if json.Unmarshal(raw, &config) != nil {
		return false
	}
	return config.Config.Labels.hasBundle
}

// labels records whether the labels of a config make a bundle, without keeping them.
type labels struct{ hasBundle bool }

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
		l.hasBundle = l.hasBundle || key == Label
	}
	return nil
}
