package custody_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/custody"
)

var (
	sealA = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	sealB = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}
	noon  = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
)

// receipts are one of each kind, an hour apart.
func receipts() []custody.Receipt {
	root := custody.Root{Name: "registry.example.com/corp/repository:1.0.0", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}}
	there := custody.Root{Name: "registry.airgap.internal/corp@" + root.Digest.String(), Digest: root.Digest}
	base := custody.Receipt{By: "ops", Host: "connected", Program: "relocate 1", Archive: "corp.tar", Seal: sealA, SHA256: sealB}
	of := func(act custody.Act, hours int, more func(*custody.Receipt)) custody.Receipt {
		r := base
		r.Act, r.Time = act, noon.Add(time.Duration(hours)*time.Hour)
		more(&r)
		return r
	}
	return []custody.Receipt{
		of(custody.Exported, 0, func(r *custody.Receipt) { r.Roots = []custody.Root{root} }),
		of(custody.Rehearsed, 1, func(r *custody.Receipt) { r.Levels = []string{custody.LevelRehearsed} }),
		of(custody.Received, 2, func(r *custody.Receipt) { r.Levels = []string{custody.LevelFailed} }),
		of(custody.Imported, 3, func(r *custody.Receipt) {
			r.Roots, r.Target = []custody.Root{there}, "registry.airgap.internal/corp"
		}),
		of(custody.Verified, 4, func(r *custody.Receipt) {
			r.Roots, r.Target, r.Levels = []custody.Root{there}, "registry.airgap.internal/corp", []string{custody.LevelComplete}
		}),
	}
}

// chain signs receipts, each after the one before.
func chain(t testing.TB, key *custody.Key, list []custody.Receipt) []string {
	t.Helper()
	var lines []string
	for _, r := range list {
		r.Previous = custody.Head([]byte(join(lines)))
		lines = append(lines, lineOf(t, key, r))
	}
	return lines
}

func lineOf(t testing.TB, key *custody.Key, r custody.Receipt) string {
	t.Helper()
	statement, err := r.Statement()
	require.NoError(t, err)
	line, err := key.SignStatement(statement)
	require.NoError(t, err)
	return string(line)
}

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// trustOf trusts a key for receipts.
func trustOf(t testing.TB, key *custody.Key, options string) *custody.Trust {
	t.Helper()
	trust := &custody.Trust{}
	require.NoError(t, trust.Add("site.signers", []byte("gate@site "+options+key.Public().Line()+"\n")))
	return trust
}

func newKey(t testing.TB) *custody.Key {
	t.Helper()
	key, err := custody.NewKey()
	require.NoError(t, err)
	return key
}

// TestStatements: what a receipt says is what is read of it, and what stock tools match is in it.
func TestStatements(t *testing.T) {
	t.Parallel()
	for _, want := range receipts() {
		want.Previous = sealB
		statement, err := want.Statement()
		require.NoError(t, err)
		got, _, err := custody.ParseReceipt(statement)
		require.NoError(t, err, want.Act)
		assert.Equal(t, &want, got, "%s", statement)

		var s struct {
			Subject       []struct{ Digest map[string]string }
			PredicateType string
			Predicate     map[string]any
		}
		require.NoError(t, json.Unmarshal(statement, &s))
		if want.Act == custody.Imported {
			assert.Equal(t, want.Roots[0].Digest.Hex, s.Subject[0].Digest["sha256"])
			assert.NotContains(t, s.Subject[0].Digest, custody.SealAlgorithm)
		} else {
			assert.Equal(t, sealA.Hex, s.Subject[0].Digest[custody.SealAlgorithm])
			assert.NotEqual(t, sealA.Hex, s.Subject[0].Digest["sha256"], "the seal is not the hash of the file")
		}
		if strings.HasPrefix(s.PredicateType, "https://slsa.dev/") {
			for _, required := range []string{"verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"} {
				assert.Contains(t, s.Predicate, required)
			}
		}
	}
}

// TestChain: a chain that is whole has no problem, and each of its lines is signed.
func TestChain(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	lines := chain(t, key, receipts())
	for _, raw := range []string{join(lines), strings.TrimSuffix(join(lines), "\n")} {
		c, err := custody.ReadChain("r", []byte(raw), sealA, trustOf(t, key, `namespaces="relocate-receipt" `), noon.Add(time.Hour*9))
		require.NoError(t, err)
		require.Len(t, c.Lines, 5)
		assert.False(t, c.Broken() || c.Untrusted() || c.Torn)
		for i, l := range c.Lines {
			assert.Equal(t, receipts()[i].Act, l.Receipt.Act)
			assert.Equal(t, "gate@site", l.Signer.Principal)
			assert.Empty(t, l.Note)
			assert.Zero(t, l.Depth)
		}
	}
}

