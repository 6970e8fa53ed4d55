// Package text writes text for people: counts, sizes, and foreign text that a terminal or a page only shows.
package text
