package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A badToken differs from a good one only as its name says.
type badToken struct {
	name string
	make func(tb testing.TB, i *issuer, good, other string) string
}

// Some peers accept some of the bad tokens, and name them in accepts.
const (
	typeOfIDToken  = "typ JWT"
	criticalHeader = "crit"
	withoutExpiry  = "no exp"
	notYetValid    = "nbf in an hour"
)

// refusable are the bad tokens whose refusal is measured, because an attacker can send
// them as often as the attacker likes.
var refusable = []badToken{
	{"no-dots", func(_ testing.TB, _ *issuer, good, _ string) string { return strings.Repeat("a", len(good)) }},
	{"three-parts", func(_ testing.TB, _ *issuer, good, _ string) string {
		part := strings.Repeat("a", len(good)/12*4)
		return part + "." + part + "." + part
	}},
	{"alg-none", func(_ testing.TB, _ *issuer, good, _ string) string {
		unsigned := withHeader(good, `{"alg":"none","kid":"`+keyID+`","typ":"at+jwt"}`)
		return unsigned[:strings.LastIndexByte(unsigned, '.')+1]
	}},
	{"expired", func(tb testing.TB, i *issuer, _, _ string) string {
		now := time.Now()
		return i.sign(tb, 0, nil, map[string]any{
			"exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-2 * time.Hour).Unix(), "nbf": now.Add(-2 * time.Hour).Unix(),
		})
	}},
	{"signature", func(_ testing.TB, _ *issuer, good, other string) string { return withSignature(good, other) }},
	signedBadly("unknown-kid", map[string]any{"kid": "made up"}, nil),
	{"one-megabyte", func(_ testing.TB, i *issuer, good, _ string) string {
		header, _, _ := strings.Cut(good, ".")
		pad := strings.Repeat("a", (1_000_000-len(good))*3/4)
		payload := `{"iss":"` + issuerURL + `","aud":"` + audience + `","pad":"` + pad + `"}`
		return withSignature(header+"."+encoded(payload)+".", good)
	}},
}

// badTokens are the tokens that each row has to refuse, or to list in accepts.
var badTokens = append(slices.Clone(refusable),
	signedBadly("another iss", nil, map[string]any{"iss": "https://other.example.com"}),
	signedBadly("another aud", nil, map[string]any{"aud": "https://other.example.com"}),
	signedBadly("no aud", nil, map[string]any{"aud": nil}),
	signedBadly(withoutExpiry, nil, map[string]any{"exp": nil}),
	signedBadly(notYetValid, nil, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
	signedBadly(typeOfIDToken, map[string]any{"typ": "JWT"}, nil),
	signedBadly(criticalHeader, map[string]any{"crit": []string{"urn:unheard-of"}, "urn:unheard-of": true}, nil),
)

// signedBadly makes a bad token with a good signature.
func signedBadly(name string, header, claims map[string]any) badToken {
	return badToken{name, func(tb testing.TB, i *issuer, _, _ string) string { return i.sign(tb, 0, header, claims) }}
}

// BenchmarkRefuse measures the refusal of a bad token, which uses RS256 if it has a
// signature. If a verifier fetches the keys again, because it does not know the key or
// suspects new keys after a bad signature, this is included. The server is in the same
// process.
func BenchmarkRefuse(b *testing.B) {
	for _, bad := range refusable {
		for _, p := range peers {
			name, skipped := refusing(p)
			if skipped {
				continue
			}
			b.Run("cause="+bad.name+"/by="+name, func(b *testing.B) {
				i := issuerOf(b, "RS256")
				measureRefusal(b, p.open(b, i), i.tokens(b, 1)[0], offered(b, i, bad))
			})
		}
	}
}

// refusing returns the name of a peer here. Refused tokens are not cached, so one row
// of ours is enough.
func refusing(p peer) (name string, skipped bool) {
	if p.name == "accesstoken-uncached" {
		return "", true
	}
	return strings.TrimSuffix(p.name, "-cached"), false
}

// offered returns the tokens for one cause. For an unknown kid, it is a lap of tokens
// with different kids, because an attacker can make these without a key. For other
// causes it is one token.
func offered(tb testing.TB, i *issuer, bad badToken) (tokens []string) {
	tb.Helper()
	good := i.tokens(tb, 2)
	if bad.name != "unknown-kid" {
		return []string{bad.make(tb, i, good[0], good[1])}
	}
	for n := range lap {
		tokens = append(tokens, withHeader(good[0], fmt.Sprintf(`{"alg":%q,"kid":"made up %d","typ":"at+jwt"}`, i.alg, n)))
	}
	return tokens
}

// measureRefusal begins when the keys are held. If a verifier limits the fetches for
// unknown kids, they are used up before.
func measureRefusal(b *testing.B, r row, good string, bad []string) {
	b.Helper()
	if _, err := r.serve(good); err != nil {
		b.Fatal(err)
	}
	for n := range 8 {
		if _, err := r.serve(bad[n%len(bad)]); err == nil {
			b.Fatal("let in")
		}
	}
	next := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.serve(bad[next%len(bad)]); err == nil {
			b.Fatal("let in")
		}
		next++
	}
}
