package accesstoken_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
)

// statsOf returns the statistics of the only issuer, which must have some of its keys.
func statsOf(t *testing.T, v *accesstoken.Validator) accesstoken.IssuerStats {
	t.Helper()
	all := v.Stats().Issuers
	if len(all) != 1 || all[0].Keys == nil {
		t.Fatalf("got %+v; want one issuer, with its keys", all)
	}
	return all[0]
}

// OBS-04: every fault of a key set, and of the metadata, shows.
func TestFaultsOfKeysShow(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, fault := range map[string]accesstokentest.Fault{
		"503":             {Status: 503},
		"429":             {Status: 429, Header: http.Header{"Retry-After": {"60"}}},
		"a reset":         {Reset: true},
		"half a body":     {Drop: true},
		"a redirect":      {Status: 302, Header: http.Header{"Location": {"https://a.example"}}},
		"no JSON":         {Body: []byte("<html>")},
		"no keys":         {Body: []byte(`{"keys":[]}`)},
		"too many keys":   {Body: accesstokentest.HugeKeySet(10_000)},
		"an error as 200": {Body: []byte(`{"error":"server_error"}`)},
	} {
		for _, path := range []string{accesstokentest.JWKSPath, accesstokentest.OpenIDMetadataPath} {
			t.Run(name+" at "+path, func(t *testing.T) {
				v := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.DiscardHandler) })
				if path != accesstokentest.JWKSPath {
					as.Break(accesstokentest.OAuthMetadataPath, fault)
					defer as.Mend(accesstokentest.OAuthMetadataPath)
				}
				as.Break(path, fault)
				defer as.Mend(path)
				before := time.Now()
				if v.Warm(t.Context()) == nil {
					t.Fatal("got no error; want one")
				}
				s := statsOf(t, v)
				if s.KeysMissing != 1 || s.Failing != 1 || s.Keys.Failed != 1 || s.Keys.Succeeded != 0 || s.Keys.FailingSince.Before(before) || s.Keys.UsableFor != 0 {
					t.Errorf("got %+v with keys %+v; want an issuer that has none, and fails", s, *s.Keys)
				}
				validate(t, v, as.Token(nil), reasonAt(path))
				wantSeries(t, v, map[string]uint64{s.Name + " unavailable " + string(reasonAt(path)): 1})
			})
		}
	}
}

func reasonAt(path string) accesstoken.Reason {
	if path == accesstokentest.JWKSPath {
		return accesstoken.KeysUnavailable
	}
	return accesstoken.IssuerUnavailable
}

// A server that does not answer shows by what waits for it, and one that is slow by the
// durations.
func TestSlowKeysShow(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() {
		_, err := v.Validate(ctx, accesstoken.Bearer(as.Token(nil)))
		waits <- err
	}()
	for statsOf(t, v).Keys.Waiting != 1 {
		runtime.Gosched() // until the request waits
	}
	cancel()
	if err := <-waits; err == nil {
		t.Error("got no error; want that of the request")
	}
	if s := statsOf(t, v); s.Keys.Waiting != 0 || series(v)[s.Name+" canceled"] != 1 {
		t.Errorf("got %+v and %v; want a request that was canceled", *s.Keys, series(v))
	}

	slow := newValidator(t, as, nil)
	as.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Latency: 300 * time.Millisecond})
	if err := slow.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statsOf(t, slow).Keys; s.TotalTime < 300*time.Millisecond || sum(s.Durations[:16]) != 0 || sum(s.Durations[16:]) != 1 {
		t.Errorf("got %v, in all %v; want one fetch of more than 250ms", s.Durations, s.TotalTime)
	}
}

// A rotation shows by the generation and the budget, and a flood of unknown kids by those
// that cause no fetch.
func TestRotationsShow(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var cache *jwks.Cache
	v := newValidator(t, as, func(c *accesstoken.Config) {
		cache = testkit.Must(jwks.NewCache(jwks.Config{URL: as.JWKSURI(), HTTPClient: as.Client(), WithdrawAfter: -1, MissCooldown: time.Hour}))
		c.Issuers[0].Keys = cache
	})
	defer cache.Close()
	validate(t, v, as.Token(nil), "")
	before := statsOf(t, v).Keys
	as.Rotate()
	validate(t, v, as.Token(nil), "")
	rotated := statsOf(t, v).Keys
	if rotated.Generation != before.Generation+1 || rotated.Budget != before.Budget-1 || rotated.Succeeded != before.Succeeded+1 || rotated.Keys <= before.Keys {
		t.Errorf("got %+v after %+v; want another generation with more keys", *rotated, *before)
	}
	as.Withdraw()
	for n := range 5 {
		_, _ = v.Validate(t.Context(), accesstoken.Bearer(as.Sign(map[string]any{"kid": fmt.Sprint(n)}, as.Claims(nil))))
	}
	flooded := statsOf(t, v).Keys
	if flooded.Keys >= rotated.Keys || flooded.Generation != rotated.Generation+1 || flooded.Budget != 0 || flooded.Suppressed != 4 || flooded.Misses != 5 {
		t.Errorf("got %+v after %+v; want fewer keys, no budget, and 4 of 5 unknown kids without a fetch", *flooded, *rotated)
	}
}

