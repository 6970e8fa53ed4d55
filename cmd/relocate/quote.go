package main

import "relocate/internal/text"

// Text for people, under the short names that nearly every message uses.
var (
	printable     = text.Printable
	printableJSON = text.PrintableJSON
	line          = text.Line
	count         = text.Count
	size          = text.Size
)
