package accesstoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

var seriesRequests = flag.Int("series", 900, "how many random requests TestRequestsMakeNoSeries sends over each transport")

// series returns the counts of decisions by their labels, without the Resource if it is the
// usual one.
func series(v *accesstoken.Validator) map[string]uint64 {
	counts := map[string]uint64{}
	for _, d := range v.Stats().Decisions {
		labels := []string{strings.TrimPrefix(d.Resource, resource), d.Issuer, d.Transport, d.Outcome, string(d.Reason), d.Source}
		counts[strings.Join(slices.DeleteFunc(labels, func(label string) bool { return label == "" }), " ")] = d.Count
	}
	return counts
}

func wantSeries(t *testing.T, v *accesstoken.Validator, want map[string]uint64) {
	t.Helper()
	if got := series(v); !maps.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestDecisionsAreCounted(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Name, c.Authenticate = "staff", ownCaller })
	token := as.Token(accesstokentest.Claims{"scope": "a", "aud": []string{resource, files}})
	authorize := func(v *accesstoken.Validator, token, scope string) accesstoken.Claims {
		claims, _ := v.Authorize(t.Context(), accesstoken.Bearer(token), accesstoken.Policy{Scopes: scopes.All(scope)})
		return claims
	}
	claims := authorize(v, token, "a")
	for range 3 {
		authorize(v, token, "a")
	}
	authorize(v, token, "b")
	authorize(v, "none", "a")
	authorize(v, as.Token(accesstokentest.Claims{"iss": "https://other.example"}), "a")
	authorize(forFiles(t, v, nil), token, "a")
	_ = v.Check(t.Context(), claims, accesstoken.Policy{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	v.Refuse(ended, context.Canceled)
	v.Refuse(t.Context(), accesstoken.Deny("MY_OWN", nil))
	v.Refuse(t.Context(), errors.New("unknown"))
	v.Refuse(t.Context(), &accesstoken.Error{Reason: "MADE_UP"})
	v.Refuse(t.Context(), accesstoken.Unavailable)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Api-Key", "key-1")
	middleware.New(v, nil).Wrap(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	want := map[string]uint64{
		"staff accepted signature": 1, "staff accepted cache": 3, "staff accepted check": 1, files + " staff accepted cache": 1,
		"staff refused SCOPE_INSUFFICIENT": 1, "refused TOKEN_MALFORMED": 1, "refused ISSUER_UNKNOWN": 1,
		"canceled": 1, "refused POLICY_DENIED": 1, "failed INTERNAL_ERROR": 2, "unavailable STATUS_UNAVAILABLE": 1,
		"net/http accepted vouched": 1,
	}
	wantSeries(t, v, want)
	wantSeries(t, forFiles(t, v, nil), want) // the whole family
	tokens := v.Stats().Tokens
	if tokens.Hits != 5 || tokens.Misses != 2 || tokens.Bytes == 0 || tokens.Limit != 64<<20 {
		t.Errorf("got %+v; want 5 hits, 2 misses, and some of 64 MiB", tokens)
	}
	if verified := sum(tokens.Verified[:]); verified != 1 || tokens.VerifiedTime <= 0 {
		t.Errorf("got %d verified in %v; want 1", verified, tokens.VerifiedTime)
	}
}

func sum(buckets []uint64) (all uint64) {
	for _, n := range buckets {
		all += n
	}
	return all
}

// A hook that panics refuses, and that is what is counted.
func TestWhatIsAnsweredIsCounted(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Name = "staff"
		c.OnDecide = func(context.Context, accesstoken.Decision) { panic("no") }
	})
	_, _ = v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	wantSeries(t, v, map[string]uint64{"staff failed INTERNAL_ERROR": 1})
	var zero accesstoken.Validator
	if got := zero.Stats().String(); len(zero.Stats().Decisions) != 0 || !strings.Contains(got, "tokens") {
		t.Errorf("a Validator that NewValidator did not make: got %s; want nothing", got)
	}
	_ = v.Close()
	wantSeries(t, v, map[string]uint64{"staff failed INTERNAL_ERROR": 1})
}

// Whatever issuers come and go, as many series stay as there are names, and sums never fall.
func TestTheCountsOfRemovedIssuersAreAddedUp(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	keys := jwks.Static(as.Keys()...)
	token := as.Token(nil)
	var claims accesstoken.Claims
	for n := range 20 {
		if err := v.SetIssuers(accesstoken.Issuer{URL: as.URL, Keys: keys, Name: fmt.Sprint("name-", n)}); err != nil {
			t.Fatal(err)
		}
		if claims, _ = v.Validate(t.Context(), accesstoken.Bearer(token)); claims.Issuer == "" {
			t.Fatal("got no claims")
		}
	}
	wantSeries(t, v, map[string]uint64{"removed accepted signature": 19, "name-19 accepted signature": 1})
	// The name stays, although the issuer is another.
	if err := v.SetIssuers(accesstoken.Issuer{URL: as.URL, Keys: jwks.Static(as.Keys()...), Name: "name-19"}); err != nil {
		t.Fatal(err)
	}
	_ = v.Check(t.Context(), claims, accesstoken.Policy{})
	wantSeries(t, v, map[string]uint64{"removed accepted signature": 19, "name-19 accepted signature": 1, "name-19 refused ISSUER_UNKNOWN": 1})
	if err := v.SetIssuers(accesstoken.Issuer{URL: "https://other.example"}); err != nil {
		t.Fatal(err)
	}
	_ = v.Check(t.Context(), claims, accesstoken.Policy{})
	wantSeries(t, v, map[string]uint64{"removed accepted signature": 20, "removed refused ISSUER_UNKNOWN": 2})
	if got := v.Stats().Issuers; len(got) != 1 || got[0].Name != "other.example" {
		t.Errorf("got the issuers %v; want the new one", got)
	}
}

