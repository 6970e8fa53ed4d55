package main

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"
)

// isTerminal reports whether what is written to w is shown on a terminal.
func isTerminal(w io.Writer) bool {
	switch w := w.(type) {
	case *resultWriter:
		return isTerminal(w.w)
	case *painter:
		return true
	case *os.File:
		return term.IsTerminal(int(w.Fd()))
	}
	return false
}

// painted returns w with colours where it is a terminal that shows them and they are not turned
// off: by NO_COLOR (https://no-color.org), or by --color=false, which is imgpkg's.
func painted(w io.Writer, args []string) io.Writer {
	declined := os.Getenv("NO_COLOR") != "" || slices.Contains(args, "--color=false")
	if declined || os.Getenv("TERM") == "dumb" || runtime.GOOS == "windows" || !isTerminal(w) {
		return w
	}
	return &painter{w: w}
}

// painter colours the words with which lines begin.
type painter struct {
	w      io.Writer
	mu     sync.Mutex
	inLine bool // the last line is not complete
}

// Terminal returns the terminal behind p.
func (p *painter) Terminal() io.Writer { return p.w }

// colours are the SGR parameters (ECMA-48) of the words that are coloured.
var colours = []struct{ word, sgr string }{
	{"OK:", "32"}, {"NOT OK:", "1;31"}, {"NOT CLOSED:", "33"}, {"relocate:", "1;31"}, {"failed:", "1;31"},
	{"warning:", "33"}, {"note:", "36"}, {"hint:", "36"}, {"kept:", "36"},
}

// Write implements io.Writer.
func (p *painter) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out bytes.Buffer
	for l := range strings.Lines(string(b)) {
		if !p.inLine {
			for _, c := range colours {
				if rest, ok := strings.CutPrefix(l, c.word); ok {
					l = "\x1b[" + c.sgr + "m" + c.word + "\x1b[0m" + rest
					break
				}
			}
		}
		out.WriteString(l)
		p.inLine = !strings.HasSuffix(l, "\n") && !strings.HasSuffix(l, "\r")
	}
	if _, err := p.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}
