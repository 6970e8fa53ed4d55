//go:build !race

package tarball_test

const stride = 1 // tests of every byte take every byte
