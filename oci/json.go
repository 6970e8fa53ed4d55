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

// MaxSize is the size in bytes of the largest manifest, index or config that is read: far more than any real one has,
// and little enough to be held in memory by every worker.
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

// CheckJSON refuses what two readers of a document may read in two ways, or what none should try to:
// a key twice (in another case, too, as Go's decoder and others take the one for the other), bytes
// that are no text, more than one value, deep nesting, very long lists.
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

// checkValue reads one value of d. The keys of free are names that somebody chose, which may differ in
// case only.
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
			key, _ = t.(string) // Token gives no other keys
			folded := key
			if !free {
				folded = strings.ToLower(strings.ToUpper(key)) // as encoding/json: ſ is s, too
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
