package page

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"relocate/report"
)

// pageTest opens pages in a browser.
type pageTest struct {
	*browser
	shop    *shopSource
	damaged *report.Verdict
}

// TestPageInBrowser opens pages in a real browser, one after the other.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	p := pageTest{browser: startBrowser(t), shop: newShop(t)}
	p.damaged = p.shop.report()
	p.damaged.Problems, p.damaged.Findings = p.shop.problems(), p.shop.findings()
	p.damaged.Judge()
	t.Run("control", p.control)
	t.Run("runs", p.runs)
	t.Run("treemap", p.treemap)
	t.Run("zoom", p.zoom)
	t.Run("sort", p.sorts)
	t.Run("filter", p.filters)
	t.Run("hostile", p.hostile)
	t.Run("without script", p.withoutScript)
	t.Run("contrast", p.contrast)
	t.Run("narrow", p.narrow)
	t.Run("large", p.large)
}

// show writes a page and opens it. It returns the file.
func (b pageTest) show(t *testing.T, p *htmlPage) string {
	path := filepath.Join(t.TempDir(), "page.html")
	text, err := p.encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	b.open(path)
	return path
}

// control: what the tests below look for is seen where it is.
func (b pageTest) control(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.html")
	require.NoError(t, os.WriteFile(path, []byte(`<meta http-equiv="Content-Security-Policy" content="script-src 'none'">
		<img src="http://outside.test/"><script>1</script><p style="color:#aaa">faint</p>`), 0o600))
	b.open(path)
	assertAll(t, strings.Join(b.complaints(), "\n"), "request http://outside.test/", "Content Security Policy", "Network.loadingFailed")
	assert.Contains(t, b.hosts(), "outside.test")
	assert.NotEmpty(t, b.faint())
}

// runs: its script runs, nothing complains, and nothing is asked for.
func (b pageTest) runs(t *testing.T) {
	path := b.show(t, b.shop.page(t, b.damaged))
	assert.Equal(t, []string{"request file://" + path}, b.complaints())
	assert.NotContains(t, b.hosts(), "registry.example")
	var heading, word string
	b.eval(&heading, `document.querySelector("h1").textContent`)
	b.eval(&word, `document.querySelector(".verdict .word").textContent`)
	assert.Equal(t, []string{"shop.tar", "NOT OK"}, []string{heading, word})
}

// treemap: areas are in proportion to bytes.
func (b pageTest) treemap(t *testing.T) {
	b.show(t, b.shop.page(t, b.shop.report().Judge()))
	var boxes []struct{ Bytes, Area float64 }
	b.eval(&boxes, `[...document.querySelectorAll(".box rect")].map(r => { const b = r.getBBox(); return {bytes: Number(r.dataset.bytes), area: b.width * b.height} })`)
	var sum, area float64
	for _, box := range boxes {
		sum, area = sum+box.Bytes, area+box.Area
	}
	assert.EqualValues(t, b.shop.plan.Size(), sum)
	assert.InDelta(t, mapWidth*mapHeight, area, mapWidth*mapHeight/1000)
	for _, box := range boxes { // what is written has two places
		assert.InDelta(t, box.Bytes/sum, box.Area/area, 1e-5)
	}
}

// zoom: a group fills the treemap, and names what then has room.
func (b pageTest) zoom(t *testing.T) {
	b.show(t, b.shop.page(t, b.shop.report().Judge()))
	shown := `[...document.querySelectorAll(".group")].filter(g => getComputedStyle(g).display !== "none").map(g => { const f = g.querySelector(".frame"); return [g.dataset.name, f.getAttribute("width"), f.getAttribute("height")].join(" ") })`
	labels := `[...document.querySelectorAll(".group text")].filter(e => getComputedStyle(e).display !== "none").map(e => e.textContent)`
	var before, inside, after, few, more, again []string
	b.eval(&few, labels)
	b.eval(&before, shown)
	b.eval(&inside, `document.querySelector("[data-name=Shop]").dispatchEvent(new MouseEvent("click", {bubbles: true})), `+shown)
	assert.Equal(t, []string{"Shop 1200 640"}, inside)
	b.eval(&more, `(g => [...g.querySelectorAll("text")].filter(e => getComputedStyle(e).display !== "none").map(e => e.textContent))(document.querySelector("[data-name=Shop]"))`)
	b.eval(&after, `document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"})), `+shown)
	assert.Greater(t, len(before), 2)
	assert.Len(t, after, len(before))
	b.eval(&again, labels)
	assert.Equal(t, few, again)
	assert.Subset(t, more, []string{"Shop", "acme"})
}

// sorts: columns sort both ways.
func (b pageTest) sorts(t *testing.T) {
	b.show(t, b.shop.page(t, b.shop.report().Judge()))
	click := `document.querySelectorAll("#packages thead button")[%d].click(), [...document.querySelectorAll("#packages tbody tr")].map(r => r.cells[1].textContent)`
	for _, tt := range []struct {
		column int
		want   []string
	}{{3, []string{"1.1.0", "1.0.0", "2.0.0"}}, {3, []string{"2.0.0", "1.0.0", "1.1.0"}}, {1, []string{"1.0.0", "1.1.0", "2.0.0"}}, {1, []string{"2.0.0", "1.1.0", "1.0.0"}}} {
		var got []string
		b.eval(&got, fmt.Sprintf(click, tt.column))
		assert.Equal(t, tt.want, got, tt.column)
	}
	assert.Len(t, b.complaints(), 1)
}

