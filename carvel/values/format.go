package values

import (
	"encoding/base64"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"time"

	"relocate/internal/text"
)

// formats are those of OpenAPI 3.0.3, section "Data Types", and of Kubernetes' schemas that can be
// wrong. Others are not checked: a format is open to new names.
var formats = map[string]func(string) bool{
	"byte":      func(s string) bool { _, err := base64.StdEncoding.DecodeString(s); return err == nil },
	"date":      func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil },
	"date-time": func(s string) bool { _, err := time.Parse(time.RFC3339, s); return err == nil },
	"duration":  func(s string) bool { _, err := time.ParseDuration(s); return err == nil },
	"email":     func(s string) bool { a, err := mail.ParseAddress(s); return err == nil && a.Address == s },
	"hostname":  func(s string) bool { return len(s) <= 253 && hostname.MatchString(s) },
	"ipv4":      func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() },
	"ipv6":      func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() },
	"cidr":      func(s string) bool { _, err := netip.ParsePrefix(s); return err == nil },
	"uri":       func(s string) bool { u, err := url.Parse(s); return err == nil && u.IsAbs() },
	"uuid":      uuid.MatchString,
}

var (
	hostname = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	uuid     = regexp.MustCompile(`^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$`)
)

func (c *checker) format(given any, _ map[string]any, v *value, key string) {
	name, _ := given.(string)
	if valid := formats[name]; valid != nil && !valid(v.text()) {
		c.note(v, key, "is not valid in the format %s of the schema", text.Clip(name, 40))
	}
}

func (c *checker) numberFormat(given any, _ map[string]any, v *value, key string) {
	least, most := float64(math.MinInt32), float64(math.MaxInt32)
	switch given {
	case "int64":
		least, most = math.MinInt64, math.MaxInt64
	case "int32":
	default:
		return
	}
	if n := number(v.scalar); n != nil && (n.Cmp(number(least)) < 0 || n.Cmp(number(most)) > 0) {
		c.note(v, key, "is out of the range of the format %v of the schema", given)
	}
}
