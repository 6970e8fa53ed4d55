package main

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"
)

// concurrency is how many requests are sent at once: the least, or up to the most where answers take long.
// It is the value of the flag --concurrency.
type concurrency struct{ least, most int }

// automatic is the default.
var automatic = concurrency{8, 32}

// mostConcurrency is the most that can be asked for.
const mostConcurrency = 256

func (c *concurrency) add(flags *pflag.FlagSet) {
	*c = automatic
	flags.Var(c, "concurrency", "send `N` requests at once; auto: 8, and up to 32 to a distant registry")
}

// String implements pflag.Value.
func (c *concurrency) String() string {
	if *c == automatic {
		return "auto"
	}
	return strconv.Itoa(c.least)
}

// Set implements pflag.Value.
func (c *concurrency) Set(s string) error {
	if s == "auto" {
		*c = automatic
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > mostConcurrency {
		return errors.New("must be auto, or a number between 1 and 256")
	}
	*c = concurrency{n, n}
	return nil
}

// Type implements pflag.Value.
func (c *concurrency) Type() string { return "N" }
