package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/testdata/realregistry"
)

const pipelines = "../../docs/examples"

// runner runs the jobs of a documented pipeline, as the runner of a forge does, in a folder with the
// crossing file of the documentation.
type runner struct {
	t    *testing.T
	dir  string
	path string   // PATH, with the program
	env  []string // of every job
}

func newRunner(t *testing.T, src, dst *realregistry.Registry, env ...string) *runner {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is missing")
	}
	own, err := program()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(own, filepath.Join(bin, "relocate")))
	r := &runner{t, t.TempDir(), bin + string(os.PathListSeparator) + os.Getenv("PATH"), env}
	text, err := os.ReadFile(filepath.Join(pipelines, "crossing.yml"))
	require.NoError(t, err)
	hosts := strings.NewReplacer(documentedSource, src.Addr, documentedDestination, dst.Addr)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "crossing.yml"), []byte(hosts.Replace(string(text))), 0o600))
	return r
}

// run runs the lines of a job, which must succeed and leave its artifacts.
func (r *runner) run(job string, lines []string, artifacts ...string) {
	r.t.Helper()
	require.NotEmpty(r.t, lines, job)
	cmd := exec.CommandContext(r.t.Context(), "bash", "-e", "-c", strings.Join(lines, "\n"))
	cmd.Dir, cmd.Env = r.dir, append(append(os.Environ(), "PATH="+r.path), r.env...)
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "%s: %s", job, out)
	for _, file := range artifacts {
		assert.FileExists(r.t, filepath.Join(r.dir, file), job)
	}
}

func readPipeline(t *testing.T, file string, out any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pipelines, file))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, out))
}

// TestGitHub runs the documented workflow.
func TestGitHub(t *testing.T) {
	skipShort(t)
	t.Parallel()
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Run  string
				Uses string
				With struct{ Path string }
			}
		}
	}
	readPipeline(t, "github.yml", &workflow)
	src, dst := startReal(t), startReal(t)
	pushSample(t, src.Addr)
	summary := filepath.Join(t.TempDir(), "summary.md")
	r := newRunner(t, src, dst, "GITHUB_STEP_SUMMARY="+summary)
	for _, name := range []string{"review", "export"} {
		var lines, artifacts []string
		for _, step := range workflow.Jobs[name].Steps {
			if step.Run != "" {
				lines = append(lines, step.Run)
			}
			if strings.HasPrefix(step.Uses, "actions/upload-artifact@") {
				artifacts = strings.Fields(step.With.Path)
			}
		}
		r.run(name, lines, artifacts...)
	}
	text, err := os.ReadFile(summary)
	require.NoError(t, err)
	assertAll(t, string(text), "packages   ", "archive    ")
	mustRelocate(t, "verify", filepath.Join(r.dir, "repository.tar"))
}

// TestGitLab runs the documented pipeline: the last job on the other side of the gap.
func TestGitLab(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is given: make test runs it")
	}
	t.Parallel()
	type job struct {
		Script    []string
		Artifacts struct{ Paths []string }
	}
	var pipeline struct{ Review, Export, Import job }
	readPipeline(t, "gitlab-ci.yml", &pipeline)
	src, dst := startReal(t), startReal(t)
	pushSample(t, src.Addr)
	open := newRunner(t, src, dst)
	open.run("review", pipeline.Review.Script, pipeline.Review.Artifacts.Paths...)
	open.run("export", pipeline.Export.Script, pipeline.Export.Artifacts.Paths...)
	src.Stop()
	closed := newRunner(t, src, dst, "ARCHIVE="+filepath.Join(open.dir, "repository.tar"))
	closed.run("import", pipeline.Import.Script, pipeline.Import.Artifacts.Paths...)
	object, err := os.ReadFile(filepath.Join(closed.dir, "packagerepository.yml"))
	require.NoError(t, err)
	assertAll(t, string(object), "kind: PackageRepository", dst.Addr+"/corp/repository@sha256:")
}
