package progress_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/copy"
	"relocate/internal/progress"
)

// TestPlain: a line every few seconds says how much of how much is done, at which rate, and how long the rest takes.
func TestPlain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		_, p := progress.New(t.Context(), progress.Plain, &out)
		ph := p.Begin("export", 4, 4000)
		for range 2 {
			time.Sleep(3 * time.Second)
			ph.Step(copy.Step{Blobs: 1, Moved: 1000})
		}
		time.Sleep(5 * time.Second)
		assert.Equal(t, copy.Step{Blobs: 2, Moved: 2000}, ph.End())
		assert.Equal(t, "export: 1.0 kB of 4.0 kB, 1 of 4 blobs, 200 B/s, 15s left\n"+
			"export: 2.0 kB of 4.0 kB, 2 of 4 blobs, 200 B/s, 10s left\n", out.String())
	})
}

// TestJSON: each line is an event, and the last one of a phase says that it is done.
func TestJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		_, p := progress.New(t.Context(), progress.JSON, &out)
		ph := p.Begin("read", 0, 0)
		ph.Add(3, 0)
		time.Sleep(1500 * time.Millisecond)
		ph.End()
		p.Note("a %s\n", "note")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 3)
		var last struct {
			Event, Phase string
			Blobs        int
			Done         bool
		}
		require.NoError(t, json.Unmarshal([]byte(lines[1]), &last))
		assert.Equal(t, "progress", last.Event)
		assert.Equal(t, "read", last.Phase)
		assert.Equal(t, 3, last.Blobs)
		assert.True(t, last.Done)
		assert.JSONEq(t, `{"event":"note","text":"a note"}`, lines[2])
	})
}

// TestNone: nothing is shown but notes.
func TestNone(t *testing.T) {
	t.Parallel()
	_, p := progress.New(t.Context(), progress.None, io.Discard)
	ph := p.Begin("read", 0, 0)
	ph.Add(1, 0)
	assert.Equal(t, 1, ph.End().Blobs)
}
