package promaccesstoken_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/promaccesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

func TestTheNumbersAreThoseOfTheValidator(t *testing.T) {
	v := testkit.NewValidator(t, as, introspecting(t, as))
	token, opaque := as.Token(accesstokentest.Claims{"scope": "a"}), as.Opaque(accesstokentest.Claims{"scope": "a"})
	for range 3 {
		request(v, "Bearer "+token)
	}
	request(v, "Bearer "+opaque)
	request(v, "Bearer "+as.Token(nil))
	request(v)
	const of, none = `{issuer="staff",outcome="accepted",reason="",resource="https://api.example.com",source=`, `,transport="net/http"}`
	text := scrape(t, promaccesstoken.New(v))
	want(t, text, map[string]string{
		"decisions_total" + of + `"signature"` + none:                          "1",
		"decisions_total" + of + `"cache"` + none:                              "2",
		"decisions_total" + of + `"introspection"` + none:                      "1",
		`issuers{issuer="staff"}`:                                              "1",
		`issuers_without_keys{issuer="staff"}`:                                 "0",
		`keys_fetches_total{issuer="staff",result="succeeded"}`:                "1",
		`keys_fetch_duration_seconds_count{issuer="staff"}`:                    "1",
		`introspection_calls_total{issuer="staff",result="answered"}`:          "1",
		`introspection_call_duration_seconds_count{issuer="staff"}`:            "1",
		`introspection_call_duration_seconds_bucket{issuer="staff",le="+Inf"}`: "1",
		`token_cache_lookups_total{result="hit"}`:                              "2",
		`token_verification_duration_seconds_count`:                            "2",
		`token_cache_limit_bytes`:                                              "6.7108864e+07",
		`dpop_proofs_total{result="replayed"}`:                                 "0",
		`introspection_breaker_open{issuer="staff"}`:                           "0",
		`introspection_cache_lookups_total{issuer="staff",result="miss"}`:      "1",
	})
	if strings.Contains(text, "failing_since") {
		t.Error("got a time of failure; want none, because no fetch has failed")
	}
	if problems, err := testutil.CollectAndLint(promaccesstoken.New(v)); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v; want no problems", problems, err)
	}
}

// A failure moves what the alerts rest on.
func TestAFaultOfTheIssuerIsSeen(t *testing.T) {
	broken := accesstokentest.NewServer(t)
	v := testkit.NewValidator(t, broken, introspecting(t, broken))
	broken.Break(accesstokentest.JWKSPath, accesstokentest.Fault{Status: 500})
	broken.Break(accesstokentest.IntrospectionPath, accesstokentest.Fault{Status: 401})
	for range 2 {
		request(v, "Bearer "+broken.Token(nil))
		request(v, "Bearer "+broken.Opaque(nil))
	}
	text := scrape(t, promaccesstoken.New(v))
	want(t, text, map[string]string{
		`issuers_without_keys{issuer="staff"}`:               "1",
		`issuers_failing{issuer="staff"}`:                    "1",
		`keys{issuer="staff"}`:                               "0",
		`introspection_breaker_open_unknown{issuer="staff"}`: "1",
	})
	if at := series(text)[`accesstoken_keys_failing_since_timestamp_seconds{issuer="staff"}`]; at == "" {
		t.Error("got no time of the first failure; want one")
	}
	for _, name := range []string{"keys_age_seconds", "keys_usable_seconds"} {
		if strings.Contains(text, name) {
			t.Errorf("got %s; want none, because there was no good answer", name)
		}
	}
}

// filled returns Stats in which every number is n, for one decision and one issuer.
func filled(n int64) accesstoken.Stats {
	s := accesstoken.Stats{
		Decisions: []accesstoken.DecisionCount{{Resource: "r", Issuer: "i", Transport: "t", Outcome: "o", Reason: "R", Source: "s"}},
		Issuers:   []accesstoken.IssuerStats{{Name: "i", Keys: new(jwks.Stats), Introspection: new(introspection.Stats)}},
	}
	leaves(reflect.ValueOf(&s).Elem(), "", func(_ string, leaf reflect.Value) { raise(leaf, n) })
	return s
}

// leaves calls do for each exported field of a struct, and of those that it holds.
func leaves(v reflect.Value, name string, do func(name string, leaf reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice && v.Kind() != reflect.Array:
		do(name, v)
	case v.Kind() == reflect.Pointer:
		leaves(v.Elem(), name, do)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				leaves(v.Field(i), name+"."+field.Name, do)
			}
		}
	default:
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", name, i), do)
		}
	}
}

