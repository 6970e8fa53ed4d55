package leak

import "relocate/report"

// tally counts findings: those that lead outside and warnings apart, so that no flood of warnings hides the others.
type tally struct {
	leading, warnings int
	hidden            int // that lead outside, beyond the limit
	left              int // beyond the limit
}

// takes counts a finding; false when there are most of its sort already.
func (t *tally) takes(level report.Level, most int) bool {
	n := &t.leading
	if level == report.Warning {
		n = &t.warnings
	}
	if *n < most {
		*n++
		return true
	}
	if t.left++; level != report.Warning {
		t.hidden++
	}
	return false
}

// level is how much it may hurt what was left out.
func (t *tally) level() report.Level {
	if t.hidden > 0 {
		return report.Install
	}
	return report.Warning
}