// TestChainBroken names the line, and what is wrong.
func TestChainBroken(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := chain(t, key, receipts())
	other := receipts()
	other[3].Seal, other[3].Previous = sealB, custody.Head([]byte(join(good[:3])))
	edited := strings.Replace(good[2], `"sig":"`, `"sig":"AAAA`, 1)
	for name, c := range map[string]struct {
		lines  []string
		number int // of the line with the problem
		says   string
	}{
		"first deleted":   {good[1:], 1, "names a receipt before it that is not here"},
		"middle deleted":  {[]string{good[0], good[1], good[3], good[4]}, 3, "names a receipt before it that is not here"},
		"reordered":       {[]string{good[0], good[2], good[1], good[3], good[4]}, 2, "it names line 3 as the one before it: the order was changed"},
		"edited":          {[]string{good[0], good[1], edited, good[3], good[4]}, 4, "a line was removed or changed"},
		"duplicated":      {[]string{good[0], good[1], good[1], good[2]}, 3, "it is the same as line 2"},
		"torn within":     {[]string{good[0], good[1][:300], good[2]}, 3, "a line was removed or changed"},
		"another archive": {[]string{good[0], good[1], good[2], lineOf(t, key, other[3])}, 4, "it is about another archive"},
	} {
		got, err := custody.ReadChain("r", []byte(join(c.lines)), sealA, nil, noon)
		require.NoError(t, err)
		assert.True(t, got.Broken(), name)
		for _, l := range got.Lines {
			if l.Number == c.number {
				assert.Contains(t, l.Problem, c.says, name)
			} else if l.Number < c.number {
				assert.Empty(t, l.Problem, "%s: line %d", name, l.Number)
			}
		}
	}
	c, err := custody.ReadChain("r", []byte(join(good[:4])), sealA, nil, noon)
	require.NoError(t, err)
	assert.False(t, c.Broken(), "that the last line was removed cannot be known")
}

// TestChainTorn: a last line whose writer was cut off is told, and the next receipt names the line before it.
func TestChainTorn(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := chain(t, key, receipts())
	torn := join(good[:2]) + good[2][:100]
	c, err := custody.ReadChain("r", []byte(torn), sealA, nil, noon)
	require.NoError(t, err)
	assert.True(t, c.Torn)
	assert.False(t, c.Broken())
	assert.Len(t, c.Lines, 2)
	assert.Equal(t, custody.Head([]byte(join(good[:2]))), custody.Head([]byte(torn)))
	r := receipts()[3]
	r.Previous = custody.Head([]byte(torn))
	c, err = custody.ReadChain("r", []byte(torn+"\n"+lineOf(t, key, r)+"\n"), sealA, nil, noon)
	require.NoError(t, err)
	assert.False(t, c.Broken())
	require.Len(t, c.Lines, 4)
	assert.Contains(t, c.Lines[2].Note, "it is no receipt, or a part of one")
}

// TestChainFork shows two copies of a file that went on apart, and were put together, as a tree.
func TestChainFork(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	all := receipts()
	trunk := chain(t, key, all[:2])
	branch := func(list []custody.Receipt) []string {
		lines := trunk
		for _, r := range list {
			r.Previous = custody.Head([]byte(join(lines)))
			lines = append(lines[:len(lines):len(lines)], lineOf(t, key, r))
		}
		return lines[2:]
	}
	c, err := custody.ReadChain("r", []byte(join(append(append(trunk, branch(all[2:3])...), branch(all[3:])...))), sealA, nil, noon)
	require.NoError(t, err)
	assert.False(t, c.Broken())
	var depths []int
	for _, l := range c.Lines {
		depths = append(depths, l.Depth)
	}
	assert.Equal(t, []int{0, 0, 0, 1, 1}, depths)
	assert.Contains(t, c.Lines[3].Note, "as another one does")
}

// TestChainTrust: each receipt must be signed by a key that is trusted for receipts when it says it was made.
func TestChainTrust(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := []byte(join(chain(t, key, receipts())))
	for name, c := range map[string]struct {
		trust     *custody.Trust
		untrusted []int
	}{
		"another key":         {trustOf(t, newKey(t), ""), []int{1, 2, 3, 4, 5}},
		"another purpose":     {trustOf(t, key, `namespaces="relocate-seal" `), []int{1, 2, 3, 4, 5}},
		"ended meanwhile":     {trustOf(t, key, `valid-before="20261130143000Z" `), []int{4, 5}},
		"ended after all":     {trustOf(t, key, `valid-before="20261201Z" `), nil},
		"begins in the midst": {trustOf(t, key, `valid-after="20261130123000Z" `), []int{1}},
	} {
		got, err := custody.ReadChain("r", good, sealA, c.trust, noon.AddDate(1, 0, 0))
		require.NoError(t, err)
		var untrusted []int
		for _, l := range got.Lines {
			if l.Untrusted != nil {
				untrusted = append(untrusted, l.Number)
				assert.ErrorContains(t, l.Untrusted, fmt.Sprintf("line %d of r ", l.Number))
			}
		}
		assert.Equal(t, c.untrusted, untrusted, name)
		assert.False(t, got.Broken())
	}
	edited := bytes.Replace(good, []byte(`"payload":"`), []byte(`"payload":"IA`), 1) // not what was signed
	c, err := custody.ReadChain("r", edited, sealA, trustOf(t, key, ""), noon)
	require.NoError(t, err)
	assert.True(t, c.Broken() || c.Untrusted())
}