// raise adds n to a number, and n hours to a time. A text gets a letter if n is not 0.
func raise(v reflect.Value, n int64) {
	switch value := v.Interface().(type) {
	case time.Duration:
		v.SetInt(int64(value) + n*int64(time.Hour))
		return
	case time.Time:
		v.Set(reflect.ValueOf(value.Add(time.Duration(n) * time.Hour)))
		return
	}
	switch v.Kind() {
	case reflect.Uint64:
		v.SetUint(v.Uint() + uint64(n))
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + n)
	case reflect.Bool:
		v.SetBool(n%2 == 1)
	case reflect.String:
		v.SetString(v.String() + strings.Repeat("x", int(n)))
	default:
		panic("a field of Stats has the kind " + v.Kind().String())
	}
}

// A field that Stats gets later must not be forgotten here.
func TestEveryFieldIsExported(t *testing.T) {
	before, count := scrape(t, promaccesstoken.Of(filled(2))), 0
	seen := map[string]string{}
	leaves(reflect.ValueOf(new(filled(2))).Elem(), "", func(name string, _ reflect.Value) {
		changed := filled(2)
		leaves(reflect.ValueOf(&changed).Elem(), "", func(other string, leaf reflect.Value) {
			if other == name {
				raise(leaf, 1)
			}
		})
		after := scrape(t, promaccesstoken.Of(changed))
		switch {
		case after == before:
			t.Errorf("%s is not exported", name)
		case seen[after] != "":
			t.Errorf("%s and %s are exported as one number", seen[after], name)
		}
		seen[after] = name
		count++
	})
	if count < 100 {
		t.Errorf("got %d fields; want all of Stats", count)
	}
}

// Where the number would be a lie, there is none, and nothing else is missing.
func TestOnlyTimesThatAreUnknownAreLeftOut(t *testing.T) {
	names := func(s accesstoken.Stats) (names []string) {
		for _, name := range namesOf(scrape(t, promaccesstoken.Of(s))) {
			name, _, _ = strings.Cut(name, "{")
			names = append(names, name)
		}
		return slices.Compact(names)
	}
	none := names(filled(0))
	missing := slices.DeleteFunc(names(filled(2)), func(name string) bool { return slices.Contains(none, name) })
	wanted := []string{
		"accesstoken_keys_age_seconds", "accesstoken_keys_failing_since_timestamp_seconds",
		"accesstoken_keys_next_refresh_seconds", "accesstoken_keys_usable_seconds",
	}
	if !slices.Equal(missing, wanted) {
		t.Errorf("got %q; want %q", missing, wanted)
	}
}

// Both kinds of histogram have the same buckets.
func TestDurationsAreInTheBucketsOfStats(t *testing.T) {
	var s accesstoken.Stats
	for i := range s.Tokens.Verified {
		s.Tokens.Verified[i] = uint64(i + 1)
	}
	s.Tokens.VerifiedTime = 1500 * time.Millisecond
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(promaccesstoken.Of(s))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	place := slices.IndexFunc(families, func(family *dto.MetricFamily) bool {
		return family.GetName() == "accesstoken_token_verification_duration_seconds"
	})
	h := families[place].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 300 || h.GetSampleSum() != 1.5 {
		t.Errorf("got %d in %v s; want 300 in 1.5 s", h.GetSampleCount(), h.GetSampleSum())
	}
	if first, last := h.GetBucket()[0], h.GetBucket()[22]; len(h.GetBucket()) != 23 || first.GetUpperBound() != math.Ldexp(1, -17) || first.GetCumulativeCount() != 1 ||
		last.GetUpperBound() != 32 || last.GetCumulativeCount() != 276 {
		t.Errorf("got %v; want 23 buckets, from 2^-17 s with 1 to 32 s with 276", h.GetBucket())
	}
	if h.GetSchema() != 0 || h.GetZeroThreshold() != math.Ldexp(1, -17) || h.GetZeroCount() != 1 {
		t.Errorf("got schema %d, %d up to %v; want 0, and 1 up to 2^-17", h.GetSchema(), h.GetZeroCount(), h.GetZeroThreshold())
	}
	spans := h.GetPositiveSpan()
	if len(spans) != 1 || spans[0].GetOffset() != -16 || spans[0].GetLength() != 23 {
		t.Errorf("got the spans %v; want one of 23 buckets, the first of which ends at 2^-16", spans)
	}
	if deltas := h.GetPositiveDelta(); deltas[0] != 2 || deltas[1] != 1 || deltas[22] != 1 {
		t.Errorf("got the differences %v; want 2, and each bucket one more", deltas)
	}
}

