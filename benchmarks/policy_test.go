package benchmarks_test

import (
	"context"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
	"github.com/accesstoken/accesstoken/scopes"
)

// policies are what a route can demand of a token, from nothing to a strong and fresh
// login, or an actor. The acr is one that only Config.ACROrder makes strong enough.
var policies = []struct {
	demands string
	policy  accesstoken.Policy
}{
	{"nothing", accesstoken.Policy{}},
	{"scope", accesstoken.Policy{Scopes: scopes.All(writing)}},
	{"acr", accesstoken.Policy{ACR: []string{"silver"}}},
	{"max-age", accesstoken.Policy{MaxAuthAge: time.Hour}},
	{"actor", accesstoken.Policy{Actors: []accesstoken.Actor{{Issuer: issuerURL, Subject: "other"}, {Issuer: issuerURL, Subject: "agent"}}}},
	{"all", accesstoken.Policy{Scopes: scopes.All(writing), ACR: []string{"silver"}, MaxAuthAge: time.Hour, AMR: []string{"otp"}}},
}

// loggedIn returns a validator that ranks acr, and a token of a user who logged in with a
// strong one, and for whom an agent acts. The token is cached.
func loggedIn(tb testing.TB) (*accesstoken.Validator, accesstoken.Credentials, accesstoken.Claims) {
	tb.Helper()
	i := issuerOf(tb, "RS256")
	v := newValidator(tb, accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: issuerURL, Keys: i.keys}},
		ACROrder: []string{"bronze", "silver", "gold"},
	})
	token := accesstoken.Bearer(i.sign(tb, 0, map[string]any{"acr": "gold", "auth_time": time.Now().Unix(), "amr": []string{"pwd", "otp"}, "act": map[string]any{"sub": "agent"}}))
	claims, err := v.Validate(context.Background(), token)
	must(tb, err)
	return v, token, claims
}

// BenchmarkPolicy measures a cached decision with a policy, and reports it as a multiple
// of one without. The two alternate, as in BenchmarkOverRaw. check=alone is Validator.Check,
// which judges claims that a handler already has.
func BenchmarkPolicy(b *testing.B) {
	v, token, claims := loggedIn(b)
	ctx := context.Background()
	authorize := func(policy accesstoken.Policy) func(int) {
		return func(int) {
			_, err := v.Authorize(ctx, token, policy)
			must(b, err)
		}
	}
	for _, test := range policies {
		b.Run("demands="+test.demands, func(b *testing.B) {
			besideAHit(b, authorize(accesstoken.Policy{}), authorize(test.policy))
		})
		b.Run("demands="+test.demands+"/check=alone", func(b *testing.B) {
			besideAHit(b, authorize(accesstoken.Policy{}), func(int) { must(b, v.Check(ctx, claims, test.policy)) })
		})
	}
}

// besideAHit alternates between a cached decision and something else.
func besideAHit(b *testing.B, hit, other func(int)) {
	const turn = 256
	ratios, times := make([]float64, 0, 1<<16), make([]float64, 0, 1<<16) // large enough, so that B/op has nothing of theirs
	b.ReportAllocs()
	for b.Loop() {
		hitTime, otherTime := each(turn, hit), each(turn, other)
		ratios, times = append(ratios, otherTime/hitTime), append(times, otherTime)
	}
	b.ReportMetric(report.Median(times), "ns/op")
	b.ReportMetric(report.Median(ratios), "×hit")
}
