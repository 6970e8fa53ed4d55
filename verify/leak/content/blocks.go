package content

import (
	"bytes"
	"regexp"
	"strings"
)

// blocks are the lines of a template that conditions govern.
type blocks struct {
	dead  map[int]bool // lines that no values bring out, from 1
	maybe map[int]bool // lines that come out for some values only, or whose condition is not understood
}

func (b *blocks) add(line int, dead, maybe bool) {
	if dead {
		b.dead[line] = true
	} else if maybe {
		b.maybe[line] = true
	}
}

// block is a statement that is open.
type block struct {
	dead, maybe bool // its lines

	branches  bool // it is an if
	taken     bool // a branch before is always taken
	chosen    bool // a branch before is taken with the default values
	undecided bool // a branch before may be taken with the default values
}

// stack holds the open statements, the innermost last.
type stack []block

// top returns the innermost statement.
func (s stack) top() block {
	if len(s) == 0 {
		return block{}
	}
	return s[len(s)-1]
}

// loop opens a loop over a list. c tells whether something is in it.
func (s *stack) loop(c truth) {
	*s = append(*s, block{dead: s.top().dead, maybe: s.top().maybe || !c.holds()})
}

// function opens a function.
func (s *stack) function(called bool) {
	*s = append(*s, block{dead: s.top().dead, maybe: s.top().maybe || !called})
}

// openIf opens a condition.
func (s *stack) openIf(c truth) { s.add(block{}, c) }

// branch opens another branch of the innermost condition.
func (s *stack) branch(c truth) {
	if before := s.top(); before.branches {
		s.end()
		s.add(before, c)
	}
}

// add opens a branch after the branches before.
func (s *stack) add(before block, c truth) {
	*s = append(*s, block{
		dead:      s.top().dead || before.taken || c == never,
		maybe:     s.top().maybe || before.chosen || before.undecided || !c.holds(),
		branches:  true,
		taken:     before.taken || c == always,
		chosen:    before.chosen || c.holds(),
		undecided: before.undecided || c == unsure,
	})
}

func (s *stack) end() {
	if n := len(*s); n > 0 {
		*s = (*s)[:n-1]
	}
}

// truth is what a condition gives.
type truth int

const (
	unsure truth = iota // not understood
	never               // for no values
	always              // for all values
	no                  // with the default values
	yes                 // with the default values
)

func (t truth) holds() bool { return t == always || t == yes }

var statementForm = regexp.MustCompile(`^(if|elif|else|for|while|def|end)\b(/end\b)?\s*(.*?)\s*:?\s*$`)

var keywords = words("if elif else for while def end")

// isStatement reports whether the first word of a line is a keyword, as in statementForm, which takes much
// longer to tell.
func isStatement(code string) bool {
	end := 0
	for end < len(code) && 'a' <= code[end] && code[end] <= 'z' {
		end++
	}
	return keywords[code[:end]]
}

// countNames counts the names in a template.
func countNames(data []byte) map[string]int {
	counts := map[string]int{}
	for len(data) > 0 {
		n := 0
		for n < len(data) && inName[data[n]] {
			n++
		}
		if name := bytes.TrimLeft(data[:n], "0123456789"); len(name) > 0 {
			counts[string(name)]++
		}
		data = data[min(n+1, len(data)):]
	}
	return counts
}

// inName holds the characters of names.
var inName = func() (in [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_" {
		in[c] = true
	}
	return in
}()

var functionName = regexp.MustCompile(`^\w+`)

// yttBlocks finds the blocks of a ytt template, or of a Starlark file. Other files call the functions
// of a library.
func (e *env) yttBlocks(data []byte, isStarlark, isLibrary bool) *blocks {
	t := &yttTemplate{env: e, data: data, isLibrary: isLibrary, dead: nodeBlock{indent: -1}, maybe: nodeBlock{indent: -1}}
	b := &blocks{dead: map[int]bool{}, maybe: map[int]bool{}}
	line := 0
	for l := range bytes.Lines(data) {
		line++
		text := strings.TrimRight(string(l), "\r\n")
		code, isCode := codeOf(text, isStarlark)
		isDead, isMaybe := t.dead.covers(text), t.maybe.covers(text)
		b.add(line, isDead || t.open.top().dead, isMaybe || t.open.top().maybe)
		if isCode {
			t.statement(code)
		}
	}
	return b
}

// yttTemplate is a ytt template, or a Starlark file, of which yttBlocks has read the first lines.
type yttTemplate struct {
	*env
	data        []byte
	isLibrary   bool
	names       map[string]int // how often each is in data; nil: not counted
	open        stack
	dead, maybe nodeBlock // that annotations are for
}

