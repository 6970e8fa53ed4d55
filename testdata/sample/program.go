package sample

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed app/main.go
var appSource []byte

// Compile returns a function that builds the sample's program for linux on arch, in dir, which must
// exist and is the caller's to remove. The same version of Go gives the same bytes.
func Compile(ctx context.Context, dir string) func(arch string) ([]byte, error) {
	return func(arch string) ([]byte, error) {
		source, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "app-"+arch)
		if err := os.WriteFile(source, appSource, 0o600); err != nil {
			return nil, err
		}
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", out, source)
		build.Dir = dir
		// The settings of the caller's machine must not reach the program.
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch,
			"GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOWORK=off")
		if text, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the sample's program for linux/%s: %w\n%s", arch, err, text)
		}
		return os.ReadFile(out)
	}
}

// Tiny stands in for Compile in tests that need no running program: 20 KiB that do not compress,
// always the same for an arch.
func Tiny(arch string) ([]byte, error) {
	program := make([]byte, 20<<10)
	_, err := rand.NewChaCha8(sha256.Sum256([]byte(arch))).Read(program)
	return program, err
}
