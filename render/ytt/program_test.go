package ytt_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"relocate/render/ytt"
)

// program051 is ytt 0.51.1, which "make judges" builds.
var program051 = flag.String("ytt", "", "path of a ytt program that writes the expectations in testdata again")

// TestAsTheProgram holds that Run prints what the program prints. The cases are txtar files: a command
// line, files, standard input in stdin, and what ytt 0.51.1 printed, in stdout or in stderr.
func TestAsTheProgram(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			c := readCase(t, name)
			if *program051 != "" {
				c.expect(t, name)
			}
			out, err := ytt.Run(t.Context(), program(t), c.input(t))
			if want, ok := c.files["stderr"]; ok {
				var failed *ytt.FailedError
				require.ErrorAs(t, err, &failed)
				// The program has the same words, and breaks some lines between them.
				assert.Equal(t, strings.Fields(strings.TrimPrefix(want, "ytt: Error:")), strings.Fields(failed.Message))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.files["stdout"], string(out.Text))
			starts, values := parsed(t, out.Text)
			assert.Len(t, out.Starts, starts)
			var got []string
			for _, s := range out.Strings {
				got = append(got, fmt.Sprintf("%d %s %s", s.Document, s.Path, s.Value))
			}
			assert.Equal(t, values, got)
		})
	}
}

// TestOrder holds that what a child ran before does not change what ytt prints: each case prints the
// same in a child of its own and after the others, in either order.
func TestOrder(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	reversed := slices.Clone(cases)
	slices.Reverse(reversed)
	shared := program(t)
	alone := map[string]any{}
	for _, name := range append(slices.Clone(cases), reversed...) {
		in := readCase(t, name).input(t)
		if alone[name] == nil {
			alone[name] = outcome(ytt.Run(t.Context(), program(t), in))
		}
		require.Equal(t, alone[name], outcome(ytt.Run(t.Context(), shared, in)), name)
	}
}

// outcome is what comes of a run.
func outcome(out *ytt.Output, err error) any {
	if err != nil {
		return err
	}
	return out
}

// parsed returns how many documents a text has, and their strings, as another parser reads them.
func parsed(t *testing.T, text []byte) (documents int, list []string) {
	var walk func(node *yaml.Node, path string)
	walk = func(node *yaml.Node, path string) {
		switch {
		case node.Kind == yaml.MappingNode:
			for i := 0; i < len(node.Content); i += 2 {
				walk(node.Content[i+1], path+"/"+node.Content[i].Value)
			}
		case node.Kind == yaml.SequenceNode:
			for i, item := range node.Content {
				walk(item, fmt.Sprintf("%s/%d", path, i))
			}
		case node.Tag == "!!str" && node.Value != "":
			list = append(list, fmt.Sprintf("%d %s %s", documents, path, node.Value))
		}
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; documents++ {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return documents, list
		}
		require.NoError(t, err)
		walk(doc.Content[0], "")
	}
}

type testCase struct {
	args  []string // of ytt
	names []string // of files, in the order of the case
	files map[string]string
}

func readCase(t *testing.T, name string) testCase {
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	c := testCase{files: map[string]string{}}
	line, rest, _ := strings.Cut(string(data), "\n")
	c.args = strings.Fields(line)[1:]
	for part := range strings.SplitSeq("\n"+rest, "\n-- ") {
		if name, content, ok := strings.Cut(part, " --\n"); ok {
			if content != "" && !strings.HasSuffix(content, "\n") {
				content += "\n"
			}
			c.names, c.files[name] = append(c.names, name), content
		}
	}
	return c
}

// input returns what ytt reads for the arguments.
func (c testCase) input(t *testing.T) (in ytt.Input) {
	for i := 0; i < len(c.args); i++ {
		if c.args[i] == "--ignore-unknown-comments" {
			in.IgnoreUnknownComments = true
			continue
		}
		flag, value := c.args[i], c.args[i+1]
		i++
		file := ytt.File{Path: path.Base(value), Data: []byte(c.files[value]), Origin: value}
		switch _, alone := c.files[value]; {
		case flag == "--file-mark":
			in.FileMarks = append(in.FileMarks, value)
		case flag == "--data-values-file":
			in.Values = append(in.Values, file)
		case value == "-":
			in.Files = append(in.Files, ytt.File{Path: "stdin.yml", Data: []byte(c.files["stdin"])})
		case alone:
			in.Files = append(in.Files, file)
		default:
			var files []ytt.File
			for name, data := range c.files {
				if rest, ok := strings.CutPrefix(name, value+"/"); ok {
					files = append(files, ytt.File{Path: rest, Data: []byte(data), Origin: name})
				}
			}
			slices.SortFunc(files, func(a, b ytt.File) int { return strings.Compare(a.Path, b.Path) })
			in.Files = append(in.Files, files...)
		}
	}
	return in
}

// expect asks the program, and writes what it says into the case.
func (c testCase) expect(t *testing.T, name string) {
	dir := t.TempDir()
	for file, data := range c.files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(data), 0o600))
	}
	cmd := exec.Command(*program051, c.args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(c.files["stdin"])
	stdout, err := cmd.Output()
	kind, text := "stdout", string(stdout)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		kind, text = "stderr", string(exit.Stderr)
	} else {
		require.NoError(t, err)
	}
	delete(c.files, "stdout")
	delete(c.files, "stderr")
	c.files[kind] = text
	var out bytes.Buffer
	out.WriteString("ytt " + strings.Join(c.args, " ") + "\n")
	for _, file := range append(slices.DeleteFunc(c.names, func(s string) bool { return s == "stdout" || s == "stderr" }), kind) {
		out.WriteString("-- " + file + " --\n" + c.files[file])
	}
	require.NoError(t, os.WriteFile(name, out.Bytes(), 0o600))
}
