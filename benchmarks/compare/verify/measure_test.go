package verify_test

import (
	"errors"
	"testing"
)

// Tokens that are measured as unseen must be unseen in every lap.
func TestARenewedRowSeesNoTokenTwice(t *testing.T) {
	seen, laps := map[string]bool{}, 0
	end := errors.New("enough")
	r := row{
		serve: func(token string) (caller, error) {
			if seen[token] {
				t.Errorf("lap %d: %s was offered before", laps, token)
			}
			seen[token] = true
			if laps == 4 {
				return caller{}, end
			}
			return caller{}, nil
		},
		renew: func() {
			clear(seen)
			laps++
		},
	}
	testing.Benchmark(func(b *testing.B) { measure(b, r, []string{"a", "b", "c"}) })
	if laps != 4 {
		t.Errorf("got %d laps; want 4", laps)
	}
}

// Tokens that are measured as cached must have been seen.
func TestARememberingRowSeesAllTokensBefore(t *testing.T) {
	var offered []string
	r := row{remembers: true, serve: func(token string) (caller, error) {
		offered = append(offered, token)
		return caller{}, nil
	}}
	for _, c := range []struct {
		remembers bool
		want      int
	}{{true, 3}, {false, 1}} {
		offered, r.remembers = nil, c.remembers
		prime(t, r, []string{"a", "b", "c"})
		if len(offered) != c.want {
			t.Errorf("remembers %t: got %q; want %d tokens", c.remembers, offered, c.want)
		}
	}
}
