package custody

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Limits on a file of receipts: in bytes, and in lines.
const (
	MaxReceipts = 64 << 20
	maxLines    = 50_000
)

// Chain is a file of receipts, a line each: a sigstore bundle, or the statement alone if nobody signed it. Each
// receipt names the line before it by its SHA-256, so what was removed, changed or moved shows in the lines after
// it. What is after the last line does not show: nothing says how many there were.
type Chain struct {
	Lines []Line
	Torn  bool // the last line has no line feed and is no bundle: its writer was cut off
}

// Line is a line of a file of receipts.
type Line struct {
	Number  int
	Digest  v1.Hash  // SHA-256 of the line, without its line feed
	Receipt *Receipt // nil for what is none, which is kept and skipped
	Bare    bool     // nobody signed it: the line is the statement itself
	Type    string   // type of the predicate; empty for what is no attestation
	Depth   int      // how many forks are above it: where two receipts name the same one before them

	Signer    *Signer // nil: nobody who is trusted, or no trust was given
	Untrusted error   // why a receipt counts as signed by nobody
	Problem   string  // what is wrong with the chain here; empty for nothing
	Note      string  // what else is to be known

	latest time.Time // that it or a line before it claims
}

func sum(b []byte) v1.Hash {
	d := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(d[:])}
}

// Broken reports whether something was removed, changed, moved or copied.
func (c *Chain) Broken() bool {
	for _, l := range c.Lines {
		if l.Problem != "" {
			return true
		}
	}
	return false
}

// Untrusted reports whether a receipt is signed by nobody who is trusted.
func (c *Chain) Untrusted() bool {
	for _, l := range c.Lines {
		if l.Untrusted != nil {
			return true
		}
	}
	return false
}

// Head returns the SHA-256 of the last line that is whole, which the next receipt names; zero for none.
func Head(raw []byte) v1.Hash {
	end := bytes.LastIndexByte(raw, '\n')
	if tail := raw[end+1:]; len(tail) > 0 && isWhole(tail) {
		return sum(tail)
	}
	if end < 0 {
		return v1.Hash{}
	}
	return sum(raw[bytes.LastIndexByte(raw[:end], '\n')+1 : end])
}

// split returns the lines that end with a line feed, without it, and what follows the last one; nil for
// nothing.
func split(raw []byte) (lines [][]byte, tail []byte) {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return lines, raw
		}
		lines, raw = append(lines, raw[:i]), raw[i+1:]
	}
	return lines, nil
}

// isWhole reports whether a line is a bundle, or a statement that nobody signed.
func isWhole(line []byte) bool {
	_, err := ParseBundle(line)
	return err == nil || isStatement(line) && json.Valid(line)
}

