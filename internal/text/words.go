package text

import (
	"fmt"
	"strings"
)

// Size writes bytes for people: "2.7 GB".
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.95 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTPE"[unit])
}

// Count writes a number and its noun: "1 blob", "2 blobs", "2 layers and configs".
func Count(n int, noun string) string {
	one, other, two := strings.Cut(noun, " and ")
	switch {
	case two:
		return Count(n, one) + " and " + strings.TrimPrefix(Count(n, other), fmt.Sprint(n, " "))
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ex"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
