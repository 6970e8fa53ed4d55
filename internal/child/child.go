// Package child runs parts of this program, and other programs, in child processes with limits on
// time, memory and output, and without a network where the system can cut it.
package child

import (
	"fmt"
	"time"
)

// Program is the relocate program that runs as a child, and its limits. The zero limits are the
// default ones.
type Program struct {
	Path   string        // of a relocate program; empty: there is none
	Time   time.Duration // of one child
	Memory int64         // bytes of one child
	Output int64         // bytes that one child may write
}

// LimitError says that a child was ended by a limit, or died.
type LimitError struct{ Reason string }

func (e *LimitError) Error() string { return fmt.Sprintf("the template was ended: %s", e.Reason) }
