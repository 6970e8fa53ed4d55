package tarball

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzJournal: a journal never promises more than its whole lines say, up to the first that makes no sense.
func FuzzJournal(f *testing.F) {
	const header = `{"journal":1,"request":{"roots":["r.example/a:1"],"nonDistributable":false},"seal":"sha256:` +
		"0000000000000000000000000000000000000000000000000000000000000000" + `"}` + "\n"
	for _, seed := range []string{
		"", "\n", "ready\n", header, header + "ready", header + "ready\n", header + "ready\n0 12\n3 9\n0 0\n",
		header + "ready\n0 12\n3 9", header + "0 12\n", header + "ready\n00 1\n", header + "ready\n1 -1\n", header + "ready\n1 1 1\n",
		header + "ready\n2147483648 1\n", header + "ready\n1 4611686018427387904\n", header + "ready\n1\x00 1\n", header + "ready\nready\n",
		strings.Replace(header, ":1,", ":2,", 1) + "ready\n1 1\n", header + "ready\n" + strings.Repeat("1", 100) + " 1\n",
		strings.Replace(header, `"sha256`, `"sha512`, 1) + "ready\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readJournal(strings.NewReader(text))
		require.NoError(t, err, "only reading fails")
		if p.header.Journal != journalVersion {
			require.False(t, p.ready)
		}
		checkPromised(t, text, p)
	})
}
