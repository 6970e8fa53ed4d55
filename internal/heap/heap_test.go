package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPercent(t *testing.T) {
	g := Growth{Bytes: 8 << 20, Least: 50, Most: 200}
	for live, want := range map[uint64]int{0: 200, 1 << 20: 200, 4 << 20: 200, 8 << 20: 100, 16 << 20: 50, 1 << 40: 50} {
		assert.Equal(t, want, g.percent(live), "%d bytes", live)
	}
}

// TestSet: each collection decides how much the heap may grow until the next one.
func TestSet(t *testing.T) {
	before := debug.SetGCPercent(10_000)
	g := Growth{Bytes: 32 << 20, Least: 1, Most: 10_000}
	g.Set()
	var used [][]byte
	for range 3 {
		used = append(used, make([]byte, 32<<20)) // so that at most 100 percent are allowed, then 50, then 33
		most := 100 / len(used)
		for tries := 0; percentNow() > most; tries++ {
			require.Less(t, tries, 10_000)
			runtime.GC()
			runtime.Gosched() // to the finalizer
		}
	}
	runtime.KeepAlive(used)
	debug.SetGCPercent(before)
}

func percentNow() int {
	now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	return int(now[0].Value.Uint64())
}
