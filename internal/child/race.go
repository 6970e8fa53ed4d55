//go:build race

package child

// raceDetector says that the race detector is built in. It maps more than any limit of memory.
const raceDetector = true

// environment is what a child's begins with: the race detector waits a second before it ends.
var environment = []string{"GORACE=atexit_sleep_ms=0"}
