package rewrite

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestJobReceipts: the Pod that completes an import then verifies it, in a second container that is as restricted as the
// first one, and each of them leaves a receipt.
func TestJobReceipts(t *testing.T) {
	t.Parallel()
	url, disk := JobSource{Secret: "receipts"}, JobSource{Claim: "disk", Mode: "RWO", Path: "in"}
	for _, j := range []ImportJob{
		{Source: JobSource{Secret: "archive"}, Shards: 2, Receipts: &JobReceipts{File: "oslo.receipts.jsonl", Place: url, Key: "oslo-key"}},
		{Source: JobSource{Claim: "media", Mode: "ROX", Path: "a.tar"}, Args: []string{"--no-tag"}, Receipts: &JobReceipts{File: "oslo.receipts.jsonl", Place: disk}},
	} {
		_, list := jobs(t, j, ClusterOptions{PlainHTTP: true})
		finish := list[len(list)-2]
		for _, minor := range []int{22, 27, 37} {
			j.Minor = minor
			_, list := jobs(t, j, ClusterOptions{})
			kubernetesFields(t, minor).check(t, list[len(list)-2])
		}
		pod := find(t, finish, "spec", "template", "spec")
		first, second := find(t, pod, "initContainers", 0), find(t, pod, "containers", 0)
		assert.Equal(t, []any{"relocate", "verify"}, []any{find(t, first, "name"), find(t, second, "name")})
		for _, field := range []string{"image", "env", "resources", "securityContext", "volumeMounts", "terminationMessagePolicy"} {
			assert.Equal(t, find(t, first, field), find(t, second, field), field)
		}
		seal := " --seal " + digestA.String() + " --registry-insecure"
		rules := find(t, finish, "spec", "podFailurePolicy", "rules")
		assert.Equal(t, map[string]any{"containerName": "verify", "operator": "In", "values": []any{2.0, 4.0, 5.0, 6.0, 9.0}}, find(t, rules, 2, "onExitCodes"))
		writable := map[any]bool{}
		for _, m := range find(t, second, "volumeMounts").([]any) {
			if find(t, m, "readOnly") == nil {
				writable[find(t, m, "mountPath")] = true
			}
		}
		assert.Equal(t, map[any]bool{"/tmp": true, "/receipts": true}, writable)
		if j.Receipts.Key != "" {
			const receipts = " --receipts /receipts/oslo.receipts.jsonl --receipts-url-file /etc/relocate/receipts/url" +
				" --receipt-key /etc/relocate/key/receipt.key --receipt-key-password-file /etc/relocate/key/password]"
			assert.Equal(t, "[verify --repo private.test/all --level blobs --from-tar-url-file /etc/relocate/source/url"+seal+receipts, argsOf(t, second))
			assert.Equal(t, "[--from-tar-url-file /etc/relocate/source/url --to-repo private.test/all"+seal+" --await-blobs 10m"+receipts, argsOf(t, first))
			assert.NotContains(t, args(t, list[1]), "receipts", "shards leave none")
			continue
		}
		assert.Equal(t, "[verify --repo private.test/all --level blobs /archive/a.tar"+seal+" --no-tag --receipts /receipts/in/oslo.receipts.jsonl]", argsOf(t, second))
		assert.EqualValues(t, 65532, find(t, pod, "securityContext", "fsGroup"), "so that the volume can be written to")
	}

	j := ImportJob{Source: JobSource{Secret: "archive"}, Receipts: &JobReceipts{File: "oslo.receipts.jsonl", Place: url, Key: "oslo-key"}}
	_, list := jobs(t, j, ClusterOptions{Secret: true})
	assert.Equal(t, map[string]any{"url": "REPLACE-WITH-URL"}, find(t, list[3], "stringData"))
	assert.Equal(t, map[string]any{"receipt.key": "REPLACE-WITH-RECEIPT-KEY"}, find(t, list[4], "stringData"))

	for says, r := range map[string]JobReceipts{
		"has the URL of the archive":          {Place: JobSource{Secret: "archive"}},
		"are uploaded without headers":        {Place: JobSource{Secret: "a", Headers: "b"}},
		"cannot be written to the volume":     {Place: JobSource{Claim: "a", Mode: "ROX", Path: "b"}},
		"is not a path on the volume":         {Place: JobSource{Claim: "a", Mode: "RWX", Path: "../b"}},
		"receipts: Secret of the receipt key": {Place: url, Key: "A"},
	} {
		j.Receipts = &r
		_, err := j.objects(repository(t, "private.test/all"), "login")
		require.ErrorContains(t, err, says)
	}
}
