package carvel

import (
	"bytes"
	"strings"

	"relocate/internal/yamlnode"
)

// lineOf returns the first line of text that contains s, counted from 1; 0 for none.
func lineOf(text []byte, s string) int {
	before, _, found := bytes.Cut(text, []byte(s))
	if !found {
		return 0
	}
	return 1 + bytes.Count(before, []byte("\n"))
}

// linesOf sets the line in the file of each key of words that doc contains as a word.
func linesOf(doc yamlnode.Document, words map[string]int) {
	n := 1
	for l := range bytes.Lines(doc.Text) {
		if !bytes.HasPrefix(bytes.TrimSpace(l), []byte("#")) {
			for word := range bytes.FieldsFuncSeq(l, func(r rune) bool { return strings.ContainsRune(" \t\r\n'\"{}[],", r) }) {
				if known, wanted := words[string(word)]; wanted && known == 0 {
					words[string(word)] = doc.LineOf(n)
				}
			}
		}
		n++
	}
}
