package leak

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"relocate/report"
)

// rule is a rule by which kbld finds references.
type rule struct {
	searchRule
	keys bool // of a Config's keys: those come before all searchRules
}

// searchRule is a rule as a Config writes it.
type searchRule struct {
	KeyMatcher     *keyMatcher `yaml:"keyMatcher"`
	ValueMatcher   *imageRef   `yaml:"valueMatcher"`
	UpdateStrategy *strategy   `yaml:"updateStrategy"`
}

// keyMatcher matches the key of a value, or the whole path to it. The name counts if there are both.
type keyMatcher struct {
	Name string     `yaml:"name"`
	Path []pathPart `yaml:"path"`
}

// strategy says what kbld does with a value that matches; nil and zero: the whole value is a reference.
type strategy struct {
	None *struct{}     `yaml:"none"`
	JSON *nestedConfig `yaml:"json"`
	YAML *nestedConfig `yaml:"yaml"`
}

// nestedConfig has the rules for the document that is in a string; no built-in one joins them.
type nestedConfig struct {
	SearchRules []searchRule `yaml:"searchRules"`
}

// pathPart is a key of a map, or an index of a list.
type pathPart struct {
	key   string
	index int // -1 for all indexes; only when isIndex
	isIdx bool
}

// UnmarshalYAML reads "key", {index: 0} or {allIndexes: true}.
func (p *pathPart) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		p.key = n.Value
		return nil
	}
	var y struct {
		Index      *int `yaml:"index"`
		AllIndexes bool `yaml:"allIndexes"`
	}
	if err := n.Decode(&y); err != nil {
		return err
	}
	if y.Index == nil && !y.AllIndexes {
		return fmt.Errorf("line %d: a path has a part without index and allIndexes", n.Line)
	}
	if p.isIdx, p.index = true, -1; y.Index != nil {
		p.index = *y.Index
	}
	return nil
}

// maxRules is how many rules a kbld step may have: each is compared with each value.
const maxRules = 200

// addRule takes a rule over. Rules of keys stand before the others.
func (k *kbld) addRule(s *scan, at place, r rule) {
	if len(k.rules) == maxRules {
		s.note(at, codeNotRead, report.Warning, "", fmt.Sprintf("the kbld step has more than %d search rules; the others were not applied", maxRules), "")
		return
	}
	if !r.keys {
		k.rules = append(k.rules, r)
		return
	}
	rules := append([]rule{}, k.rules[:k.keys]...)
	rules = append(rules, r)
	k.rules = append(rules, k.rules[k.keys:]...)
	k.keys++
}

// searchRules returns kbld's rules, the first to be tried first.
func (k *kbld) searchRules() []searchRule {
	rules := make([]searchRule, 0, len(k.rules)+1)
	for _, r := range k.rules {
		rules = append(rules, r.searchRule)
	}
	return append(rules, builtIn)
}

// builtIn is the rule that kbld has without any configuration.
var builtIn = searchRule{KeyMatcher: &keyMatcher{Name: "image"}}

// match returns what kbld does with a value at a path; false when it does not see it.
func match(rules []searchRule, path []pathPart, value string) (strategy, bool) {
	for _, r := range rules {
		if r.KeyMatcher.matches(path) && r.ValueMatcher.matches(value) && (r.KeyMatcher != nil || r.ValueMatcher != nil) {
			if r.UpdateStrategy == nil {
				return strategy{}, true
			}
			return *r.UpdateStrategy, true
		}
	}
	return strategy{}, false
}

func (m *keyMatcher) matches(path []pathPart) bool {
	if m == nil {
		return true
	}
	if m.Name != "" {
		return len(path) > 0 && !path[len(path)-1].isIdx && path[len(path)-1].key == m.Name
	}
	if len(m.Path) != len(path) || len(path) == 0 {
		return false
	}
	for i, p := range m.Path {
		switch {
		case p.isIdx != path[i].isIdx, p.key != path[i].key, p.isIdx && p.index >= 0 && p.index != path[i].index:
			return false
		}
	}
	return true
}

func (r *imageRef) matches(value string) bool {
	switch {
	case r == nil:
		return true
	case r.Image != "":
		return r.Image == value
	}
	return r.ImageRepo != "" && r.ImageRepo == repository(value)
}