// TestChainOthers: attestations by other programs are listed and skipped, and may stand between receipts.
func TestChainOthers(t *testing.T) {
	t.Parallel()
	key, stranger := newKey(t), newKey(t)
	foreign := []byte(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[],"predicateType":"https://example.com/scan/v1","predicate":{"clean":true}}`)
	lines := chain(t, key, receipts()[:1])
	for _, k := range []*custody.Key{key, stranger} {
		line, err := k.SignStatement(foreign)
		require.NoError(t, err)
		lines = append(lines, string(line))
	}
	message, err := key.SignMessage(custody.SealText(sealA))
	require.NoError(t, err)
	lines = append(lines, string(message), "hello", "")
	r := receipts()[1]
	r.Previous = custody.Head([]byte(join(lines)))
	lines = append(lines, lineOf(t, key, r))
	c, err := custody.ReadChain("r", []byte(join(lines)), sealA, trustOf(t, key, ""), noon)
	require.NoError(t, err)
	assert.False(t, c.Broken() || c.Untrusted())
	require.Len(t, c.Lines, 7)
	assert.Equal(t, "https://example.com/scan/v1", c.Lines[1].Type)
	assert.Equal(t, "gate@site", c.Lines[1].Signer.Principal)
	assert.Contains(t, c.Lines[2].Note, "another program, signed by nobody who is trusted")
	for _, l := range c.Lines[3:6] {
		assert.Contains(t, l.Note, "it is no receipt")
	}
}

// TestChainHostile: receipts with a good signature that do not say what a receipt must.
func TestChainHostile(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good, err := receipts()[0].Statement()
	require.NoError(t, err)
	verified, err := receipts()[4].Statement()
	require.NoError(t, err)
	for name, s := range map[string]string{
		"unknown act":    strings.Replace(string(good), "relocate: exported", "relocate: blessed", 1),
		"act of another": strings.Replace(string(good), "relocate: exported", "relocate: verified", 1),
		"no time":        strings.Replace(string(good), `"time":"2026-11-30T12:00:00Z",`, "", 1),
		"folder":         strings.Replace(string(good), `"name":"corp.tar"`, `"name":"../corp.tar"`, 1),
		"another seal":   strings.Replace(string(good), sealA.Hex, sealB.Hex, 1),
		"no subject":     `{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://in-toto.io/attestation/link/v0.3","predicate":{"name":"relocate: exported"}}`,
		"passed, failed": strings.Replace(string(verified), "PASSED", "FAILED", 1),
		"null":           strings.Replace(string(verified), `"subject":[`, `"subject":[null,`, 1),
		"a key twice":    strings.Replace(string(verified), `"subject":[`, `"subject":[],"Subject":[`, 1),
	} {
		require.NotEqual(t, string(good), s, name)
		_, _, err := custody.ParseReceipt([]byte(s))
		require.Error(t, err, name)
		line, err := key.SignStatement([]byte(s))
		require.NoError(t, err)
		c, err := custody.ReadChain("r", append(line, '\n'), v1.Hash{}, trustOf(t, key, ""), noon)
		require.NoError(t, err)
		assert.True(t, c.Lines[0].Problem != "" || strings.Contains(c.Lines[0].Note, "it is no receipt"), name)
	}
	_, err = custody.ReadChain("r", bytes.Repeat([]byte("\n"), 50_001), sealA, nil, noon)
	require.ErrorIs(t, err, custody.ErrMalformed)
	_, err = custody.ReadChain("r", make([]byte, custody.MaxReceipts+1), sealA, nil, noon)
	require.ErrorIs(t, err, custody.ErrMalformed)
}

// FuzzChain: no file of receipts makes the reader fail, and appending to it keeps what is not torn.
func FuzzChain(f *testing.F) {
	key := newKey(f)
	good := chain(f, key, receipts())
	f.Add([]byte(join(good)))
	f.Add([]byte(join(good[1:]) + good[0][:99]))
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := custody.ReadChain("r", raw, sealA, trustOf(t, key, ""), noon)
		if err != nil {
			return
		}
		for i, l := range c.Lines {
			if l.Number != i+1 {
				t.Fatal("a line has another number")
			}
		}
		if n := len(c.Lines); n > 0 && custody.Head(raw) != c.Lines[n-1].Digest {
			t.Fatal("the head is not the last line")
		}
	})
}
