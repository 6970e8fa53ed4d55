package choose_test

import (
	"os"
	"testing"

	"relocate/render/ytt"
)

// TestMain lets the test binary be the program that renders.
func TestMain(m *testing.M) {
	ytt.Hook()
	os.Exit(m.Run())
}
