// Package text writes text for people: counts, sizes, and foreign text made safe for a terminal or
// a page.
package text
