package custody

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"relocate/internal/text"
)

// ErrTrust says that a file of trusted keys cannot be read.
var ErrTrust = errors.New("not a list of trusted keys")

// trusted is a key that a site trusts.
type trusted struct {
	file       string // that lists it, for messages
	principals string // as listed; in a PEM file, the file's name
	key        PublicKey
	refused    error    // why the key cannot be used; nil otherwise
	namespaces []string // patterns; nil: all
	after      time.Time
	before     time.Time // zero: no end
}

// parseAllowed reads a list of allowed signers (ssh-keygen(1), ALLOWED SIGNERS; OpenSSH 9.2). A line
// that ssh-keygen would refuse is an error, so that a slip of the pen trusts nobody.
//
// Errors: ErrTrust.
func parseAllowed(file string, raw []byte) ([]trusted, error) {
	var list []trusted
	for i, line := range strings.Split(string(raw), "\n") {
		line = strings.Trim(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		t, isAuthority, err := parseSigner(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: line %d: %w", file, ErrTrust, i+1, err)
		}
		if !isAuthority { // certificates are not supported, and an authority may not sign itself
			t.file = file
			list = append(list, t)
		}
	}
	return list, nil
}

// parseSigner reads a line: principals, options, key type, key.
func parseSigner(line string) (t trusted, isAuthority bool, err error) {
	principals, rest, err := nextWord(line)
	if err != nil {
		return t, false, err
	}
	k, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return t, false, errors.New("no public key follows the principals and options")
	}
	t.principals = principals
	for _, option := range options {
		name, value, hasValue := strings.Cut(option, "=")
		if strings.EqualFold(name, "cert-authority") && !hasValue {
			isAuthority = true
			continue
		}
		if err := t.setOption(strings.ToLower(name), value); err != nil {
			return t, false, err
		}
	}
	if !t.before.IsZero() && !t.after.IsZero() && !t.before.After(t.after) {
		return t, false, errors.New("valid-before is not after valid-after")
	}
	t.key, t.refused = fromSSH(k)
	return t, isAuthority, nil
}

// nextWord takes the first word of a line, which may be in double quotes.
func nextWord(line string) (word, rest string, err error) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		word, rest, ok = strings.Cut(quoted, `"`)
		if !ok {
			return "", "", errors.New("a quote is not closed")
		}
	} else if i := strings.IndexAny(line, " \t"); i > 0 {
		word, rest = line[:i], line[i:]
	}
	if word == "" || rest == "" {
		return "", "", errors.New("it has no principals followed by a key")
	}
	return word, rest, nil
}

// setOption sets an option with a value in quotes, which may come once.
func (t *trusted) setOption(name, quoted string) error {
	value, ok := strings.CutPrefix(quoted, `"`)
	value, closed := strings.CutSuffix(value, `"`)
	if !ok || !closed || strings.Contains(value, `"`) {
		return fmt.Errorf("option %s must have a value in double quotes", text.Quote(name))
	}
	var err error
	switch {
	case name == "namespaces" && t.namespaces == nil:
		t.namespaces = strings.Split(value, ",")
	case name == "valid-after" && t.after.IsZero():
		t.after, err = parseTime(value)
	case name == "valid-before" && t.before.IsZero():
		t.before, err = parseTime(value)
	default:
		err = fmt.Errorf("option %s is unknown, or there twice", text.Quote(name))
	}
	return err
}

// parseTime reads YYYYMMDD or YYYYMMDDHHMM[SS], in UTC with a Z behind it, else in local time.
func parseTime(s string) (time.Time, error) {
	digits, isUTC := strings.CutSuffix(s, "Z")
	zone := time.Local
	if isUTC {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) == len(layout) {
			if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time: write YYYYMMDD or YYYYMMDDHHMMSS, with Z for UTC", text.Quote(s))
}

// allows reports whether the key may sign in a namespace. A pattern that begins with ! forbids.
func (t *trusted) allows(namespace string) bool {
	if t.namespaces == nil {
		return true
	}
	found := false
	for _, pattern := range t.namespaces {
		pattern, forbids := strings.CutPrefix(pattern, "!")
		if match(namespace, pattern) {
			if forbids {
				return false
			}
			found = true
		}
	}
	return found
}

// match reports whether s matches a pattern of OpenSSH: * stands for any text, ? for one character
// (ssh_config(5), PATTERNS).
func match(s, pattern string) bool {
	star, from := -1, 0 // the last * and the place in s that what follows it was tried at
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}