// isStatement reports whether a line begins as a receipt that nobody signed.
func isStatement(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"_type":`)) }

// ReadChain reads the receipts in a file, which is called name in messages. seal is that of the archive
// that they must be about; zero: the one of the first receipt. With trust, each must be signed, at the time
// that it claims, by a key that is trusted for receipts; nil: no signature is checked. It fails for no
// content of limited size: what is wrong is in the lines.
//
// Errors: ErrMalformed for a file that breaks a limit.
func ReadChain(name string, raw []byte, seal v1.Hash, trust *Trust, now time.Time) (*Chain, error) {
	if n := bytes.Count(raw, []byte{'\n'}); len(raw) > MaxReceipts || n > maxLines {
		return nil, fmt.Errorf("%s: %w: it has more than %d bytes or %d lines", name, ErrMalformed, MaxReceipts, maxLines)
	}
	lines, tail := split(raw)
	c := &Chain{Torn: tail != nil && !isWhole(tail)}
	if tail != nil && !c.Torn {
		lines = append(lines, tail)
	}
	for i, line := range lines {
		l := Line{Number: i + 1, Digest: sum(line)}
		l.read(line)
		if trust != nil && l.Type != "" {
			l.verify(Signature{File: fmt.Sprintf("line %d of %s", l.Number, name), Raw: line}, trust, now)
		}
		c.Lines = append(c.Lines, l)
	}
	c.connect(seal, now)
	return c, nil
}

// read reads what the line says.
func (l *Line) read(line []byte) {
	if l.Bare = isStatement(line) && len(line) <= MaxBundle; l.Bare {
		l.readStatement(line)
		return
	}
	b, err := ParseBundle(line)
	if err == nil && b.Envelope == nil {
		err = errors.New("it is the signature of a file")
	}
	if err != nil {
		l.Note = fmt.Sprintf("it is no receipt, or a part of one: %v", err)
		return
	}
	if b.Envelope.PayloadType != StatementType {
		l.Note = "it is an attestation of another kind"
		return
	}
	l.readStatement(b.Statement())
}

// readStatement reads a statement.
func (l *Line) readStatement(raw []byte) {
	var err error
	l.Receipt, l.Type, err = ParseReceipt(raw)
	switch {
	case errors.Is(err, ErrReceipt):
		l.Problem = err.Error()
	case err != nil:
		l.Note = fmt.Sprintf("it is no receipt: %v", err)
	case l.Receipt == nil:
		l.Note = "it is an attestation by another program"
	}
}

// verify finds out who signed the line. An attestation of another program may be signed by anybody.
func (l *Line) verify(s Signature, trust *Trust, now time.Time) {
	if l.Bare {
		if l.Receipt != nil || l.Problem != "" {
			l.Untrusted = Untrustedf("%s is not signed", s.File)
		}
		return
	}
	at := now
	if l.Receipt != nil && l.Receipt.Time.Before(now) { // a key may have ended since
		at = l.Receipt.Time
	}
	_, signer, err := trust.VerifyStatement(s, ReceiptNamespace, at)
	switch {
	case err == nil:
		l.Signer = &signer
	case l.Receipt != nil || l.Problem != "":
		l.Untrusted = err
	default:
		l.Note += ", signed by nobody who is trusted"
	}
}

// maxAhead is how far ahead the clock of a signer may be.
const maxAhead = 24 * time.Hour

// connect follows what each receipt says of the one before it.
func (c *Chain) connect(seal v1.Hash, now time.Time) {
	at := map[v1.Hash]int{} // first line with the digest
	for i := len(c.Lines) - 1; i >= 0; i-- {
		at[c.Lines[i].Digest] = i
	}
	children := map[int]int{}
	isFirst := true
	for i := range c.Lines {
		l := &c.Lines[i]
		if first := at[l.Digest]; first < i {
			l.Problem = fmt.Sprintf("it is the same as line %d: it was copied", first+1)
			continue
		}
		if l.Receipt == nil {
			continue
		}
		if seal.Hex == "" {
			seal = l.Receipt.Seal
		}
		l.latest = l.Receipt.Time
		switch before, ok := at[l.Receipt.Previous]; {
		case l.Receipt.Seal != seal:
			l.Problem = fmt.Sprintf("it is about another archive, with the seal %s", l.Receipt.Seal)
		case l.Receipt.Time.After(now.Add(maxAhead)):
			l.Problem = fmt.Sprintf("it claims the time %s, which is still to come: a clock was wrong", l.Receipt.Time.UTC().Format(time.RFC3339))
		case l.Receipt.Previous.Hex == "":
			if !isFirst {
				l.Note = "it names none before it, and begins a chain of its own"
			}
		case !ok:
			l.Problem = fmt.Sprintf("it names a receipt before it that is not here (%s): a line was removed or changed",
				l.Receipt.Previous)
		case before >= i:
			l.Problem = fmt.Sprintf("it names line %d as the one before it: the order was changed", before+1)
		default:
			l.follow(&c.Lines[before], children[before])
			children[before]++
		}
		isFirst = false
	}
}

// follow places the line below the one that it names, after others that name it, too.
func (l *Line) follow(before *Line, others int) {
	if l.Depth = before.Depth; others > 0 {
		l.Depth++
		l.Note = fmt.Sprintf("it names line %d before it, as another one does: two copies of the file were continued from there",
			before.Number)
	}
	if before.latest.After(l.latest) {
		l.latest = before.latest
	}
	if before.Receipt != nil && l.Receipt.Time.Before(before.Receipt.Time) {
		l.Note = fmt.Sprintf("it claims an earlier time than line %d, which it names before it", before.Number)
	}
}
