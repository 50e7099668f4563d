package accesstokentest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestANodeThatLagsServesThePreviousKeySet(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*accesstokentest.Server)
	}{
		{"Rotate", (*accesstokentest.Server).Rotate},
		{"Replace", (*accesstokentest.Server).Replace},
	} {
		t.Run(c.name, func(t *testing.T) {
			as := accesstokentest.NewServer(t)
			keySet := func() string {
				_, _, body := get(t, as, accesstokentest.JWKSPath)
				return string(body)
			}
			as.Lag(1)
			before := keySet()
			c.change(as)
			if got := keySet(); got != before {
				t.Error("every request: got another key set; want the previous one")
			}
			as.Lag(0)
			now := keySet()
			if now == before {
				t.Fatal("no node lags: got the previous key set; want the present one")
			}
			as.Lag(2)
			if got := []string{keySet(), keySet(), keySet(), keySet()}; !slices.Equal(got, []string{before, now, before, now}) {
				t.Error("one node of two: want the previous key set and the present one in turns")
			}
			kid := as.KeyID("ES256")
			if !strings.Contains(now, kid) || len(as.Keys()) == 0 {
				t.Errorf("want %s to sign, and to be published", kid)
			}
		})
	}
}

func TestBeforeAnyRotationNoNodeCanLag(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Lag(1)
	if _, _, body := get(t, as, accesstokentest.JWKSPath); !strings.Contains(string(body), as.KeyID("RS256")) {
		t.Error("got a key set without the keys that sign; want the only one there is")
	}
}
