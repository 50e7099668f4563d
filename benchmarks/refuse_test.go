package benchmarks_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/scopes"
)

// A refused case is work that an attacker can cause in a validator as often as the
// attacker likes.
type refusedCase struct {
	cause       string
	validator   *accesstoken.Validator
	credentials []accesstoken.Credentials // offered in turn
	policy      accesstoken.Policy
	want        accesstoken.Reason
}

// refusedCases use RS256 if there is a signature.
func refusedCases(tb testing.TB) []refusedCase {
	i := issuerOf(tb, "RS256")
	v := i.validator(tb)
	good := i.tokens(tb, 1)[0]
	must(tb, validating(v)(good))

	one := func(token string) []accesstoken.Credentials {
		return []accesstoken.Credentials{accesstoken.Bearer(token)}
	}
	return []refusedCase{
		{cause: "missing", validator: v, credentials: make([]accesstoken.Credentials, 1), want: accesstoken.CredentialsMissing},
		{cause: "no-dots", validator: v, credentials: one(strings.Repeat("a", len(good))), want: accesstoken.TokenMalformed},
		{cause: "too-large", validator: v, credentials: one(strings.Repeat("a", 64<<10)), want: accesstoken.TokenTooLarge},
		{cause: "alg", validator: v, credentials: one(withHeader(good, `{"alg":"none","typ":"at+jwt"}`)), want: accesstoken.AlgorithmNotAllowed},
		unknownKeys(tb),
		{cause: "signature", validator: v, credentials: one(tampered(good)), want: accesstoken.SignatureInvalid},
		{cause: "expired", validator: v, credentials: one(i.sign(tb, 0, map[string]any{"exp": 1, "iat": 0, "nbf": 0})), want: accesstoken.TokenExpired},
		{
			cause: "scope", validator: v, credentials: one(good),
			policy: accesstoken.Policy{Scopes: scopes.All("orders:delete")}, want: accesstoken.ScopeInsufficient,
		},
	}
}

// unknownKeys are tokens that each have a made-up kid. The key set is fetched over the
// network, so the miss budget has to limit the fetches. The budget is spent before the
// measurement begins.
func unknownKeys(tb testing.TB) refusedCase {
	as, err := accesstokentest.Start()
	must(tb, err)
	tb.Cleanup(as.Close)
	v := newValidator(tb, accesstoken.Config{
		Resource:   resource,
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	must(tb, v.Warm(tb.Context()))
	good := as.Token(accesstokentest.Claims{"scope": granted})
	refused := refusedCase{cause: "unknown-kid", validator: v, want: accesstoken.KeysUnavailable}
	for n := range lap {
		header := fmt.Sprintf(`{"alg":"RS256","kid":"made up %d","typ":"at+jwt"}`, n)
		refused.credentials = append(refused.credentials, accesstoken.Bearer(withHeader(good, header)))
	}
	for n, credentials := range refused.credentials[:8] {
		want := refused.want
		if n < 2 {
			want = accesstoken.KeyNotFound
		}
		if _, err := v.Validate(tb.Context(), credentials); !errors.Is(err, want) {
			tb.Fatalf("got %v; want %v", err, want)
		}
	}
	refused.credentials = refused.credentials[2:]
	return refused
}

// withHeader puts another header before a token's payload and signature.
func withHeader(token, header string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}

// tampered changes the middle of a signature, so that as a number it stays
// below the modulus.
func tampered(token string) string {
	middle := strings.LastIndexByte(token, '.') + 100
	other := byte('A')
	if token[middle] == other {
		other = 'B'
	}
	return token[:middle] + string(other) + token[middle+1:]
}

// BenchmarkRefuse measures a request that is refused.
func BenchmarkRefuse(b *testing.B) {
	for _, refused := range refusedCases(b) {
		b.Run("cause="+refused.cause, func(b *testing.B) {
			ctx := context.Background()
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				_, err := refused.validator.Authorize(ctx, refused.credentials[n%len(refused.credentials)], refused.policy)
				if err == nil {
					b.Fatal("let in")
				}
				n++
			}
		})
	}
}

// The benchmark above is valid only if this test passes.
func TestRefusalsHaveTheirCause(t *testing.T) {
	for _, refused := range refusedCases(t) {
		_, err := refused.validator.Authorize(t.Context(), refused.credentials[0], refused.policy)
		if !errors.Is(err, refused.want) {
			t.Errorf("%s: got %v; want %v", refused.cause, err, refused.want)
		}
	}
}
