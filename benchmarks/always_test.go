package benchmarks_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// BenchmarkAlways measures a JWT that was verified, and whose introspection answer is
// cached.
func BenchmarkAlways(b *testing.B) {
	as := accesstokentest.NewServer(b)
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret,
		HTTPClient: as.Client(), CacheFor: time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com", Logger: slog.New(slog.DiscardHandler),
		Issuers: []accesstoken.Issuer{{URL: as.URL, Keys: jwks.Static(as.Keys()...), Introspection: client, AlwaysIntrospect: true}},
	})
	if err != nil {
		b.Fatal(err)
	}
	token := as.Token(accesstokentest.Claims{"jti": "1", "scope": "orders:read orders:write"})
	as.Remember(token, accesstokentest.Claims{"jti": "1", "scope": "orders:read orders:write"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Validate(b.Context(), accesstoken.Bearer(token)); err != nil {
			b.Fatal(err)
		}
	}
}
