package ytt_test

import (
	"testing"

	"relocate/render/ytt"
)

// BenchmarkRun measures what a child costs: an input without files.
func BenchmarkRun(b *testing.B) {
	by := program(b)
	for b.Loop() {
		if _, err := ytt.Run(b.Context(), by, ytt.Input{}); err != nil {
			b.Fatal(err)
		}
	}
}
