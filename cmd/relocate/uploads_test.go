package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUploads: the figures of docs/objectstore.md.
func TestUploads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int64
		want []string
	}{
		{50e9, nil},
		{50e9 + 1, []string{"aws s3 cp - s3://BUCKET/KEY --expected-size 50000000001"}},
		{s3Parts * 5 * mebibyte, []string{"aws s3 cp - s3://BUCKET/KEY --expected-size 52428800000"}},
		{s3Parts*5*mebibyte + 1, []string{"aws s3 cp - s3://BUCKET/KEY --expected-size 52428800001", "rclone rcat REMOTE:PATH --s3-chunk-size 6Mi"}},
		{1e12, []string{"aws s3 cp - s3://BUCKET/KEY --expected-size 1000000000000", "rclone rcat REMOTE:PATH --s3-chunk-size 96Mi", "azcopy copy URL --from-to PipeBlob --block-size-mb 20"}},
		{6 * tebibyte, []string{"aws s3 cp - s3://BUCKET/KEY --expected-size 6597069766656", "rclone rcat REMOTE:PATH --s3-chunk-size 630Mi", "mc pipe cannot store so much", "azcopy copy URL --from-to PipeBlob --block-size-mb 126"}},
		{60 * tebibyte, []string{"aws s3 cp cannot store so much", "rclone rcat cannot store so much", "mc pipe cannot store so much", "azcopy copy URL --from-to PipeBlob --block-size-mb 1259"}},
	} {
		assert.Equal(t, c.want, uploadLines(uploadsOf(c.size)), c.size)
	}
	for _, parts := range []int64{s3Parts, blocks} { // the parts that a flag names hold the archive, and one less would not
		for size := int64(1); size < 48*tebibyte; size = size*3 + 1 {
			part := partOf(size, parts)
			assert.GreaterOrEqual(t, part*mebibyte*parts, size)
			assert.Less(t, (part-1)*mebibyte*parts, size)
		}
	}
	var text bytes.Buffer
	writeUploads(&text, uploadsOf(1e12))
	assert.Equal(t, "as object  aws s3 cp - s3://BUCKET/KEY --expected-size 1000000000000\nor         rclone rcat REMOTE:PATH --s3-chunk-size 96Mi\nor         azcopy copy URL --from-to PipeBlob --block-size-mb 20\n", text.String())
	assert.Equal(t, "; an object store needs one of: aws s3 cp - s3://BUCKET/KEY --expected-size 50000000001", uploadHint(50e9+1))
	assert.Empty(t, uploadHint(1))
}

// TestStreamSize: an export to a stream says at its beginning, and plan before, how many bytes come.
func TestStreamSize(t *testing.T) {
	t.Parallel()
	root := pushSample(t, startMemory(t, nil))
	for _, format := range []string{"relocate", "imgpkg"} {
		r := mustRelocate(t, "-b", root, "--to-tar", "-", "--tar-format", format)
		assert.Contains(t, r.stderr, fmt.Sprintf("note: writes %d bytes (%s)\n", len(r.stdout), size(int64(len(r.stdout)))))
		var plan planReport
		require.NoError(t, json.Unmarshal([]byte(mustRelocate(t, "plan", "-b", root, "--tar-format", format, "-o", "json").stdout), &plan))
		assert.EqualValues(t, len(r.stdout), plan.ArchiveSize)
		assert.Len(t, plan.Uploads, 4)
	}
}
