package introspection_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// failed returns n failures of distinct tokens, whose names begin with the prefix.
func failed(n int, prefix string, f introspection.Failed) (list []introspection.Failed) {
	for i := range n {
		f.Token = fmt.Sprint(prefix, i)
		list = append(list, f)
	}
	return list
}

func join(lists ...[]introspection.Failed) (all []introspection.Failed) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func TestWhatARowOfFailuresDecides(t *testing.T) {
	type f = introspection.Failed
	down, internal := f{Failure: introspection.Down}, f{Failure: introspection.Internal}
	asks := f{Failure: introspection.Limited, Asks: true}
	refused, forbidden := f{Failure: introspection.Refused}, f{Failure: introspection.Forbidden}
	for _, test := range []struct {
		name                    string
		few                     int
		never                   bool
		lasted                  time.Duration
		failures                []f
		known, unknown, asksAll bool
	}{
		{"four known tokens fail", 2, false, 0, failed(4, "k", down), false, false, false},
		{"five known tokens fail", 2, false, 0, failed(5, "k", down), true, false, false},
		{"four unknown tokens fail", 2, false, 0, failed(4, "u", down), false, false, false},
		{"five unknown tokens fail", 2, false, 0, failed(5, "u", down), false, true, false},
		{"four known and four unknown tokens fail", 2, false, 0, join(failed(4, "k", down), failed(4, "u", down)), false, false, false},
		{"one token fails five times", 2, false, 0, []f{{"k", introspection.Down, false}, {"k", introspection.Down, false}, {"k", introspection.Down, false}, {"k", introspection.Down, false}, {"k", introspection.Down, false}}, false, false, false},
		{"four calls have no connection", 2, false, 0, failed(4, "u", f{Failure: introspection.Unsent}), false, false, false},
		{"five calls have no connection", 2, false, 0, failed(5, "u", f{Failure: introspection.Unsent}), true, false, false},

		{"a 500 for five unknown tokens, at once", 2, false, 0, failed(5, "u", internal), false, false, false},
		{"a 500 for five unknown tokens, for less than a second", 2, false, time.Second - 1, failed(5, "u", internal), false, false, false},
		{"a 500 for five unknown tokens, for a second", 2, false, time.Second, failed(5, "u", internal), false, true, false},
		{"a 500 for four unknown tokens, for a second", 2, false, time.Second, failed(4, "u", internal), false, false, false},
		{"a 500 for five known tokens", 2, false, time.Second, failed(5, "k", internal), true, false, false},
		{"a 500 for two, and no answer for three unknown tokens", 2, false, 0, join(failed(2, "u", internal), failed(3, "v", down)), false, false, false},

		{"a Retry-After for one known token", 2, false, 0, failed(1, "k", asks), false, false, false},
		{"a Retry-After for two known tokens", 2, false, 0, failed(2, "k", asks), true, false, true},
		{"a Retry-After for two unknown tokens", 2, false, 0, failed(2, "u", asks), false, true, true},
		{"a Retry-After for one known and one unknown token", 2, false, 0, join(failed(1, "k", asks), failed(1, "u", asks)), false, false, true},
		{"a Retry-After for four unknown tokens beside servers that answer", 10, false, 0, failed(4, "u", asks), false, false, false},
		{"no Retry-After for two known tokens", 2, false, 0, failed(2, "k", f{Failure: introspection.Limited}), false, false, false},

		{"a refusal of this client, told for two known tokens", 2, false, 0, failed(2, "k", refused), true, false, false},
		{"a refusal of this client, told for one known token", 2, false, 0, failed(1, "k", refused), false, false, false},
		{"a 403 for two known tokens", 2, false, 0, failed(2, "k", forbidden), true, false, false},
		{"a refusal of this client, told for five unknown tokens", 2, false, 0, failed(5, "u", refused), false, true, false},
		{"a refusal of this client, told for four unknown tokens", 2, false, 0, failed(4, "u", refused), false, false, false},
		{"the first answer ever refuses this client", 2, true, 0, failed(1, "u", refused), false, true, false},
		{"the first answer ever is a 403", 2, true, 0, failed(1, "u", forbidden), false, false, false},
		{"two refusals, and then a known token without an answer", 2, false, 0, join(failed(2, "k", refused), failed(1, "l", f{Failure: introspection.Down})), false, false, false},
		{"refusals and failures of known tokens, four in all that do not refuse", 2, false, 0, join(failed(1, "k", refused), failed(4, "kk", down)), false, false, false},
		{"four refusals and four failures of unknown tokens", 2, false, time.Minute, join(failed(4, "u", refused), failed(4, "v", down)), false, false, false},
		{"one refusal of a known and one of an unknown token", 2, false, 0, join(failed(1, "k", refused), failed(1, "u", refused)), false, false, false},
		{"a full row of unknown tokens, and five known ones fail", 2, false, 0, join(failed(10, "u", down), failed(5, "k", down)), true, true, false},
		{"a full row of 500s, and five tokens without an answer", 2, false, 0, join(failed(10, "u", internal), failed(5, "v", down)), false, true, false},
		{"a full row without a Retry-After, and two with one", 2, false, 0, join(failed(10, "u", f{Failure: introspection.Limited}), failed(2, "v", asks)), false, true, true},
		{"a known token without an answer, and a refusal", 2, false, 0, join(failed(1, "k", down), failed(1, "l", refused), failed(1, "kk", refused)), false, false, false},
		{"four unknown tokens without an answer, and a refusal", 2, false, 0, join(failed(4, "u", down), failed(1, "v", refused)), false, false, false},
		{"a Retry-After beside failures of other known tokens", 2, false, 0, join(failed(1, "k", asks), failed(3, "kk", down)), false, false, false},
	} {
		known, unknown, asksAll := introspection.Row(test.few, test.never, test.lasted, test.failures...)
		if known != test.known || unknown != test.unknown || asksAll != test.asksAll {
			t.Errorf("%s: got known %v, unknown %v, Retry-After for all %v; want %v, %v, %v", test.name, known, unknown, asksAll, test.known, test.unknown, test.asksAll)
		}
	}
}
