package registry

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzChallenge: whatever a registry sends in WWW-Authenticate, and whatever its token server
// answers, the password goes to the registry and to the realm that it names, over https, and
// nowhere else; the realm gets nothing that is for the registry; and no error contains a secret.
func FuzzChallenge(f *testing.F) {
	const password = "p4ssw0rd"
	for _, s := range []string{
		"", "Basic", `Basic realm="x"`, `Bearer realm="https://registry.test/token",service="s",scope="repository:repo:pull"`, `Bearer realm="https://auth.registry.test/token"`,
		`Bearer realm="http://registry.test/token"`, `Bearer realm="https://10.0.0.1/token"`, `Bearer realm="https://registry.test@other.test/"`, `Bearer realm=""`, `bearer realm=x,`, `Negotiate`, `Bearer realm="https://a.test/?x=` + password + `"`,
		`Bearer realm="\`, `Bearer realm="https://[::1]/"`, `Bearer realm="https://registry.test/v2/"`, "Bearer \x00", `Digest realm="x", Bearer realm="https://registry.test/t"`,
	} {
		f.Add(s, 200, []byte(`{"token":"t0ken"}`))
		f.Add(s, 401, []byte(`{"errors":[{"code":"DENIED"}]}`))
	}
	for _, s := range []string{"", "{}", `{"access_token":"t0ken"}`, `{"token":5}`, `{"token":"t0ken`, "t0ken", `{"token":"a\nb"}`, `{"token":""}`, `{"secret":"t0ken"}`} {
		f.Add(`Bearer realm="https://registry.test/token"`, 200, []byte(s))
	}
	f.Fuzz(func(t *testing.T, header string, tokenStatus int, tokenBody []byte) {
		if tokenStatus < 200 || tokenStatus > 599 {
			return
		}
		a := &scripted{}
		a.answer = func(req *http.Request, _ int) *http.Response {
			switch {
			case req.URL.Host != fuzzHost || !strings.HasPrefix(req.URL.Path, "/v2/"):
				return reply(tokenStatus, tokenBody)
			case strings.HasPrefix(req.Header.Get("Authorization"), "B") && req.URL.Path != "/v2/":
				return reply(404, nil)
			}
			return reply(401, nil, "WWW-Authenticate", header)
		}
		c := over(t, Options{Username: "user", Password: password, Named: []string{fuzzHost}}, a)
		_, _, err := c.Manifest(t.Context(), fuzzRepo(t).Tag("1"))
		require.Error(t, err, "there is no manifest")
		require.Less(t, len(a.requests), 20)
		if !strings.Contains(header, password) {
			require.NotContains(t, err.Error(), password)
		}
		if tokenStatus < 300 && !strings.Contains(header, "t0ken") {
			require.NotContains(t, err.Error(), "t0ken")
		}

		secret := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+password))
		for _, req := range a.requests {
			got := req.Header.Get("Authorization")
			if req.URL.Host == fuzzHost {
				require.Equal(t, "https", req.URL.Scheme)
				continue
			}
			require.True(t, got == "" || got == secret, "%s got %q", req.URL.Host, got)
			require.True(t, got == "" || req.URL.Scheme == "https", "%s got the password in plain text", req.URL)
			require.True(t, names(header, req.URL), "%s was asked, which %q does not name", req.URL, header)
		}
	})
}

// names reports whether a challenge contains the host of u, escaped as in a quoted string or not.
func names(header string, u *url.URL) bool {
	return strings.Contains(strings.ReplaceAll(header, `\`, ""), u.Host) || strings.Contains(header, u.Host)
}
