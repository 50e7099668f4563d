package panics_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/panics"
)

// described panics and returns what Describe makes of it.
func described(do func()) (text string) {
	defer func() { text = panics.Describe(recover()) }()
	do()
	return ""
}

func TestDescribeNeverRepeatsWhatThePanicHeld(t *testing.T) {
	type custom struct{ token string }
	for _, test := range []struct {
		name string
		do   func()
		want string
	}{
		{"a string", func() { panic("canary") }, "with a string"},
		{"an error", func() { panic(errors.New("canary")) }, "with a *errors.errorString"},
		{"a wrapped error", func() { panic(fmt.Errorf("more: %w", errors.New("canary"))) }, "with a *fmt.wrapError"},
		{"a struct", func() { panic(custom{"canary"}) }, "with a panics_test.custom"},
		{"a runtime error", func() { var m map[string]int; assign(m) }, "assignment to entry in nil map"},
		{"an index", func() { i := 3; _ = []int{}[i] }, "runtime error: index out of range [3] with length 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := described(test.do)
			if got != test.want || strings.Contains(got, "canary") {
				t.Errorf("got %q; want %q", got, test.want)
			}
		})
	}
}

func assign(m map[string]int) { m["canary"] = 1 }
