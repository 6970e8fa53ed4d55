package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"relocate/testdata/realregistry"
)

var verifyWith = regexp.MustCompile(`(?m)^  verify with +relocate (.+)$`)

// TestVerifyWith: the commands with which an import says that it can be verified do so, also where it imports
// a part of the archive. They fail when something is missing.
func TestVerifyWith(t *testing.T) {
	t.Parallel()
	s := newPlatformSite(t, startReal(t).Addr)
	whole := export(t, s.root)
	dst := realregistry.Start(t, realregistry.Options{Kind: realregistry.Sparse}).Addr
	for i, args := range [][]string{
		nil, {"--package", "app.*"}, {"--platform", "linux/amd64"}, {"--platform", "linux/amd64", "--platform", "windows/amd64", "--package", "app.*"},
		{"--platform", "linux/amd64", "--platform-mode", "derive"}, {"--platform", "linux/amd64", "--platform-mode", "derive", "--package", "app.*"},
	} {
		repo := fmt.Sprintf("%s/verify/%d", dst, i)
		said := mustRelocate(t, append([]string{"--from-tar", whole, "--to-repo", repo}, args...)...).stderr
		commands := verifyWith.FindAllStringSubmatch(said, -1)
		require.Len(t, commands, 1, "%v\n%s", args, said)
		mustRelocate(t, strings.Fields(commands[0][1])...)
		require.Equal(t, statusMissing, tryRelocate(t, strings.Fields(strings.Replace(commands[0][1], "/verify/", "/nothing/", 1))...).status)
	}
}