// The issuers that ResolveIssuer returns are one row, and its counters do not fall when they
// are forgotten.
func TestResolvedIssuersAreOneRow(t *testing.T) {
	tenants := map[string]*accesstokentest.Server{}
	for range 3 {
		as := accesstokentest.NewServer(t)
		tenants[as.URL] = as
	}
	var one *accesstokentest.Server
	v := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) {
		c.Issuers, c.HTTPClient = nil, nil
		c.ResolveIssuer = func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
			if as := tenants[iss]; as != nil {
				return &accesstoken.Issuer{URL: iss, HTTPClient: as.Client()}, nil
			}
			return nil, nil
		}
	})
	if got := v.Stats().Issuers; len(got) != 1 || got[0].Name != "resolved" || got[0].Issuers != 0 {
		t.Errorf("got %+v; want the row before there are any", got)
	}
	for _, one = range tenants {
		validate(t, v, one.Token(nil), "")
	}
	s := statsOf(t, v)
	if s.Name != "resolved" || s.Issuers != 3 || s.Keys.Succeeded != 3 || s.KeysMissing != 0 || s.Keys.Budget != 6 {
		t.Errorf("got %+v with keys %+v; want three in one row", s, *s.Keys)
	}
	if err := v.SetIssuers(accesstoken.Issuer{URL: one.URL, HTTPClient: one.Client(), Name: "mine"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Stats().Issuers {
		if s.Name == "resolved" && (s.Issuers != 2 || s.Keys.Succeeded != 3) {
			t.Errorf("got %+v with keys %+v; want two, and what all three have fetched", s, *s.Keys)
		}
	}
	wantSeries(t, v, map[string]uint64{"resolved accepted signature": 3})
}

// Two issuers of one host, without a Name, share a row.
func TestIssuersOfOneHostShareARow(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{
		{URL: "https://a.example/1"}, {URL: "https://a.example/2"},
		{URL: "https://b.example", Keys: jwks.Static(as.Keys()...)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	got := v.Stats().Issuers
	if len(got) != 2 || got[0].Name != "a.example" || got[0].Issuers != 2 || got[0].KeysMissing != 2 || got[0].Keys.Budget != 4 ||
		got[1].Name != "b.example" || got[1].Keys != nil || got[1].Introspection != nil {
		t.Errorf("got %+v; want a.example twice, and b.example without statistics", got)
	}
}

func TestProofsAreCounted(t *testing.T) {
	as := accesstokentest.NewServer(t)
	prover := testkit.NewProver(t, as, "a")
	v := newValidator(t, as, prover.Config)
	child := forFiles(t, v, nil) // with the same verifier, which counts once
	defer child.Close()
	fields := prover.Fields(t, prover.Nonce())
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	for range 2 {
		_, _ = v.Validate(t.Context(), v.CredentialsOf(r))
	}
	if got := v.Stats().Proofs; got.Accepted != 1 || got.Replayed != 1 || got.Held != 1 || got.Limit == 0 {
		t.Errorf("got %+v; want one accepted, and one that was used before", got)
	}
}

// OBS-07: a flood of bad tokens writes few lines that are not for debugging.
func TestAFloodOfBadTokensWritesFewLines(t *testing.T) {
	as, log := accesstokentest.NewServer(t), new(bytes.Buffer)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		c.Issuers[0].Clients = []string{"client"}
	})
	const made = 200
	tokens := make([]string, 0, 5*made)
	for n := range made {
		id := fmt.Sprint("n", n)
		tokens = append(tokens,
			as.Token(accesstokentest.Claims{"aud": id}), as.Token(accesstokentest.Claims{"client_id": id}), as.Token(accesstokentest.Claims{"sub": n}),
			as.Token(accesstokentest.Claims{"iss": "https://" + id}), id)
	}
	for n := range 100_000 {
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(tokens[n%len(tokens)])); err == nil {
			t.Fatal("got no error; want a refusal")
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines > 100 || lines == 0 {
		t.Errorf("got %d lines; want 1 to 100", lines)
	}
	if got := sum(countsOf(v)); got != 100_000 {
		t.Errorf("got %d decisions; want all", got)
	}
}

func countsOf(v *accesstoken.Validator) (counts []uint64) {
	for _, count := range series(v) {
		counts = append(counts, count)
	}
	return counts
}