// No decision is lost while issuers change.
func TestNoDecisionIsLostWhileIssuersChange(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	token, keys := as.Token(nil), jwks.Static(as.Keys()...)
	const each, goroutines = 2000, 4
	var made [goroutines]atomic.Int64
	var requests, changes sync.WaitGroup
	stop := make(chan struct{})
	changes.Go(func() {
		var last uint64
		for n := 0; ; n++ {
			if err := v.SetIssuers(accesstoken.Issuer{URL: as.URL, Keys: keys, Name: fmt.Sprint("name-", n%3)}); err != nil {
				t.Error(err)
			}
			now := sum(countsOf(v))
			if now < last {
				t.Errorf("the sum fell from %d to %d", last, now)
			}
			last = now
			for i := range made { // no request is open during two changes
				for before := made[i].Load(); made[i].Load() == before && before < each; {
					runtime.Gosched()
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range goroutines {
		requests.Go(func() {
			for range each {
				_, _ = v.Validate(t.Context(), accesstoken.Bearer(token))
				made[i].Add(1)
			}
		})
	}
	requests.Wait()
	close(stop)
	changes.Wait()
	if got := sum(countsOf(v)); got != each*goroutines {
		t.Errorf("got %d decisions; want %d", got, each*goroutines)
	}
}

// OBS-01: what a client sends makes no series. After each kind of request has come,
// thousands of random ones add none.
func TestRequestsMakeNoSeries(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Name = "staff" })
	s := &scene{as: as, ctx: t.Context(), policy: accesstoken.Policy{Scopes: scopes.All("a")}, deny: accesstoken.Deny("MY_OWN", nil)}
	noise := func() string { return fmt.Sprintf("%x", rand.Uint64()) }
	kinds := []func() string{
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"scope": noise(), "sub": noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"aud": noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"iss": "https://" + noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"exp": noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{noise(): noise(), "nonce": noise()}) },
		func() string { return "Bearer " + noise() },
		func() string { return "Bearer " + noise() + "." + noise() + "." + noise() },
		func() string { return noise() + " " + noise() },
		func() string { return "Bearer " + as.Sign(map[string]any{"kid": noise()}, as.Claims(nil)) },
	}
	ask := func(kind func() string) {
		line := []string{kind()}
		for _, c := range canaryCarriers {
			c.ask(t, s, v, line)
		}
	}
	for range 4 { // until unknown kids have used up their fetches
		for _, kind := range kinds {
			ask(kind)
		}
	}
	before := slices.Sorted(maps.Keys(series(v)))
	for n := range *seriesRequests {
		ask(kinds[n%len(kinds)])
	}
	if after := slices.Sorted(maps.Keys(series(v))); !slices.Equal(before, after) {
		t.Errorf("got the series %q; want %q as before", after, before)
	}
	for name := range series(v) {
		if !strings.HasPrefix(name, "staff ") && !strings.HasPrefix(name, "net/http ") && !strings.HasPrefix(name, "echo ") && !strings.HasPrefix(name, "grpc ") {
			t.Errorf("got the series %q; want a name or a transport first", name)
		}
	}
}

// The numbers are read while requests come, and are the same in both forms.
func TestStatsHaveTwoForms(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Name, c.Issuers[0].Introspection = "staff", introspecting(t, as, nil)
	})
	validate(t, v, as.Token(nil), "")
	stats := v.Stats()
	text, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Decisions []map[string]any
		Issuers   []struct {
			Name                string
			Keys, Introspection map[string]any
		}
		Tokens, Proofs map[string]any
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if read.Decisions[0]["outcome"] != "accepted" || read.Issuers[0].Name != "staff" || read.Issuers[0].Keys["succeeded"] != 1.0 ||
		read.Issuers[0].Introspection["breaker_open"] != false || read.Tokens["misses"] != 1.0 || read.Proofs["replayed"] != 0.0 {
		t.Errorf("got %s; want the same numbers", text)
	}
	for _, want := range []string{
		`decisions resource="https://api.example.com" issuer="staff" outcome="accepted" source="signature" count=1` + "\n",
		`issuer name="staff" issuers=1` + "\n", `keys name="staff" keys=`, `introspection name="staff" `, "tokens misses=1 ", "proofs \n",
	} {
		if !strings.Contains(stats.String(), want) {
			t.Errorf("got %s; want %s in it", stats, want)
		}
	}
}
