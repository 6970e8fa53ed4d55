// Package inventory lists what a repository or an archive has: digests and sizes, as text that a person
// can read at the gate. Whoever exports the next archive leaves out the layers that it lists.
//
// Start with Of and Read. The text says nothing else: no names, hosts, times or content. The same content
// gives the same text:
//
//	relocate inventory 1
//	root sha256:<hex> <size in bytes>
//	manifest sha256:<hex> <size>
//	blob sha256:<hex> <size>
//	end <number of the lines between>
//
// Roots come first: manifests that have a tag of their own, or that an archive was made of. Then come all
// other manifests, then configs and layers. Each kind is sorted by digest, and each digest is listed once.
package inventory

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/digest"
	"relocate/internal/text"
)

// Kind is the kind of an entry.
type Kind string

// The kinds, in the order of the text.
const (
	Root     Kind = "root"     // a manifest that is named
	Manifest Kind = "manifest" // any other manifest
	Blob     Kind = "blob"     // a config or a layer
)

var kinds = []Kind{Root, Manifest, Blob}

// Entry is a line.
type Entry struct {
	Kind   Kind
	Digest v1.Hash
	Size   int64 // bytes
}

// entry is an Entry that takes less memory.
type entry struct {
	sum  digest.Sum
	size int64
}

// Inventory is a list of digests. It takes about 50 bytes of memory for each.
type Inventory struct {
	list [3][]entry // by the place of the kind in kinds; sorted
}

// maxEntries is how many lines an inventory may have.
const maxEntries = 1_000_000

// New returns the inventory of entries. A digest that occurs twice is listed once, as the first of its
// kinds. Digests of algorithms other than SHA-256 are left out: no archive has them.
//
// Errors: more entries than an inventory can have.
func New(entries iter.Seq[Entry]) (*Inventory, error) {
	i := &Inventory{}
	n, limit := 0, minSorted
	for e := range entries {
		sum, ok := digest.SumOf(e.Digest)
		if !ok {
			continue
		}
		k := slices.Index(kinds, e.Kind)
		i.list[k] = append(i.list[k], entry{sum, e.Size})
		if n++; n >= limit { // most may be repetitions
			i.sort()
			n = i.Len()
			if limit = max(2*n, minSorted); n > maxEntries {
				break
			}
		}
	}
	i.sort()
	if i.Len() > maxEntries {
		return nil, fmt.Errorf("more than %d digests, the limit of an inventory", maxEntries)
	}
	return i, nil
}

// minSorted is how many entries New holds before it looks for repetitions.
const minSorted = 1 << 16

// sort sorts the entries, and drops repetitions.
func (i *Inventory) sort() {
	for k := range i.list {
		slices.SortFunc(i.list[k], func(a, b entry) int { return cmp.Or(bytes.Compare(a.sum[:], b.sum[:]), cmp.Compare(a.size, b.size)) })
		i.list[k] = slices.CompactFunc(i.list[k], func(a, b entry) bool { return a.sum == b.sum })
		i.list[k] = slices.DeleteFunc(i.list[k], func(e entry) bool {
			return slices.ContainsFunc(i.list[:k], func(before []entry) bool { _, found := find(before, e.sum); return found })
		})
	}
}

// Of returns the inventory of what a repository has once the plan was copied into it: what the plan
// assumes is listed, too.
//
// Errors: as New.
func Of(plan *bundle.Plan) (*Inventory, error) {
	return New(func(yield func(Entry) bool) {
		for _, root := range plan.Graph.Roots {
			if n := plan.Graph.Node(root.Digest); n != nil && !yield(Entry{Root, root.Digest, n.Descriptor.Size}) {
				return
			}
		}
		for _, b := range plan.Blobs {
			kind := Blob
			if b.IsManifest {
				kind = Manifest
			}
			if !yield(Entry{kind, b.Descriptor.Digest, b.Descriptor.Size}) {
				return
			}
		}
		for _, a := range plan.Assumed {
			if !yield(Entry{Blob, a.Digest, a.Size}) {
				return
			}
		}
	})
}

// Len returns the number of entries.
func (i *Inventory) Len() int { return len(i.list[0]) + len(i.list[1]) + len(i.list[2]) }

// All returns the entries, in the order of the text.
func (i *Inventory) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for k, list := range i.list {
			for _, e := range list {
				if !yield(Entry{kinds[k], e.sum.Hash(), e.size}) {
					return
				}
			}
		}
	}
}

