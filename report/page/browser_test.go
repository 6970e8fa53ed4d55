package page

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is a headless Chromium with one page, driven by the DevTools protocol over a pipe. Its connections,
// those to this machine too, go through a proxy that answers nothing.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	session string
	last    int
	events  []event

	mu    sync.Mutex
	asked []string // hosts that the proxy was asked for
}

// event is what the browser says by itself.
type event struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (Debian package chromium)")
	}
	b := &browser{t: t}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.asked = append(b.asked, r.Host)
		http.Error(w, "no way out", http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	profile, err := os.MkdirTemp("", "relocate-chromium-") // no t.TempDir: processes of the browser may outlive it for a moment
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(profile) })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // of one that hangs
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage",
		"--user-data-dir="+profile, "--proxy-server="+proxy.Listener.Addr().String(), "--proxy-bypass-list=<-loopback>", "--remote-debugging-pipe", "about:blank")
	theirs, in, err := os.Pipe()
	require.NoError(t, err)
	out, ours, err := os.Pipe()
	require.NoError(t, err)
	cmd.ExtraFiles = []*os.File{theirs, ours}
	require.NoError(t, cmd.Start())
	theirs.Close()
	ours.Close()
	b.in, b.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close() // which ends it
		cmd.Wait() // its status says nothing of the page
		out.Close()
	})
	var target struct{ TargetID string }
	b.into(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	var attached struct{ SessionID string }
	b.into(&attached, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Audits"} {
		b.call(domain+".enable", nil)
	}
	return b
}

// call sends a command and returns its result. Events before it are kept.
func (b *browser) call(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	b.last++
	message := map[string]any{"id": b.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	require.NoError(b.t, err)
	_, err = b.in.Write(append(text, 0))
	require.NoError(b.t, err)
	for {
		answer := b.read()
		if answer.ID != b.last {
			continue
		}
		require.Empty(b.t, string(answer.Error), method)
		return answer.Result
	}
}

func (b *browser) into(v any, method string, params map[string]any) {
	b.t.Helper()
	require.NoError(b.t, json.Unmarshal(b.call(method, params), v))
}

// message is what the browser writes: the answer to a call, or an event.
type message struct {
	event
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func (b *browser) read() message {
	b.t.Helper()
	text, err := b.out.ReadBytes(0)
	require.NoError(b.t, err, "the browser went away")
	var m message
	require.NoError(b.t, json.Unmarshal(text[:len(text)-1], &m))
	if m.Method != "" {
		b.events = append(b.events, m.event)
	}
	return m
}

// open shows a file, and forgets earlier events.
func (b *browser) open(path string) {
	b.t.Helper()
	b.events = nil
	b.call("Page.navigate", map[string]any{"url": "file://" + path})
	seen := 0
	for {
		for ; seen < len(b.events); seen++ {
			if b.events[seen].Method == "Page.loadEventFired" {
				return
			}
		}
		b.read()
	}
}

// eval runs an expression in the page and decodes its value into v.
func (b *browser) eval(v any, expression string) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.into(&answer, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	require.Empty(b.t, string(answer.ExceptionDetails), expression)
	require.NoError(b.t, json.Unmarshal(answer.Result.Value, v), expression)
}

// complaints are the events that say that something is wrong with the page, and the requests that it made
// beside that of itself.
func (b *browser) complaints() []string {
	b.call("Runtime.evaluate", map[string]any{"expression": "1"}) // events before this have come
	var list []string
	for _, e := range b.events {
		switch e.Method {
		case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Audits.issueAdded", "Network.loadingFailed", "Page.javascriptDialogOpening":
			list = append(list, e.Method+" "+string(e.Params))
		case "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			require.NoError(b.t, json.Unmarshal(e.Params, &sent))
			list = append(list, "request "+sent.Request.URL)
		}
	}
	return list
}