// What a client sends makes no series.
func TestRequestsMakeNoSeries(t *testing.T) {
	v := testkit.NewValidator(t, as, introspecting(t, as))
	noise := func() string { return fmt.Sprintf("%016x", rand.Uint64()) }
	kinds := []func() string{
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"scope": noise(), "sub": noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"scope": "a", "sub": noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"aud": noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"iss": "https://" + noise()}) },
		func() string { return "Bearer " + as.Token(accesstokentest.Claims{"exp": noise()}) },
		func() string { return "Bearer " + as.Opaque(accesstokentest.Claims{"sub": noise()}) },
		func() string { return "Bearer " + noise() },
		func() string { return "Bearer " + noise() + "." + noise() + "." + noise() },
		func() string { return "Bearer e0" + noise() + "." + noise() + "." + noise() }, // it begins as JSON does
		func() string { return noise() + " " + noise() },
		func() string { return "Bearer " + as.Sign(map[string]any{"kid": noise()}, as.Claims(nil)) },
	}
	for n := range 4 * len(kinds) { // until unknown kids have used up their fetches
		request(v, kinds[n%len(kinds)]())
	}
	before := namesOf(scrape(t, promaccesstoken.New(v)))
	for range 500 {
		request(v, kinds[rand.N(len(kinds))]())
	}
	after := namesOf(scrape(t, promaccesstoken.New(v)))
	if added := slices.DeleteFunc(after, func(name string) bool { return slices.Contains(before, name) }); len(added) > 0 {
		t.Errorf("got the series %q; want none but the %d from before", added, len(before))
	}
}

func TestNothingOfATokenIsScraped(t *testing.T) {
	v := testkit.NewValidator(t, as, introspecting(t, as))
	for name, lines := range testkit.Marked(as) {
		request(v, lines...)
		testkit.WantNoCanary(t, name, scrape(t, promaccesstoken.New(v)), lines)
	}
	request(v, "Bearer "+as.Token(accesstokentest.Claims{"scope": "a", "sub": testkit.Canary}))
	testkit.WantNoCanary(t, "accepted", scrape(t, promaccesstoken.New(v)), nil)
}

// Names that a scrape cannot have, or that are counted twice, do not break it.
func TestOddNamesDoNotBreakAScrape(t *testing.T) {
	s := accesstoken.Stats{
		Decisions: []accesstoken.DecisionCount{{Issuer: "removed", Count: 1}, {Issuer: "removed", Count: 2}, {Resource: "a\xff", Count: 3}},
		Issuers:   []accesstoken.IssuerStats{{Name: "\xff"}, {Name: "\xfe"}, {Name: "ü\n\""}},
	}
	want(t, scrape(t, promaccesstoken.Of(s)), map[string]string{
		`decisions_total{issuer="removed",outcome="",reason="",resource="",source="",transport=""}`:    "3",
		`decisions_total{issuer="",outcome="",reason="",resource="\"a\\xff\"",source="",transport=""}`: "3",
		`issuers{issuer="\"\\xff\""}`: "0",
		`issuers{issuer="\"\\xfe\""}`: "0",
		`issuers{issuer="ü\n\""}`:     "0",
	})
}

func TestItIsScrapedWhileRequestsComeAndAfterClose(t *testing.T) {
	v := testkit.NewValidator(t, as, introspecting(t, as))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(promaccesstoken.New(v))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 20 {
				request(v, "Bearer "+as.Token(accesstokentest.Claims{"scope": "a"}))
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	before := testutil.CollectAndCount(promaccesstoken.New(v), "accesstoken_decisions_total")
	_ = v.Close()
	if after := testutil.CollectAndCount(promaccesstoken.New(v), "accesstoken_decisions_total"); after != before || after == 0 {
		t.Errorf("after Close: got %d series of decisions; want %d", after, before)
	}
}

func TestNilIsNoticedAtOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New(nil) did not panic; want it to, because Collect would end the program later")
		}
	}()
	promaccesstoken.New(nil)
}
