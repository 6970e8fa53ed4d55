package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"relocate/internal/text"
)

// MaxSize is the limit in bytes on a manifest, index or config: far above real ones, and small
// enough for every job to hold one in memory.
const MaxSize = 4 << 20

// Limits on a document.
const (
	maxNesting = 64     // levels
	maxItems   = 50_000 // items of a list
)

// checkJSON is CheckJSON for a document of limited size.
func checkJSON(raw []byte) error {
	if len(raw) > MaxSize {
		return fmt.Errorf("has %d bytes, more than the limit of %d", len(raw), MaxSize)
	}
	return CheckJSON(raw)
}

// CheckJSON refuses documents that two readers may understand differently, and those that exhaust a
// reader: duplicate keys (ignoring case, as Go's decoder does), bytes that are not UTF-8, more than
// one value, deep nesting, very long lists.
func CheckJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := checkValue(d, 0, false); err != nil {
		return text.Error(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has something after the end of its JSON")
	}
	return nil
}

// checkValue reads one value of d. When free is set, keys may differ in case
// only: users choose them.
func checkValue(d *json.Decoder, depth int, free bool) error {
	t, err := d.Token()
	delim, nested := t.(json.Delim)
	if err != nil || !nested {
		return err
	}
	if depth == maxNesting {
		return fmt.Errorf("is nested more than %d deep", maxNesting)
	}
	keys := map[string]bool{}
	for n := 0; d.More(); n++ {
		key := ""
		switch {
		case delim == '{':
			if t, err = d.Token(); err != nil {
				return err
			}
			key, _ = t.(string) // a key is always a string
			folded := key
			if !free {
				folded = strings.ToLower(strings.ToUpper(key)) // as encoding/json: ſ is s too
			}
			if keys[folded] {
				return fmt.Errorf("has the key %s twice", text.Quote(key))
			}
			keys[folded] = true
		case n == maxItems:
			return fmt.Errorf("has a list of more than %d", maxItems)
		}
		if err := checkValue(d, depth+1, key == "annotations"); err != nil {
			return err
		}
	}
	_, err = d.Token() // the end
	return err
}
