//go:build !race

package tarball_test

const stride = 1 // TestEveryByte takes every byte
