package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"relocate/internal/text"
)

// Level says how severe a finding is for a cluster that reaches nothing but its private registry.
type Level string

// The levels, the worst first.
const (
	Install     Level = "install"     // a package repository or a package cannot be installed, or only from outside
	Pull        Level = "pull"        // pods cannot pull an image
	Warning     Level = "warning"     // something may reach outside at run time, or could not be examined
	Information Level = "information" // it needs no action
)

// levels are all levels, the worst first, each with what is said of one finding and of several.
var levels = []struct {
	level     Level
	one, some string
}{
	{Install, "breaks an install", "break an install"},
	{Pull, "breaks a pull", "break a pull"},
	{Warning, "warning", "warnings"},
	{Information, "for information", "for information"},
}

// rank is 0 for the worst level.
func (l Level) rank() int {
	for i, known := range levels {
		if known.level == l {
			return i
		}
	}
	return len(levels)
}

// Breaks reports whether findings of the level keep a cluster from running with its private
// registry alone. Others may reach outside, could not be examined, or need no action.
func (l Level) Breaks() bool { return l == Install || l == Pull }

// Basis says what a finding was seen in.
type Basis string

// What a finding was seen in.
const (
	Rendered Basis = "rendered" // what the templates of the package make of its values: it reaches the cluster
	AsText   Basis = "text"     // the text of a file: values or templates may keep it from the cluster
)

// Finding is something that is wrong with the content of a bundle, or with an object of a cluster.
// Content is carried unchanged: such a finding is for the author, or for an overlay at the cluster.
type Finding struct {
	Code      Code   `json:"code"`
	Level     Level  `json:"level"`
	Bundle    string `json:"bundle"`              // reference
	Package   string `json:"package,omitempty"`   // name and version, with a space between
	File      string `json:"file,omitempty"`      // in the bundle
	Line      int    `json:"line,omitempty"`      // in the file or in the input, from 1; 0 when the finding is about the whole file
	Reference string `json:"reference,omitempty"` // as written
	Message   string `json:"message"`             // what is wrong
	Action    string `json:"action,omitempty"`    // what to do about it
	Basis     Basis  `json:"basis,omitempty"`     // of a finding in the content of a package; empty for all others
	Root      string `json:"root,omitempty"`      // the first root that needs the bundle, as named; empty where there is one root

	Object *Object `json:"-"` // of a cluster; nil for a finding of a bundle
	Path   string  `json:"-"` // in the object: spec.containers[0].image
}

// Object names an object of a cluster.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"` // empty when the kind has none
	Name      string `json:"name"`
}

// String returns "Pod default/web", or "Node a".
func (o *Object) String() string {
	name := cmp.Or(o.Name, "without a name")
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return o.Kind + " " + name
}

// Of names what the finding is about: the object, the package's version or, without one, the
// bundle.
func (f Finding) Of() string {
	if f.Object != nil {
		return f.Object.String()
	}
	return cmp.Or(f.Package, f.Bundle)
}

// Place returns where it is: the file and its line, the line of the input and the path in the
// object, or the bundle. Where there are several roots, it names the finding's.
func (f Finding) Place() string {
	if f.Root != "" {
		return f.place() + ", root " + f.Root
	}
	return f.place()
}

func (f Finding) place() string {
	switch {
	case f.Object != nil && f.Path != "":
		return fmt.Sprintf("line %d, %s", f.Line, f.Path)
	case f.Object != nil:
		return fmt.Sprintf("line %d", f.Line)
	case f.File != "" && f.Line > 0:
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return cmp.Or(f.File, f.Bundle)
}

// Lines returns the lines of the message, safe for a terminal. A program's message has several.
func (f Finding) Lines() []string {
	var list []string
	for l := range strings.Lines(f.Message) {
		if l = strings.TrimRight(strings.ReplaceAll(text.Printable(l), "\t", "    "), " \n"); l != "" {
			list = append(list, l)
		}
	}
	return list
}

// Findings is a list of findings.
type Findings []Finding

// Breaking counts the findings that break an install or a pull.
func (l Findings) Breaking() int {
	n := 0
	for _, f := range l {
		if f.Level.Breaks() {
			n++
		}
	}
	return n
}

// Open says that not all is closed: "not closed: 2 findings break an install or a pull".
func (l Findings) Open() string {
	return "not closed: " + counted(l.Breaking(), "finding breaks", "findings break") + " an install or a pull"
}

// String counts the findings of each level: "2 break an install, 1 breaks a pull, 5 warnings, 1 for
// information".
func (l Findings) String() string {
	var parts []string
	for rank, level := range levels {
		n := 0
		for _, f := range l {
			if f.Level.rank() == rank {
				n++
			}
		}
		switch n {
		case 0:
		case 1:
			parts = append(parts, "1 "+level.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, level.some))
		}
	}
	return strings.Join(parts, ", ")
}

// Sorted returns the findings grouped by what they are about: the group with the worst finding
// first, and in each group the worst finding first.
func (l Findings) Sorted() Findings {
	worst := map[string]int{}
	for _, f := range l {
		of := f.Of()
		if rank, known := worst[of]; !known || f.Level.rank() < rank {
			worst[of] = f.Level.rank()
		}
	}
	sorted := slices.Clone(l)
	slices.SortStableFunc(sorted, func(a, b Finding) int {
		return cmp.Or(worst[a.Of()]-worst[b.Of()], strings.Compare(a.Of(), b.Of()), a.Level.rank()-b.Level.rank(),
			strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	return sorted
}

// Worst returns the findings by level, the worst first.
func (l Findings) Worst() Findings {
	return slices.SortedStableFunc(slices.Values(l), func(a, b Finding) int { return a.Level.rank() - b.Level.rank() })
}

// counted is "1 warning", and so on, for a sentence.
func counted(n int, one, some string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, some)
}

// joined is a list for a sentence: "a, b and c".
func joined(list []string) string {
	if n := len(list); n > 1 {
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
	return strings.Join(list, "")
}

// ofCode counts the findings of a code.
func (l Findings) ofCode(code Code) int {
	n := 0
	for _, f := range l {
		if f.Code == code {
			n++
		}
	}
	return n
}

// count counts the findings of a level.
func (l Findings) count(level Level) int {
	n := 0
	for _, f := range l {
		if f.Level == level {
			n++
		}
	}
	return n
}
