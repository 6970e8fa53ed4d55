//go:build race

package tarball_test

// stride: under the race detector, which makes each step ten times as slow, tests of
// every byte take a sample.
const stride = 7
