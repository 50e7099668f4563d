package otelaccesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/otelaccesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// traced returns a provider that samples or not, and what it has recorded.
func traced(t testing.TB, sampler trace.Sampler) (*trace.TracerProvider, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSampler(sampler), trace.WithSpanProcessor(recorder))
	t.Cleanup(func() { _ = provider.Shutdown(t.Context()) })
	return provider, recorder
}

func deciding(c *accesstoken.Config) {
	c.Issuers[0].Name, c.OnDecide = "staff", otelaccesstoken.OnDecide
}

func TestADecisionIsAnEventOfTheSpan(t *testing.T) {
	v := testkit.NewValidator(t, as, deciding)
	provider, recorder := traced(t, trace.AlwaysSample())
	token := as.Token(accesstokentest.Claims{"scope": "a"})
	for _, bearer := range []string{token, token, as.Token(nil), "none"} {
		ctx, span := provider.Tracer("test").Start(t.Context(), "GET /")
		request(ctx, v, "Bearer "+bearer)
		span.End()
	}
	const of, over = "accesstoken.issuer=staff ", " accesstoken.transport=net/http"
	want := []string{
		"accesstoken.outcome=accepted " + of[:len(of)-1] + " accesstoken.transport=net/http accesstoken.source=signature",
		"accesstoken.outcome=accepted " + of[:len(of)-1] + over + " accesstoken.source=cache",
		"accesstoken.outcome=refused " + of[:len(of)-1] + over + " error.type=SCOPE_INSUFFICIENT accesstoken.source=signature",
		"accesstoken.outcome=refused" + over + " error.type=TOKEN_MALFORMED",
	}
	spans := recorder.Ended()
	if len(spans) != len(want) {
		t.Fatalf("got %d spans; want %d, because a decision starts none", len(spans), len(want))
	}
	for i, span := range spans {
		events := span.Events()
		if len(events) != 1 || events[0].Name != "accesstoken.decision" {
			t.Errorf("got the events %v; want one", events)
			continue
		}
		var words []string
		for _, a := range events[0].Attributes {
			words = append(words, string(a.Key)+"="+a.Value.AsString())
		}
		if got := strings.Join(words, " "); got != want[i] {
			t.Errorf("got %q; want %q", got, want[i])
		}
	}
}

func TestWithoutASpanThatRecordsNothingHappens(t *testing.T) {
	provider, recorder := traced(t, trace.NeverSample())
	ctx, span := provider.Tracer("test").Start(t.Context(), "GET /")
	defer span.End()
	d := accesstoken.Decision{Issuer: "staff", Source: accesstoken.SourceCache}
	if n := testing.AllocsPerRun(100, func() { otelaccesstoken.OnDecide(ctx, d) }); n != 0 {
		t.Errorf("got %v allocations; want none", n)
	}
	if len(recorder.Started()) != 0 {
		t.Error("got a span; want none")
	}
}

func TestTheOutcomeOfAnEventIsThatOfStats(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Name, c.OnDecide = "staff", otelaccesstoken.OnDecide
	})
	provider, recorder := traced(t, trace.AlwaysSample())
	ctx, span := provider.Tracer("test").Start(t.Context(), "GET /")
	for _, err := range []error{accesstoken.Unavailable, errors.New("unknown"), accesstoken.Deny("MY_OWN", nil)} {
		v.Refuse(ctx, err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	v.Refuse(gone, context.Canceled)
	request(ctx, v, "Bearer "+as.Token(accesstokentest.Claims{"scope": "a"}))
	span.End()
	var events, counted []string
	for _, e := range recorder.Ended()[0].Events() {
		events = append(events, e.Attributes[0].Value.AsString())
	}
	for _, d := range v.Stats().Decisions {
		counted = append(counted, d.Outcome)
	}
	slices.Sort(events)
	slices.Sort(counted)
	if fmt.Sprint(events) != fmt.Sprint(counted) || len(events) != 5 {
		t.Errorf("got the events %q; want %q", events, counted)
	}
}

func TestARequestToTheIssuerIsASpan(t *testing.T) {
	provider, recorder := traced(t, trace.AlwaysSample())
	server := accesstokentest.NewServer(t)
	traceparent := make(chan string, 10)
	base := server.Client().Transport
	watched := roundTripper(func(r *http.Request) (*http.Response, error) {
		traceparent <- r.Header.Get("Traceparent")
		return base.RoundTrip(r)
	})
	v := testkit.NewValidator(t, server, func(c *accesstoken.Config) {
		c.HTTPClient = &http.Client{Transport: otelaccesstoken.Transport(watched, provider)}
	})
	ctx, span := provider.Tracer("test").Start(t.Context(), "GET /")
	for range 2 {
		request(ctx, v, "Bearer "+server.Token(nil))
	}
	span.End()
	fetches := slices.DeleteFunc(recorder.Ended(), func(s trace.ReadOnlySpan) bool { return s.Name() == "GET /" })
	if len(fetches) == 0 || len(fetches) > 3 {
		t.Fatalf("got %d spans of fetches; want those of discovery and of the keys, once", len(fetches))
	}
	for _, s := range fetches {
		if text := fmt.Sprint(s.Attributes()); s.Name() != "GET" || !strings.Contains(text, "server.address") || strings.Contains(text, "http://") || strings.Contains(text, "url.") {
			t.Errorf("got %s %s; want the method and the host, and no URL", s.Name(), text)
		}
		if got := <-traceparent; got != "" {
			t.Errorf("got the traceparent %q; want none", got)
		}
	}
	if !slices.ContainsFunc(fetches, func(s trace.ReadOnlySpan) bool { return s.Status().Code != codes.Error }) {
		t.Error("got only failures; want a fetch that succeeded")
	}
}

func TestAFailedRequestToTheIssuerHasAKind(t *testing.T) {
	provider, recorder := traced(t, trace.AlwaysSample())
	answers := map[string]roundTripper{
		"_OTHER": func(*http.Request) (*http.Response, error) { return nil, errors.New(testkit.Canary) },
		"503": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
		},
	}
	for kind, answer := range answers {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://issuer.example/"+testkit.Canary, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := otelaccesstoken.Transport(answer, provider).RoundTrip(r); err == nil {
			_ = response.Body.Close()
		}
		span := recorder.Ended()[len(recorder.Ended())-1]
		text := fmt.Sprint(span.Attributes(), span.Events(), span.Status())
		if !strings.Contains(text, kind) || span.Status().Code != codes.Error {
			t.Errorf("got %s; want an error of the kind %s", text, kind)
		}
		testkit.WantNoCanary(t, kind, text, nil)
	}
}

func TestNothingOfATokenIsTraced(t *testing.T) {
	v := testkit.NewValidator(t, as, deciding)
	provider, recorder := traced(t, trace.AlwaysSample())
	for name, lines := range testkit.Marked(as) {
		ctx, span := provider.Tracer("test").Start(t.Context(), "GET /")
		request(ctx, v, lines...)
		span.End()
		ended := recorder.Ended()[len(recorder.Ended())-1]
		testkit.WantNoCanary(t, name, fmt.Sprint(ended.Attributes(), ended.Events(), ended.Status()), lines)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
