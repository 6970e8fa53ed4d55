package ytt

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/internal/child"
)

// FuzzAnswer holds that nothing that a child may answer is believed: what is returned fits the input.
func FuzzAnswer(f *testing.F) {
	in := Input{Files: []File{{Path: "a.yml"}, {Path: "b.yml", Origin: "config/b.yml"}}, Values: []File{{Path: "values"}}}
	for _, a := range []answer{
		{Uses: make([]FileUse, 2), Starts: []wirePlace{{0, 1}}, Strings: []wireString{{0, "/a", "b", wirePlace{2, 1}}}},
		{Uses: make([]FileUse, 2), Starts: []wirePlace{{9, -1}}, Strings: []wireString{{0, "/a", "b", wirePlace{-1, 1}}}},
		{Uses: make([]FileUse, 2), Strings: []wireString{{0, "/a", "b", wirePlace{}}}},
		{Uses: make([]FileUse, 1)},
		{Failed: "no"},
	} {
		f.Add(encodeAnswer([]byte("a: b\n"), a))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := decodeAnswer(data, in)
		if err != nil {
			failed, limit := (*FailedError)(nil), (*child.LimitError)(nil)
			require.True(t, errors.As(err, &failed) || errors.As(err, &limit) || errors.Is(err, errAnswer), "%v", err)
			return
		}
		known := map[string]bool{"a.yml": true, "config/b.yml": true, "values": true}
		require.Len(t, out.Uses, len(in.Files))
		require.LessOrEqual(t, len(out.Text), len(data))
		for _, p := range out.Starts {
			require.True(t, p == Place{} || known[p.File] && p.Line >= 0, "%v", p)
		}
		for _, s := range out.Strings {
			require.True(t, s.Place == Place{} || known[s.Place.File] && s.Place.Line >= 0, "%v", s.Place)
			require.True(t, s.Document >= 0 && s.Document < len(out.Starts), "%v", s)
		}
	})
}

// TestRequest holds that a child gets what Run was given.
func TestRequest(t *testing.T) {
	in := Input{
		Files:     []File{{Path: "a.yml", Data: []byte{0, 0xff, '\n'}, Origin: "config/a.yml"}},
		Values:    []File{{Path: "v", Data: []byte("a: b")}},
		FileMarks: []string{"a.yml:type=data"}, IgnoreUnknownComments: true,
	}
	got, err := decodeRequest(encodeRequest(in))
	require.NoError(t, err)
	assert.Equal(t, in, got)
}

// TestLongMessage holds that a template cannot make a message of any length.
func TestLongMessage(t *testing.T) {
	_, err := decodeAnswer(encodeAnswer(nil, answer{Failed: string(make([]byte, 1<<20))}), Input{})
	var failed *FailedError
	require.ErrorAs(t, err, &failed)
	assert.Len(t, failed.Message, longestMessage)
}
