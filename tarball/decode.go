package tarball

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unique"

	"relocate/bundle"
	"relocate/report"
)

// errUnreadable says that reading relocate.json failed. Its content may be right.
var errUnreadable = errors.New("cannot be read")

// decodeInventory reads an inventory in its one legal spelling, a line at a time. When one breaks a
// limit, it keeps at most the limit and a line in memory.
func decodeInventory(r io.Reader) (*inventory, error) {
	inv := &inventory{}
	d := &decoder{r: bufio.NewReaderSize(r, 1<<16)}
	for _, part := range []func() error{
		d.format,
		func() error { return decodeList(d, "roots", maxRoots, ",", &inv.Roots, one[bundle.Pin]) },
		func() error { return decodeList(d, "pins", maxPins, ",", &inv.Pins, one[bundle.Pin]) },
		func() error {
			return decodeList(d, "manifests", maxManifests, ",", &inv.Manifests, (*manifestEntry).compact)
		},
		func() error {
			return decodeList(d, "attachments", maxPins, ",", &inv.Attachments, one[bundle.Attachment])
		},
		func() error { return decodeList(d, "unseen", maxPins, ",", &inv.Unseen, one[bundle.Unseen]) },
		func() error { return decodeList(d, "omitted", maxBlobs, ",", &inv.Omitted, compactOmitted) },
		func() error {
			return decodeOptional(d, "bases", maxRoots, &inv.Bases, func(b *bundle.Base) int { return 1 + len(b.Roots) })
		},
		func() error {
			return decodeOptional(d, "assumed", maxBlobs-omittedWeight*len(inv.Omitted), &inv.Assumed, one[bundle.Assumed])
		},
		func() error {
			return decodeOptional(d, "lock", maxPins, &inv.Lock, func(e *lockEntry) int { return 1 + len(e.Annotations) })
		},
		func() error {
			return decodeList(d, "blobs", maxBlobs-omittedWeight*len(inv.Omitted)-len(inv.Assumed), "}", &inv.Blobs, one[blobEntry])
		},
		d.end,
	} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return inv, nil
}

// decoder reads the lines of an inventory.
type decoder struct {
	r   *bufio.Reader
	buf []byte // of the line
}

// line returns the next line without its line feed. It is valid until the next call.
func (d *decoder) line() ([]byte, error) {
	d.buf = d.buf[:0]
	for {
		part, err := d.r.ReadSlice('\n')
		switch d.buf = append(d.buf, part...); {
		case len(d.buf) > maxElement+len("]}\n"):
			return nil, fmt.Errorf("has a line of more than %d bytes", maxElement)
		case err == nil:
			return d.buf[:len(d.buf)-1], nil
		case err == io.EOF:
			return nil, errors.New("ends too early")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: %w", errUnreadable, err)
		}
	}
}

func (d *decoder) format() error {
	b, err := d.line()
	if err != nil {
		return err
	}
	var format int
	if _, err := fmt.Sscanf(string(b[:min(len(b), 40)]), `{"format":%d,`, &format); err != nil {
		return fmt.Errorf("begins with %.80q", b)
	}
	if format != formatVersion {
		return fmt.Errorf("has format %d; this program reads format %d", format, formatVersion)
	}
	if string(b) != fmt.Sprintf(`{"format":%d,`, format) {
		return fmt.Errorf("begins with %.80q, which is not written as relocate writes it", b)
	}
	return nil
}

// decodeOptional reads a list that is present only when it is not empty.
func decodeOptional[T any](d *decoder, key string, limit int, list *[]T, weigh func(e *T) int) error {
	begin := fmt.Sprintf("%q:[", key)
	if b, err := d.r.Peek(len(begin)); err != nil || string(b) != begin {
		return nil // what follows is read next, and says what is wrong
	}
	err := decodeList(d, key, limit, ",", list, weigh)
	if err == nil && len(*list) == 0 {
		err = fmt.Errorf("has an empty list %s", key)
	}
	return err
}

// end checks that nothing follows.
func (d *decoder) end() error {
	switch b, err := d.r.Peek(1); {
	case len(b) > 0:
		return errors.New("has something after its end")
	case err != io.EOF:
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return nil
}

// decodeList reads the list called key and the text after it. weigh returns how much of limit an
// element takes.
func decodeList[T any](d *decoder, key string, limit int, after string, list *[]T, weigh func(e *T) int) error {
	b, err := d.line()
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	rest, found := bytes.CutPrefix(b, fmt.Appendf(nil, "%q:[", key))
	isEmpty := string(rest) == "]"+after
	if !found || (len(rest) > 0 && !isEmpty) {
		return fmt.Errorf("has %.80q where the list %s belongs", b, key)
	}
	held := 0
	for more := !isEmpty; more; {
		var e T
		if more, err = decodeElement(d, after, &e); err != nil {
			return fmt.Errorf("%s[%d]: %w", key, len(*list), err)
		}
		if held += weigh(&e); held > limit {
			return overLimit(key, limit)
		}
		*list = append(*list, e)
	}
	return nil
}

// decodeElement reads the line of an element. more reports whether another element follows.
func decodeElement(d *decoder, after string, e any) (more bool, err error) {
	b, err := d.line()
	if err != nil {
		return false, err
	}
	text, isLast := bytes.CutSuffix(b, []byte("]"+after))
	if !isLast {
		if text, more = bytes.CutSuffix(b, []byte(",")); !more {
			return false, errors.New("has no comma after it")
		}
	}
	if err := json.Unmarshal(text, e); err != nil {
		return false, fmt.Errorf("%.300s", err.Error()) // the text may quote all of the line
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(again, text) {
		return false, errors.New("is not written as relocate writes it")
	}
	return more, nil
}

func overLimit(key string, limit int) error {
	switch key {
	case "manifests":
		key += " and references"
	case "omitted", "assumed", "blobs":
		return fmt.Errorf("more blobs than an archive can have (%d), with those that it leaves out", maxBlobs)
	case "bases":
		key += " and roots of them"
	}
	return fmt.Errorf("more %s than an archive can have (%d)", key, limit)
}

func one[T any](*T) int { return 1 }

// compactOmitted makes blobs that are left out share equal strings, and returns how much of the limit o
// takes.
func compactOmitted(o *report.Omitted) int {
	for _, s := range []*string{&o.MediaType, &o.Image, &o.Reason, &o.Platform} {
		*s = unique.Make(*s).Value()
	}
	return omittedWeight
}

// compact makes manifests share equal strings, and returns how much of the limit m takes.
func (m *manifestEntry) compact() int {
	m.MediaType, m.From = unique.Make(m.MediaType).Value(), unique.Make(m.From).Value()
	return 1 + len(m.References)
}
