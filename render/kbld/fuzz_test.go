package kbld_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/internal/yamlnode"
	"relocate/render/kbld"
	"relocate/testdata/seed"
)

// FuzzRun: a run of any text ends with one of its errors, or prints YAML. What has a digest stays, and a
// run over its own output changes nothing any more.
func FuzzRun(f *testing.F) {
	files := seed.Files(f, "../..", seed.YAML...)
	for i, data := range files {
		f.Add(data, files[(i+1)%len(files)])
	}
	for s := range uint64(20) {
		in := generator{rand.New(rand.NewPCG(s, 0))}.inputs()
		f.Add(in[0].Data, in[len(in)-1].Data)
	}
	f.Fuzz(func(t *testing.T, stream, file []byte) {
		out, err := kbld.Run([]kbld.Input{{Path: "-", Data: stream}, {Path: "file.yml", Data: file}})
		asked, failed := &kbld.AskedError{}, &kbld.FailedError{}
		switch {
		case errors.As(err, &failed):
			require.NotEmpty(t, failed.Message)
			return
		case err != nil && !errors.As(err, &asked):
			require.ErrorIs(t, err, yamlnode.ErrLimit)
			return
		}
		for _, doc := range out.Documents {
			var content map[string]any
			require.NoError(t, yaml.Unmarshal(doc.Text, &content))
		}
		for _, image := range out.Images {
			require.Less(t, image.Document, len(out.Documents))
			require.True(t, image.Path != "" && image.Path[0] == '/')
		}
		if err != nil {
			return
		}
		for _, image := range out.Images {
			if again := new(kbld.Step).Resolve(image.Result.Image); again.Outcome == kbld.Kept {
				require.Equal(t, again, new(kbld.Step).Resolve(again.Image), "what has a digest stays")
			}
		}
		first, err := kbld.Run([]kbld.Input{{Path: "-", Data: out.Text}})
		if err != nil {
			return
		}
		second, err := kbld.Run([]kbld.Input{{Path: "-", Data: first.Text}})
		require.NoError(t, err)
		if len(first.Documents) == len(second.Documents) { // no items in items
			require.Equal(t, string(first.Text), string(second.Text))
		}
	})
}

// FuzzInPlace: what InPlace changes in any text are the references that Find names, each once; and what comes out needs no
// lock any more.
func FuzzInPlace(f *testing.F) {
	for _, data := range seed.Files(f, "../..", seed.YAML...) {
		f.Add(data)
	}
	for _, text := range inPlace {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := kbld.Find([]kbld.Input{{Path: "f.yml", Data: text}})
		if err != nil {
			return
		}
		var ids []string
		for _, image := range found {
			if image.Result.Outcome == kbld.Refused || image.Result.Outcome == kbld.Built || strings.ContainsAny(image.Value, "\"\\") {
				return
			}
			require.LessOrEqual(t, image.Line, 1+bytes.Count(text, []byte("\n")))
			ids = append(ids, image.Value)
		}
		slices.Sort(ids)
		out, err := kbld.InPlace([]kbld.Input{locked(slices.Compact(slices.Clone(ids))...), {Path: "f.yml", Data: text}}, asIs)
		if err != nil {
			return
		}
		require.Equal(t, len(found), bytes.Count(out[1], []byte(inside))-bytes.Count(text, []byte(inside)))
		again, err := kbld.Find([]kbld.Input{{Path: "f.yml", Data: out[1]}})
		require.NoError(t, err)
		for _, image := range again {
			require.Equal(t, inside, image.Value)
		}
	})
}