// statement follows a line of code.
func (t *yttTemplate) statement(code string) {
	if strings.HasPrefix(code, "overlay/remove") {
		t.dead.next()
		return
	}
	if !isStatement(code) {
		return
	}
	m := statementForm.FindStringSubmatch(code)
	if m == nil {
		return
	}
	keyword, forNode, rest := m[1], m[2] != "", m[3]
	switch {
	case forNode:
		t.ofNode(keyword, rest)
	case keyword == "if":
		t.open.openIf(t.condition(rest))
	case keyword == "elif":
		t.open.branch(t.condition(rest))
	case keyword == "else":
		t.open.branch(always)
	case keyword == "end":
		t.open.end()
	case keyword == "for":
		_, list, _ := strings.Cut(rest, " in ")
		t.open.loop(t.condition(list))
	case strings.HasSuffix(strings.TrimSpace(code), ":"):
		t.open.function(t.isCalled(functionName.FindString(rest)))
	}
}

// ofNode follows a statement for the next node, such as "if/end".
func (t *yttTemplate) ofNode(keyword, condition string) {
	c := t.condition(condition)
	switch {
	case keyword == "if" && c == never:
		t.dead.next()
	case keyword != "if" || !c.holds():
		t.maybe.next()
	}
}

// isCalled reports whether a function may be called.
func (t *yttTemplate) isCalled(function string) bool {
	if t.isLibrary {
		return true
	}
	if t.names == nil {
		t.names = countNames(t.data)
	}
	return t.names[function] > 1
}

// codeOf returns the code of a line: what follows "#@" at its start.
func codeOf(line string, isStarlark bool) (code string, isCode bool) {
	line = strings.TrimSpace(line)
	if isStarlark {
		return line, true
	}
	code, isCode = strings.CutPrefix(line, "#@")
	return strings.TrimSpace(code), isCode
}

// nodeBlock follows the node of a YAML template that an annotation is for: the next one, with what
// is below it.
type nodeBlock struct {
	waits    bool
	indent   int // of the node; -1 for none
	document bool
	isItem   bool
}

// next makes the next node the one to follow.
func (n *nodeBlock) next() { *n = nodeBlock{waits: true, indent: -1} }

// covers reports whether a line is of the node.
func (n *nodeBlock) covers(line string) bool {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	isDocument := strings.HasPrefix(line, "---")
	switch {
	case n.waits && (text == "" || text[0] == '#'):
		return false
	case n.waits:
		*n = nodeBlock{indent: indent, document: isDocument, isItem: strings.HasPrefix(text, "-")}
		return true
	case n.indent < 0:
		return false
	case n.document && !isDocument:
		return true
	case n.document, isDocument:
	case text == "" || text[0] == '#' && indent > n.indent:
		return true
	case indent > n.indent, indent == n.indent && !n.isItem && strings.HasPrefix(text, "- "):
		return true
	}
	n.indent = -1
	return false
}

var (
	actionForm     = regexp.MustCompile(`(?s)\{\{-?\s*(.*?)\s*-?\}\}`)
	helmStatement  = regexp.MustCompile(`(?s)^(if|else if|else with|else|range|with|define|block|end)\b\s*(.*)$`)
	helmComment    = regexp.MustCompile(`(?s)^/\*.*\*/$`)
	lineBreakBytes = []byte("\n")
)

// helmBlocks finds the blocks of a template of a chart. A line is in a block when it starts in it.
func (e *env) helmBlocks(data []byte) *blocks {
	b := &blocks{dead: map[int]bool{}, maybe: map[int]bool{}}
	var open stack
	line, at := 1, 0
	upTo := func(end int) {
		for range bytes.Count(data[at:end], lineBreakBytes) {
			line++
			b.add(line, open.top().dead, open.top().maybe)
		}
		at = end
	}
	for _, m := range actionForm.FindAllSubmatchIndex(data, -1) {
		upTo(m[1])
		action := string(data[m[2]:m[3]])
		if helmComment.MatchString(action) {
			continue
		}
		switch s := helmStatement.FindStringSubmatch(action); {
		case s == nil:
		case s[1] == "if":
			open.openIf(e.condition(s[2]))
		case s[1] == "else if":
			open.branch(e.condition(s[2]))
		case s[1] == "else", s[1] == "else with":
			open.branch(always)
		case s[1] == "end":
			open.end()
		case s[1] == "range", s[1] == "with":
			_, list, isAssigned := strings.Cut(s[2], ":=")
			if !isAssigned {
				list = s[2]
			}
			open.openIf(e.condition(strings.TrimSpace(list)))
		default:
			open.function(true)
		}
	}
	upTo(len(data))
	return b
}

// withoutDead returns data without the text of dead lines.
func (b *blocks) withoutDead(data []byte) []byte {
	if len(b.dead) == 0 {
		return data
	}
	out := make([]byte, 0, len(data))
	line := 0
	for l := range bytes.Lines(data) {
		line++
		switch {
		case !b.dead[line]:
			out = append(out, l...)
		case bytes.HasSuffix(l, lineBreakBytes):
			out = append(out, '\n')
		}
	}
	return out
}
