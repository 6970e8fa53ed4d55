package kbld

import (
	"encoding/json"
)

// rule is a search rule of the step.
type rule struct {
	search searchRule
	keys   bool // from a Config's keys, which come before all searchRules
}

// searchRule is a rule as a Config writes it.
type searchRule struct {
	KeyMatcher     *keyMatcher `json:"keyMatcher"`
	ValueMatcher   *imageRef   `json:"valueMatcher"`
	UpdateStrategy *strategy   `json:"updateStrategy"`
}

// keyMatcher matches the key of a value, or the whole path to it. Name takes precedence when both
// are set.
type keyMatcher struct {
	Name string `json:"name"`
	Path []Part `json:"path"`
}

// strategy says what kbld does with a matching value: the first that is set. When it is nil, the
// whole value is a reference.
type strategy struct {
	None   *struct{}     `json:"none"`
	Entire *struct{}     `json:"entireValue"`
	JSON   *nestedConfig `json:"json"`
	YAML   *nestedConfig `json:"yaml"`
}

// nestedConfig has the rules for the document in a string. The built-in rule is not added to them.
type nestedConfig struct {
	SearchRules []searchRule `json:"searchRules"`
}

// entire is the strategy of a rule without one.
var entire = &strategy{Entire: &struct{}{}}

// isUnknown reports whether kbld ends where it uses the strategy.
func (s *strategy) isUnknown() bool { return *s == strategy{} }

// isEntire reports whether the whole value is a reference.
func (s *strategy) isEntire() bool { return s.None == nil && s.Entire != nil }

// nested returns the rules for a string that is a document. ok is false when it is none for kbld.
// Strategy yaml tries JSON first, with the same rules.
func (s *strategy) nested(value string) (rules Rules, isJSON, ok bool) {
	switch {
	case s.None != nil || s.Entire != nil:
		return nil, false, false
	case s.JSON != nil:
		isJSON = isValidJSON(value)
		return append(Rules{}, s.JSON.SearchRules...), isJSON, isJSON
	case s.YAML != nil:
		return append(Rules{}, s.YAML.SearchRules...), isValidJSON(value), true
	}
	return nil, false, false
}

// isValidJSON reports whether kbld can decode a JSON text.
func isValidJSON(value string) bool {
	var v any
	return json.Unmarshal([]byte(value), &v) == nil
}

// Part is an element of the path to a value: a key of a map, or an index of a list.
type Part struct {
	Key     string
	IsIndex bool
	Index   int
}

// Indexes of the parts of a rule that match more, or less, than one index.
const (
	anyIndex = -1
	noIndex  = -2
)

// UnmarshalJSON reads "key", {"index": 0} or {"allIndexes": true}.
func (p *Part) UnmarshalJSON(data []byte) error {
	if string(data) != "null" && json.Unmarshal(data, &p.Key) == nil {
		return nil
	}
	var y struct {
		Index      *int  `json:"index"`
		AllIndexes *bool `json:"allIndexes"`
	}
	if string(data) == "null" || json.Unmarshal(data, &y) != nil {
		return failed("Unknown path part")
	}
	p.IsIndex = true
	switch {
	case y.Index != nil && *y.Index >= 0:
		p.Index = *y.Index
	case y.Index == nil && y.AllIndexes != nil: // whatever it is
		p.Index = anyIndex
	default:
		p.Index = noIndex
	}
	return nil
}

// Rules are the rules by which kbld finds references in a document, in the order in which it tries
// them.
type Rules []searchRule

// builtIn is the rule that kbld has without configuration.
var builtIn = searchRule{KeyMatcher: &keyMatcher{Name: "image"}}

// Rules returns the rules of the step.
func (s *Step) Rules() Rules {
	if s == nil {
		return Rules{builtIn}
	}
	rules := make(Rules, 0, len(s.rules)+1)
	for _, r := range s.rules {
		rules = append(rules, r.search)
	}
	return append(rules, builtIn)
}

// See reports whether kbld reads the string at a path of a document as a reference. When kbld reads
// the string as a document, inner has the rules for that document; otherwise it is nil.
func (r Rules) See(path []Part, value string) (image bool, inner Rules) {
	how := r.match(path, value)
	if how == nil {
		return false, nil
	}
	if rules, _, ok := how.nested(value); ok {
		return false, rules
	}
	return how.isEntire(), nil
}

// match returns what kbld does with the value at a path; nil when no rule matches.
func (r Rules) match(path []Part, value any) *strategy {
	for _, rule := range r {
		switch {
		case rule.isBroken():
			return &strategy{}
		case !rule.matches(path, value):
		case rule.UpdateStrategy == nil:
			return entire
		default:
			return rule.UpdateStrategy
		}
	}
	return nil
}

// problem returns why kbld refuses the rule, unless it is one for a document in a string.
func (r *searchRule) problem() string {
	switch {
	case r.KeyMatcher == nil && r.ValueMatcher == nil:
		return "Expected KeyMatcher or ValueMatcher to be non-empty"
	case r.KeyMatcher != nil && r.KeyMatcher.Name == "" && len(r.KeyMatcher.Path) == 0:
		return "Expected KeyMatcher.Name or KeyMatcher.Path to be non-empty"
	case r.ValueMatcher != nil && r.ValueMatcher.isEmpty():
		return "Expected ValueMatcher.Image or ValueMatcher.ImageRepo to be non-empty"
	}
	return ""
}

// isBroken reports whether kbld ends where it tries the rule.
func (r *searchRule) isBroken() bool {
	return (r.KeyMatcher != nil || r.ValueMatcher != nil) && r.problem() != ""
}

func (r *searchRule) matches(path []Part, value any) bool {
	return r.KeyMatcher.matches(path) && r.ValueMatcher.matches(value)
}

func (m *keyMatcher) matches(path []Part) bool {
	switch {
	case m == nil:
		return true
	case len(path) == 0:
		return false
	case m.Name != "":
		last := path[len(path)-1]
		return !last.IsIndex && last.Key == m.Name
	case len(m.Path) != len(path):
		return false
	}
	for i, p := range m.Path {
		if !p.matches(path[i]) {
			return false
		}
	}
	return true
}

// matches reports whether p, an element of a rule, matches part, an element of a path.
func (p Part) matches(part Part) bool {
	return p.IsIndex == part.IsIndex && p.Key == part.Key && (!p.IsIndex || p.Index == anyIndex || p.Index == part.Index)
}

func (r *imageRef) matches(value any) bool {
	if r == nil {
		return true
	}
	s, ok := value.(string)
	if !ok || r.Image != "" {
		return ok && r.Image == s
	}
	repo, ok := repository(s)
	return ok && r.ImageRepo == repo && repo != ""
}
