// Package heap decides how much the heap grows before memory is collected.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Growth is how much the heap may grow between two collections. Go's own measure is a percentage alone: a
// small one takes time for nothing while the heap is small, a large one wastes memory when it is large.
type Growth struct {
	Bytes       int64 // about so many
	Least, Most int   // but so many percent of what is in use
}

// Set applies g to this process, for good.
func (g Growth) Set() {
	g.apply()
	g.afterNext()
}

// afterNext applies g after the next collection, and after all later ones.
func (g Growth) afterNext() {
	runtime.SetFinalizer(new(collected), func(*collected) {
		g.apply()
		g.afterNext()
	})
}

// collected is what nothing refers to: its finalizer runs after the next collection.
type collected struct{ _ *int }

func (g Growth) apply() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(g.percent(live[0].Value.Uint64()))
}

// percent returns the percentage for a number of bytes in use.
func (g Growth) percent(live uint64) int {
	return min(max(int(g.Bytes*100/int64(max(live, 1))), g.Least), g.Most)
}
