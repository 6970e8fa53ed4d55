package content

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/publicsuffix"

	"relocate/report"
)

// codeURL is the code for an address outside.
const codeURL report.Code = "url"

var addressForm = regexp.MustCompile(`^(-{1,2}[A-Za-z0-9._-]+=)?((?:https?|ftp|git|ssh)://\S+)$`)

// address reports a string that is an address outside, in a place where programs read addresses: an
// argument, the value of a variable, a line of a ConfigMap. It returns true for any address,
// outside or not.
func (w *walker) address(n *yaml.Node) bool {
	if w.class != object || !w.takesAddress() {
		return false
	}
	m := addressForm.FindStringSubmatch(strings.TrimSpace(n.Value))
	if m == nil {
		return false
	}
	if leadsOutside(m[2]) {
		w.note(w.place(n.Line, m[2]), codeURL, report.Warning, m[2], "a program gets an address outside and may connect to it at run time",
			"set it to an address that the cluster reaches, if the program needs it")
	}
	return true
}

// takesAddress reports whether the value at w.path is an item of args or command, the value of a
// variable, or a value of a ConfigMap or a Secret.
func (w *walker) takesAddress() bool {
	switch {
	case w.key(1) == "args", w.key(1) == "command":
		return w.path[len(w.path)-1].IsIndex
	case w.key(0) == "value":
		return w.key(2) == "env"
	case len(w.path) == 2 && (w.key(1) == "data" || w.key(1) == "stringData"):
		return w.kind == "ConfigMap" || w.kind == "Secret"
	}
	return false
}

// leadsOutside reports whether the host of an address is public: not in the cluster, not in a
// private network, and not an example.
func leadsOutside(address string) bool {
	if isTemplated(address) || strings.ContainsAny(address, "$<>") {
		return false
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsGlobalUnicast() && !ip.IsPrivate()
	}
	if !strings.Contains(host, ".") { // a name that the cluster's DNS completes
		return false
	}
	for _, suffix := range []string{".example.com", ".example.org", ".example.net"} {
		if strings.HasSuffix("."+host, suffix) {
			return false
		}
	}
	public, managed := publicsuffix.PublicSuffix(host)
	return managed || strings.Contains(public, ".") // cluster.local, svc, internal, test and the like are not in public DNS
}
