//go:build race

package child

// raceDetector says that the race detector is built in. It maps more than any limit of memory.
const raceDetector = true
