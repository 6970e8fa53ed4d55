package leak

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"relocate/internal/yamlnode"
	"relocate/report"
	"relocate/verify/leak/content"
	"relocate/verify/leak/kappctrl"
)

// Limits on packed charts.
const (
	maxPacked      = 4      // charts nested in charts
	maxPackedFiles = 10_000 // in one chart; all charts of a bundle unpack to at most maxText
)

// isPackedChart reports whether helm unpacks a file: one below charts/, or one that a step names.
func (a *appFolder) isPackedChart(p string) bool {
	if path.Ext(p) != ".tgz" {
		return false
	}
	return path.Base(path.Dir(p)) == "charts" || slices.ContainsFunc(a.groups, func(g group) bool { return g.steps().ReadChart(p) })
}

// unpack adds the text files of a packed chart as if it were a folder. A chart that cannot be read
// is a finding.
func (a *appFolder) unpack(p string, data []byte, depth int) {
	note := func(level report.Level, format string, args ...any) {
		a.out.findings.note(newFinding(codeNotRead, level, a.at(p), "", format, args...))
	}
	if depth == maxPacked {
		note(report.Install, "is a chart in more than %d others; it was not examined", maxPacked)
		return
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		note(report.Warning, "is not a packed chart: %v", err)
		return
	}
	limit := maxText - a.unpacked
	unpacked := &io.LimitedReader{R: zr, N: limit}
	defer func() { a.unpacked += limit - unpacked.N }()
	members := tar.NewReader(unpacked)
	for n := 0; ; n++ {
		h, err := members.Next()
		if err == nil && h.Typeflag == tar.TypeReg {
			err = a.member(path.Join(p, kappctrl.CleanPath(h.Name)), members, depth)
		}
		switch {
		case errors.Is(err, io.EOF) && unpacked.N > 0:
			return
		case unpacked.N <= 0, n == maxPackedFiles, a.size > maxText:
			note(report.Install, "has, with the charts before it, more than %d bytes or %d files; the rest was not examined", maxText, maxPackedFiles)
			return
		case err != nil:
			note(report.Warning, "is not a packed chart: %v", err)
			return
		}
	}
}

// member adds a file of a packed chart.
func (a *appFolder) member(p string, r io.Reader, depth int) error {
	data, err := io.ReadAll(io.LimitReader(r, yamlnode.MaxSize+1))
	switch {
	case err != nil:
		return err
	case len(data) > yamlnode.MaxSize:
		a.out.findings.note(newFinding(codeNotRead, report.Warning, a.at(p), "", "has more bytes than the limit of %d", yamlnode.MaxSize))
	case strings.HasSuffix(p, ".tgz"):
		a.files = append(a.files, content.File{Path: p})
		if path.Base(path.Dir(p)) == "charts" {
			a.unpack(p, data, depth+1)
		}
	case !isBinary(data):
		a.size += len(data)
		a.files = append(a.files, content.File{Path: p, Data: data})
	}
	return nil
}
