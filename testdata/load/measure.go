package main

import (
	"crypto/sha256"
	"io"
	"os"
	"time"

	"relocate/testdata/measured"
)

// cost is what a step took.
type cost struct {
	step string
	measured.Cost
}

// measure runs the program once.
func measure(relocate string, args []string) (cost, error) {
	c, err := measured.Run(relocate, append(args, "--progress", "none")...)
	return cost{Cost: c}, err
}

// hashAlone reads a file once with one goroutine, and hashes it.
func hashAlone(path string) (cost, error) {
	f, err := os.Open(path)
	if err != nil {
		return cost{}, err
	}
	defer f.Close()
	start := time.Now()
	_, err = io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	wall := time.Since(start).Seconds()
	return cost{"SHA-256 alone, one core", measured.Cost{Wall: wall, CPU: wall}}, err
}