// Has reports whether d is listed with its size, as a config or a layer.
func (i *Inventory) Has(d v1.Descriptor) bool {
	sum, ok := digest.SumOf(d.Digest)
	at, found := find(i.list[2], sum)
	return ok && found && i.list[2][at].size == d.Size
}

func find(list []entry, sum digest.Sum) (int, bool) {
	return slices.BinarySearchFunc(list, sum, func(e entry, s digest.Sum) int { return bytes.Compare(e.sum[:], s[:]) })
}

// Base returns the inventory as a base of a plan.
func (i *Inventory) Base() bundle.Base {
	return bundle.Base{Kind: bundle.BaseInventory, Digest: i.Digest(), Has: i.Has}
}

// Digest returns the SHA-256 of the text.
func (i *Inventory) Digest() v1.Hash {
	h := sha256.New()
	_ = i.Write(h) // which cannot fail
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

const firstLine = "relocate inventory 1"

// Write writes the text.
func (i *Inventory) Write(w io.Writer) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintln(bw, firstLine)
	for e := range i.All() {
		fmt.Fprintf(bw, "%s %s %d\n", e.Kind, e.Digest, e.Size)
	}
	fmt.Fprintf(bw, "end %d\n", i.Len())
	return bw.Flush()
}

// ErrNotInventory says that a file is not an inventory.
var ErrNotInventory = errors.New("is not an inventory of relocate")

// maxLine is the limit on a line in bytes.
const maxLine = 128

// Read reads the text of an inventory. Lines may end in a carriage return and a line feed, as a transfer
// may leave them.
//
// Errors: ErrNotInventory, with the line that is wrong; those of r.
func Read(r io.Reader) (*Inventory, error) {
	p := &parser{lines: bufio.NewScanner(r), read: &Inventory{}}
	p.lines.Buffer(make([]byte, 0, maxLine), maxLine)
	if line, ok := p.next(); !ok || line != firstLine {
		if err := p.lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it does not begin with the line %q", ErrNotInventory, firstLine)
	}
	for {
		line, ok := p.next()
		if !ok {
			return nil, p.ended()
		}
		if n, isEnd := strings.CutPrefix(line, "end "); isEnd {
			return p.finish(n)
		}
		if err := p.entry(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrNotInventory, p.line, err)
		}
	}
}

// parser is one Read.
type parser struct {
	lines *bufio.Scanner
	line  int // number of the last one
	kind  int // of the last entry
	read  *Inventory
}

func (p *parser) next() (string, bool) {
	ok := p.lines.Scan()
	p.line++
	return p.lines.Text(), ok
}

// ended says why there is no further line, which there must be.
func (p *parser) ended() error {
	switch err := p.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%w: line %d has more than %d bytes", ErrNotInventory, p.line, maxLine)
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: it is cut off after line %d: the last line must be \"end\" and the number of entries", ErrNotInventory, p.line-1)
}

// entry reads the line of an entry.
func (p *parser) entry(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	of, size, _ := strings.Cut(rest, " ")
	k := slices.Index(kinds, Kind(word))
	hash, err := v1.NewHash(of)
	sum, ok := digest.SumOf(hash)
	n, sizeErr := strconv.ParseInt(size, 10, 64)
	if k < 0 || err != nil || !ok || sizeErr != nil || n < 0 || line != fmt.Sprintf("%s %s %d", word, hash, n) {
		return fmt.Errorf("%s is not a kind, a digest and a size", text.Quote(line))
	}
	list := p.read.list[k]
	if k < p.kind || len(list) > 0 && bytes.Compare(list[len(list)-1].sum[:], sum[:]) >= 0 {
		return errors.New("the entries are not in order")
	}
	if p.read.Len() == maxEntries {
		return fmt.Errorf("more than %d entries, the limit of an inventory", maxEntries)
	}
	p.kind = k
	p.read.list[k] = append(list, entry{sum, n})
	return nil
}

// finish compares the number of entries with the last line's, after which nothing follows.
func (p *parser) finish(n string) (*Inventory, error) {
	if n != strconv.Itoa(p.read.Len()) {
		return nil, fmt.Errorf("%w: line %d says %s entries, but there are %d", ErrNotInventory, p.line, text.Quote(n), p.read.Len())
	}
	if _, more := p.next(); more || p.lines.Err() != nil {
		return nil, fmt.Errorf("%w: line %d follows its end", ErrNotInventory, p.line)
	}
	return p.read, nil
}
