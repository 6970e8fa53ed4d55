package imgpkg

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
)

// maxRepacked is the limit on the layer of a bundle that is changed, in bytes unpacked.
const maxRepacked = 64 << 20

// Repack builds a bundle like the one with a config and a layer, but with some files changed to others
// of the same size: change returns the new content of a file, or nil to leave it. All else in the layer
// stays byte for byte. The layer is stored as that of BuildStored. The labels are those of the config,
// but for those of relocate, and the given ones.
func Repack(config []byte, layer io.Reader, change func(path string, data []byte) ([]byte, error), labels map[string]string) (*Image, error) {
	diff, err := unpack(layer)
	if err != nil {
		return nil, err
	}
	if err := changeFiles(diff, change); err != nil {
		return nil, err
	}
	all := allLabels(config)
	for _, key := range []string{LabelDerivedFrom, LabelChoice, LabelPlatforms} {
		delete(all, key)
	}
	maps.Copy(all, labels)
	return buildLayer(diff, all, store)
}

// unpack returns the tar of a layer.
func unpack(layer io.Reader) ([]byte, error) {
	zr, err := gzip.NewReader(layer)
	if err != nil {
		return nil, fmt.Errorf("layer is not gzip: %w", err)
	}
	diff, err := io.ReadAll(io.LimitReader(zr, maxRepacked+1))
	if err != nil {
		return nil, err
	}
	if len(diff) > maxRepacked {
		return nil, fmt.Errorf("layer unpacks to more than %d bytes", maxRepacked)
	}
	return diff, nil
}

// changeFiles changes files of a tar in place.
func changeFiles(diff []byte, change func(path string, data []byte) ([]byte, error)) error {
	r := bytes.NewReader(diff)
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer is no tar: %w", err)
		}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag != tar.TypeReg || h.Size > yamlnode.MaxSize {
			continue
		}
		at := len(diff) - r.Len() // where its content begins: the reader does not read ahead
		data := diff[at : at+int(h.Size)]
		to, err := change(p, data)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", text.Quote(p), err)
		case to == nil:
		case len(to) != len(data):
			return fmt.Errorf("%s: has %d bytes, and would have %d", text.Quote(p), len(data), len(to))
		default:
			copy(data, to)
		}
	}
}

// allLabels returns the labels of a config that are texts.
func allLabels(raw []byte) map[string]string {
	var config struct {
		Config struct {
			Labels map[string]json.RawMessage `json:"Labels"`
		} `json:"config"`
	}
	list := map[string]string{}
	if json.Unmarshal(raw, &config) != nil {
		return list
	}
	for key, value := range config.Config.Labels {
		var s string
		if json.Unmarshal(value, &s) == nil {
			list[key] = s
		}
	}
	return list
}
