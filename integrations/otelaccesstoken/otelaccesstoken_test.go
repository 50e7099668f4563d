package otelaccesstoken_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/otelaccesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

func TestTheNumbersAreThoseOfTheValidator(t *testing.T) {
	v := testkit.NewValidator(t, as, introspecting(t, as))
	token := as.Token(accesstokentest.Claims{"scope": "a"})
	for range 3 {
		request(t.Context(), v, "Bearer "+token)
	}
	request(t.Context(), v, "Bearer "+as.Opaque(accesstokentest.Claims{"scope": "a"}))
	request(t.Context(), v, "Bearer "+as.Token(nil))
	text := collected(t, v.Stats())
	const of, from = "accesstoken.decisions {decision} accesstoken.issuer=staff,", "accesstoken.resource=https://api.example.com"
	for _, want := range []string{
		of + "accesstoken.outcome=accepted," + from + ",accesstoken.source=cache,accesstoken.transport=net/http: 2",
		of + "accesstoken.outcome=accepted," + from + ",accesstoken.source=introspection,accesstoken.transport=net/http: 1",
		of + "accesstoken.outcome=refused," + from + ",accesstoken.transport=net/http,error.type=SCOPE_INSUFFICIENT: 1",
		"accesstoken.keys.fetches {fetch} accesstoken.issuer=staff,accesstoken.result=succeeded: 1",
		"accesstoken.keys.fetches {fetch} accesstoken.issuer=staff,accesstoken.result=failed,error.type=failed: 0",
		"accesstoken.introspection.calls {call} accesstoken.issuer=staff,accesstoken.result=answered: 1",
		"accesstoken.token.cache.limit By : 67108864",
		"accesstoken.dpop.proofs {proof} accesstoken.result=replayed,error.type=replayed: 0",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("got no %q; want it in\n%s", want, text)
		}
	}
	if strings.Contains(text, "failing_since") {
		t.Error("got a time of failure; want none, because no fetch has failed")
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
	before, count := collected(t, filled(2)), 0
	seen := map[string]string{}
	leaves(reflect.ValueOf(new(filled(2))).Elem(), "", func(name string, _ reflect.Value) {
		changed := filled(2)
		leaves(reflect.ValueOf(&changed).Elem(), "", func(other string, leaf reflect.Value) {
			if other == name {
				raise(leaf, 1)
			}
		})
		after := collected(t, changed)
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

func TestDurationsAreInTheBucketsOfStats(t *testing.T) {
	var s accesstoken.Stats
	for i := range s.Tokens.Verified {
		s.Tokens.Verified[i] = uint64(i + 1)
	}
	s.Tokens.VerifiedTime = 1500 * time.Millisecond
	reader := metric.NewManualReader(metric.WithProducer(otelaccesstoken.DurationsOf(s)))
	provider := metric.NewMeterProvider(metric.WithReader(reader)) // a reader belongs to one
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name != "accesstoken.token.verification.duration" {
			continue
		}
		p := m.Data.(metricdata.ExponentialHistogram[float64]).DataPoints[0]
		if p.Count != 300 || p.Sum != 1.5 || p.Scale != 0 || p.ZeroCount != 1 || p.ZeroThreshold != math.Ldexp(1, -17) ||
			p.PositiveBucket.Offset != -17 || len(p.PositiveBucket.Counts) != 23 || p.PositiveBucket.Counts[0] != 2 {
			t.Errorf("got %+v; want 300 in 1.5 s, 1 up to 2^-17 s, and 2 in the bucket after that", p)
		}
		return
	}
	t.Errorf("got %v; want the durations of verifications", all)
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
		request(t.Context(), v, kinds[n%len(kinds)]())
	}
	before := namesOf(t, v.Stats())
	for range 500 {
		request(t.Context(), v, kinds[rand.N(len(kinds))]())
	}
	after := namesOf(t, v.Stats())
	if added := slices.DeleteFunc(after, func(name string) bool { return slices.Contains(before, name) }); len(added) > 0 {
		t.Errorf("got the series %q; want none but the %d from before", added, len(before))
	}
}

func TestNothingOfATokenIsExported(t *testing.T) {
	v := testkit.NewValidator(t, as, introspecting(t, as))
	for name, lines := range testkit.Marked(as) {
		request(t.Context(), v, lines...)
		testkit.WantNoCanary(t, name, collected(t, v.Stats()), lines)
	}
}

// Names that an attribute cannot have, or that are counted twice, do no harm.
func TestOddNamesAreExported(t *testing.T) {
	text := collected(t, accesstoken.Stats{
		Decisions: []accesstoken.DecisionCount{
			{Issuer: "removed", Count: 1}, {Issuer: "removed", Count: 2}, {Outcome: "canceled", Count: 4},
		},
		Issuers: []accesstoken.IssuerStats{{Name: "\xff"}},
	})
	for _, want := range []string{"accesstoken.issuer=removed,accesstoken.outcome=,accesstoken.resource=: 3", `accesstoken.issuer="\\xff"`, "error.type=canceled: 4"} {
		if !strings.Contains(text, want) {
			t.Errorf("got no %q; want it in\n%s", want, text)
		}
	}
}

func TestARegistrationEnds(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	registration, err := otelaccesstoken.Register(v, provider)
	if err != nil {
		t.Fatal(err)
	}
	if text := gather(t, reader); !strings.Contains(text, "accesstoken.issuers") {
		t.Errorf("got %s; want the numbers", text)
	}
	if err := registration.Unregister(); err != nil {
		t.Fatal(err)
	}
	if text := gather(t, reader); text != "" {
		t.Errorf("got %s; want nothing after Unregister", text)
	}
}