// filters: rows without all words go.
func (b pageTest) filters(t *testing.T) {
	b.show(t, b.shop.page(t, b.shop.report().Judge()))
	filter := `(i => { i.value = %q; i.dispatchEvent(new Event("input")); return [...document.querySelectorAll("#images tbody tr")].filter(r => r.checkVisibility()).length + " " + i.nextSibling.textContent })(document.querySelector("#images input"))`
	for words, want := range map[string]string{"arm64": "2 2 of 10", "ARM64 index": "1 1 of 10", "no such": "0 0 of 10", "": "10 "} {
		var got string
		b.eval(&got, fmt.Sprintf(filter, words))
		assert.Equal(t, want, got, words)
	}
}

// hostile: names are text.
func (b pageTest) hostile(t *testing.T) {
	s := newShop(t)
	r := s.report()
	r.Findings, r.Problems = s.findings(), s.problems()
	p := s.page(t, s.spoil(r, strings.Join(pageHostile, " ")))
	p.Verdict.Archive = &report.Archive{File: pageHostile[0], Form: "relocate"}
	b.show(t, p)
	assert.Len(t, b.complaints(), 1)
	assert.NotContains(t, strings.Join(b.hosts(), " "), "evil.test")
	var got []any
	b.eval(&got, `[typeof pwned, document.scripts.length, document.querySelectorAll("img, iframe, a:not([href^='#'])").length, document.title.includes("</title>"), document.body.textContent.includes("<script>pwned=1</script>"), /[\u202a-\u202e\u2066-\u2069\x1b\x00]/.test(document.documentElement.outerHTML)]`)
	assert.Equal(t, []any{"undefined", 1.0, 0.0, true, true, false}, got)
}

// withoutScript: all is there.
func (b pageTest) withoutScript(t *testing.T) {
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	defer b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": false})
	b.show(t, b.shop.page(t, b.damaged))
	assert.Len(t, b.complaints(), 1)
	var got []float64
	b.eval(&got, `[document.querySelectorAll("button, input").length, [...document.querySelectorAll("tr")].filter(r => !r.checkVisibility()).length, document.querySelectorAll("#images tbody tr").length, document.querySelectorAll("#problems tbody tr").length]`)
	assert.Equal(t, []float64{0, 0, 10, 2}, got)
}

// contrast: all text can be read: light, dark and printed.
func (b pageTest) contrast(t *testing.T) {
	path := b.show(t, b.shop.page(t, b.damaged))
	for _, scheme := range []string{"light", "dark"} {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}})
		b.open(path)
		assert.Empty(t, b.faint(), scheme)
		var ground string
		b.eval(&ground, `getComputedStyle(document.documentElement).backgroundColor`)
		assert.Equal(t, map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 27)"}[scheme], ground)
	}
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": "print"})
	b.open(path)
	assert.Empty(t, b.faint(), "print")
	var got []bool
	b.eval(&got, `["nav", ".tools", "#images tbody tr", "details li"].map(s => document.querySelector(s).checkVisibility())`)
	assert.Equal(t, []bool{false, false, true, true}, got)
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": ""})
}

// narrow: nothing but tables is wider than a telephone.
func (b pageTest) narrow(t *testing.T) {
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": true})
	defer b.call("Emulation.clearDeviceMetricsOverride", nil)
	b.show(t, b.shop.page(t, b.damaged))
	var width int
	b.eval(&width, `document.documentElement.scrollWidth`)
	assert.Equal(t, 360, width, "nothing but tables is wider than the window")
}

// large: it opens.
func (b pageTest) large(t *testing.T) {
	b.show(t, largePage(t))
	assert.Len(t, b.complaints(), 1)
	var rows int
	b.eval(&rows, `document.querySelectorAll("#images tbody tr").length`)
	assert.Equal(t, mostPageImages, rows)
}

// hosts are what the proxy was asked for, whoever asked.
func (b *browser) hosts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.asked...)
}

// faint returns text of the page that does not stand out from its background as WCAG 2.2 wants (1.4.3: 4.5).
func (b *browser) faint() (list []string) {
	b.t.Helper()
	b.eval(&list, `(() => {
		const parts = (c) => c.match(/[\d.]+/g).map(Number);
		const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
		const ground = (e) => {
			for (; e; e = e.parentElement) {
				const svg = e.tagName === "g" && e.classList.contains("group");
				const c = parts(getComputedStyle(e)[svg ? "fill" : "backgroundColor"]);
				if (c.length === 3 || c[3] === 1) return c;
			}
			return [255, 255, 255];
		};
		const bad = [];
		const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		for (let n; (n = walker.nextNode());) {
			const e = n.parentElement;
			if (!n.data.trim() || ["SCRIPT", "STYLE", "title"].includes(e.tagName) || !e.checkVisibility()) continue;
			const a = light(parts(getComputedStyle(e)[e.tagName === "text" ? "fill" : "color"])), b = light(ground(e));
			const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
			if (ratio < 4.5) bad.push(ratio.toFixed(2) + " " + n.data.trim());
		}
		return bad;
	})()`)
	return list
}
