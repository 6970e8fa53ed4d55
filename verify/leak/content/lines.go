package content

import "bytes"

// finder finds the lines of text in a string that is folded or quoted over several lines. The
// parser returns only the line where the string starts.
type finder struct {
	file       *File
	next, last int // the range of lines to search
	lost       bool
}

// from returns a finder for a string of n bytes that starts at line.
func (f *File) from(line, n int) *finder {
	return &finder{file: f, next: line, last: min(line+n+1, f.lineCount())}
}

// find returns the first line that has text, starting from the line found last. When no line has
// it, the text is escaped or folded, and find returns the last line found from then on.
func (f *finder) find(text string) int {
	if f.lost {
		return f.next
	}
	for line := f.next; line <= f.last; line++ {
		if bytes.Contains(f.file.line(line), []byte(text)) {
			f.next = line
			return line
		}
	}
	f.lost = true
	return f.next
}

// lineCount returns the number of lines of the file.
func (f *File) lineCount() int {
	f.cut()
	return len(f.starts)
}

// line returns a line, counted from 1.
func (f *File) line(n int) []byte {
	f.cut()
	if n < 1 || n > len(f.starts) {
		return nil
	}
	end := len(f.Data)
	if n < len(f.starts) {
		end = int(f.starts[n])
	}
	return f.Data[f.starts[n-1]:end]
}

// cut finds the offsets where the lines start.
func (f *File) cut() {
	if f.starts != nil {
		return
	}
	f.starts = make([]int32, 1, 1+bytes.Count(f.Data, []byte("\n")))
	for i, c := range f.Data { // at most yamlnode.MaxSize bytes
		if c == '\n' && i+1 < len(f.Data) {
			f.starts = append(f.starts, int32(i+1))
		}
	}
}
