package relocate_test

import (
	"bytes"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate"
)

// tape is a tape: it gives a block to a read, and fails where there is no room for all of it (st(4)).
type tape struct {
	blocks [][]byte
	fs.FileInfo
}

func (p *tape) Read(b []byte) (int, error) {
	if len(p.blocks) == 0 {
		panic("read after the block with the end")
	}
	block := p.blocks[0]
	if len(b) < len(block) {
		return 0, syscall.ENOMEM
	}
	p.blocks = p.blocks[1:]
	return copy(b, block), nil
}

func (p *tape) Stat() (fs.FileInfo, error) { return p, nil }
func (p *tape) Mode() fs.FileMode          { return fs.ModeDevice | fs.ModeCharDevice }
func (p *tape) Name() string               { return "/dev/nst0" }

// TestTape: an archive on a tape is read in whole blocks, and no block after its end.
func TestTape(t *testing.T) {
	t.Parallel()
	public := startRegistry()
	defer public.Close()
	var archive bytes.Buffer
	from := relocate.Source{Bundles: []name.Reference{publish(hostOf(public))}}
	_, err := relocate.Export(t.Context(), from, relocate.Target{Writer: &archive}, relocate.Options{})
	require.NoError(t, err)
	b := archive.Bytes()
	for _, size := range []int{10240, 256 << 10, 4 << 20} {
		p := &tape{}
		for block := range slices.Chunk(append(b, make([]byte, size-len(b)%size)...), size) {
			p.blocks = append(p.blocks, block)
		}
		v, err := relocate.VerifyStream(t.Context(), p, relocate.VerifyOptions{})
		require.NoError(t, err, "blocks of %d bytes", size)
		assert.True(t, v.OK)
		assert.True(t, v.Archive.Unread)
		assert.Equal(t, "/dev/nst0", v.Subject)
		assert.Empty(t, p.blocks)
	}
}
