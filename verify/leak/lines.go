package leak

import "bytes"

// finder finds the lines of what a string says, where the parser tells only the line that the string starts
// in: one that is folded or in quotes over several lines.
type finder struct {
	in         *input
	next, last int // the lines where it may stand
	lost       bool
}

// from returns a finder for a string of n bytes that starts in a line.
func (in *input) from(line, n int) *finder {
	return &finder{in: in, next: line, last: min(line+n+1, in.lineCount())}
}

// find returns the first line from the one found last on that has text. When there is none, that one is
// returned from then on: the text is written in another form.
func (f *finder) find(text string) int {
	if f.lost {
		return f.next
	}
	for line := f.next; line <= f.last; line++ {
		if bytes.Contains(f.in.line(line), []byte(text)) {
			f.next = line
			return line
		}
	}
	f.lost = true
	return f.next
}

// lineCount returns how many lines the file has.
func (in *input) lineCount() int {
	in.cut()
	return len(in.starts)
}

// line returns a line, counted from 1.
func (in *input) line(n int) []byte {
	in.cut()
	if n < 1 || n > len(in.starts) {
		return nil
	}
	end := len(in.data)
	if n < len(in.starts) {
		end = int(in.starts[n])
	}
	return in.data[in.starts[n-1]:end]
}

// cut finds out where the lines start.
func (in *input) cut() {
	if in.starts != nil {
		return
	}
	in.starts = make([]int32, 1, 1+bytes.Count(in.data, []byte("\n")))
	for i, c := range in.data { // of maxFile bytes at most
		if c == '\n' && i+1 < len(in.data) {
			in.starts = append(in.starts, int32(i+1))
		}
	}
}
