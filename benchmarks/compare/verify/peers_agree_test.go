package verify_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// No row may be fast because it omits work: all find the same caller in a good token,
// and refuse the bad tokens except those in its accepts.
func TestThePeersDoTheSameWork(t *testing.T) {
	for _, alg := range algorithms {
		for _, p := range peers {
			t.Run(alg+", "+p.name, func(t *testing.T) {
				i := issuerOf(t, alg)
				r := p.open(t, i)
				good := i.tokens(t, 2)
				want := caller{"5f0e6a0c", "webshop", granted}
				for _, token := range []string{good[0], good[1], good[0]} {
					if got, err := r.serve(token); got != want || err != nil {
						t.Fatalf("a good token: got %v, %v; want %v", got, err, want)
					}
				}
				judgeBadTokens(t, p, r, i, "")
			})
		}
	}
}

// judgeBadTokens offers each bad token after a prefix.
func judgeBadTokens(t *testing.T, p peer, r row, i *issuer, prefix string) {
	t.Helper()
	good := i.tokens(t, 2)
	for _, bad := range badTokens {
		_, err := r.serve(prefix + bad.make(t, i, good[0], good[1]))
		if accepted := slices.Contains(p.accepts, bad.name); (err == nil) != accepted {
			t.Errorf("%s: got %v; want it accepted: %t", bad.name, err, accepted)
		}
	}
}

func TestTheMiddlewareDoesTheSameWork(t *testing.T) {
	for _, c := range carriers {
		for _, p := range c.peers {
			if p.name == "none" {
				continue
			}
			t.Run(c.name+", "+p.name, func(t *testing.T) {
				i := issuerOf(t, "RS256")
				r := p.open(t, i)
				for _, line := range append(i.lines(t, 2), i.lines(t, 1)...) {
					if got, err := r.serve(line); got.subject != "5f0e6a0c" || err != nil {
						t.Fatalf("a good token: got %v, %v; want its subject", got, err)
					}
				}
				judgeBadTokens(t, p, r, i, "Bearer ")
				for name, line := range map[string]string{
					"no credentials":  "",
					"another scheme":  "Basic " + i.tokens(t, 1)[0],
					"too few scopes":  "Bearer " + i.sign(t, 0, nil, map[string]any{"scope": "orders:read"}),
					"no scopes":       "Bearer " + i.sign(t, 0, nil, map[string]any{"scope": nil}),
					"a part of scope": "Bearer " + i.sign(t, 0, nil, map[string]any{"scope": strings.TrimSuffix(writing, "e")}),
				} {
					if _, err := r.serve(line); err == nil {
						t.Errorf("%s: got nil; want an error", name)
					}
				}
			})
		}
	}
}

func TestTheBareHandlersAreCalled(t *testing.T) {
	for _, c := range carriers {
		r := c.peers[0].open(t, nil)
		if got, err := r.serve(""); c.peers[0].name != "none" || got.subject != "anybody" || err != nil {
			t.Errorf("%s: got %v, %v from %s; want anybody", c.name, got, err, c.peers[0].name)
		}
	}
}

func TestRawVerifiesTheSignature(t *testing.T) {
	for _, alg := range algorithms {
		i := issuerOf(t, alg)
		verify, parts := i.raw(t), i.signed(t, 2)
		for n, part := range parts {
			if !verify(part) {
				t.Errorf("%s, token %d: refused; want it verified", alg, n)
			}
		}
		if verify(signed{parts[0].input, parts[1].signature}) {
			t.Errorf("%s: another token's signature was verified", alg)
		}
	}
}

// A hit is always a cached token, and a miss never is.
func TestTheCachedRowRemembersAndTheUncachedOneForgets(t *testing.T) {
	i := issuerOf(t, "RS256")
	token := i.tokens(t, 1)[0]
	cached, uncached := openCached(t, i), openUncached(t, i)
	if cached.renew != nil || uncached.renew == nil {
		t.Fatal("got a cached row that is renewed or an uncached one that is not")
	}
	for _, r := range []row{cached, uncached} {
		_, err := r.serve(token)
		must(t, err)
	}
	hit := allocations(func() { _, _ = cached.serve(token) })
	again := allocations(func() { _, _ = uncached.serve(token) })
	renewed := allocations(uncached.renew)
	miss := allocations(func() {
		uncached.renew()
		_, _ = uncached.serve(token)
	})
	// crypto/rsa alone makes 9.
	if hit > 3 || again > 3 || miss < renewed+9 {
		t.Errorf("got %v allocations for a hit, %v for one before the renewal, %v for a miss with a renewal of %v", hit, again, miss, renewed)
	}
}

// allocations returns the least of several measurements, because other goroutines may
// add to one of them.
func allocations(do func()) float64 {
	least := testing.AllocsPerRun(20, do)
	for range 4 {
		least = min(least, testing.AllocsPerRun(20, do))
	}
	return least
}

func TestTheCacheOfKubernetesHits(t *testing.T) {
	asked := 0
	r := openKubernetes(func(token string) bool {
		asked++
		return token == "known"
	})
	for range 3 {
		if got, err := r.serve("known"); got.subject != "5f0e6a0c" || err != nil {
			t.Errorf("got %v, %v; want the subject", got, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times; want once", asked)
	}
	if _, err := r.serve("unknown"); err == nil {
		t.Error("an unknown token: got nil; want an error")
	}
}

// All rows should read the same number of bytes.
func TestTheTokensHaveTheirLength(t *testing.T) {
	for alg, want := range map[string]int{"RS256": 902, "PS256": 902, "ES256": 646, "EdDSA": 646} {
		for _, token := range issuerOf(t, alg).tokens(t, 2) {
			if len(token) != want {
				t.Errorf("%s: got %d bytes; want %d", alg, len(token), want)
			}
		}
	}
	_, tokens := padded(t, 2)
	for _, token := range tokens {
		if len(token) < 900 || len(token) > 904 {
			t.Errorf("padded: got %d bytes; want some 902", len(token))
		}
	}
}

func TestTheCausesAreWhatTheirNamesSay(t *testing.T) {
	i := issuerOf(t, "RS256")
	good := i.tokens(t, 2)
	v := newValidator(t, i, keysOf(t, i))
	defer v.Close()
	reasons := map[string]accesstoken.Reason{
		"no-dots": accesstoken.TokenMalformed, "three-parts": accesstoken.TokenMalformed,
		"alg-none": accesstoken.AlgorithmNotAllowed, "expired": accesstoken.TokenExpired,
		"signature": accesstoken.SignatureInvalid, "unknown-kid": accesstoken.KeyNotFound,
		"one-megabyte": accesstoken.TokenTooLarge,
	}
	for _, bad := range refusable {
		for _, token := range append(offered(t, i, bad), bad.make(t, i, good[0], good[1])) {
			_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			if bad.name == "unknown-kid" && errors.Is(err, accesstoken.KeysUnavailable) {
				continue // too many kids to fetch the keys for each
			}
			if !errors.Is(err, reasons[bad.name]) {
				t.Fatalf("%s: got %v; want %v", bad.name, err, reasons[bad.name])
			}
		}
		dots, length := 2, 902
		switch bad.name {
		case "no-dots":
			dots = 0
		case "one-megabyte":
			length = 1_000_000
		}
		token := bad.make(t, i, good[0], good[1])
		if strings.Count(token, ".") != dots || len(token) < length/2 || len(token) > length*3/2 {
			t.Errorf("%s: got %d dots and %d bytes; want %d and some %d", bad.name, strings.Count(token, "."), len(token), dots, length)
		}
	}
}
