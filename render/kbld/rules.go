package kbld

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// rule is a search rule of the step.
type rule struct {
	search searchRule
	keys   bool // from a Config's keys, which come before all searchRules
}

// searchRule is a rule as a Config writes it.
type searchRule struct {
	KeyMatcher     *keyMatcher `yaml:"keyMatcher"`
	ValueMatcher   *imageRef   `yaml:"valueMatcher"`
	UpdateStrategy *strategy   `yaml:"updateStrategy"`
}

// keyMatcher matches the key of a value, or the whole path to it. Name takes precedence when both
// are set.
type keyMatcher struct {
	Name string `yaml:"name"`
	Path []Part `yaml:"path"`
}

// strategy says what kbld does with a matching value. When it is nil or zero, the whole value is a
// reference.
type strategy struct {
	None *struct{}     `yaml:"none"`
	JSON *nestedConfig `yaml:"json"`
	YAML *nestedConfig `yaml:"yaml"`
}

// nestedConfig has the rules for the document in a string. The built-in rule is not added to them.
type nestedConfig struct {
	SearchRules []searchRule `yaml:"searchRules"`
}

// Part is an element of the path to a value: a key of a map, or an index of a list.
type Part struct {
	Key     string
	IsIndex bool
	Index   int // -1 in a rule matches every index
}

// UnmarshalYAML reads "key", {index: 0} or {allIndexes: true}.
func (p *Part) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		p.Key = n.Value
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
	if p.IsIndex, p.Index = true, -1; y.Index != nil {
		p.Index = *y.Index
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
	for _, rule := range r {
		if !rule.matches(path, value) {
			continue
		}
		switch how := rule.UpdateStrategy; {
		case how == nil:
			return true, nil
		case how.None != nil:
			return false, nil
		case how.JSON != nil && json.Valid([]byte(value)):
			return false, append(Rules{}, how.JSON.SearchRules...)
		case how.JSON != nil:
			return false, nil
		case how.YAML != nil:
			return false, append(Rules{}, how.YAML.SearchRules...)
		}
		return true, nil
	}
	return false, nil
}

func (r *searchRule) matches(path []Part, value string) bool {
	return r.KeyMatcher.matches(path) && r.ValueMatcher.matches(value) && (r.KeyMatcher != nil || r.ValueMatcher != nil)
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
	return p.IsIndex == part.IsIndex && p.Key == part.Key && (!p.IsIndex || p.Index < 0 || p.Index == part.Index)
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
