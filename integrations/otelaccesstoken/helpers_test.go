package otelaccesstoken_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/otelaccesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// as is the authorization server of all tests that do not count its requests.
var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// collected returns what a reader of the SDK gets of the numbers: a line for each series.
func collected(t testing.TB, s accesstoken.Stats) string {
	t.Helper()
	reader := metric.NewManualReader(metric.WithProducer(otelaccesstoken.DurationsOf(s)))
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	defer func() { _ = provider.Shutdown(context.Background()) }()
	if _, err := otelaccesstoken.RegisterOf(s, provider); err != nil {
		t.Fatal(err)
	}
	return gather(t, reader)
}

func gather(t testing.TB, reader metric.Reader) string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			add := func(set attribute.Set, value any) {
				lines = append(lines, fmt.Sprintf("%s %s %s: %v\n", m.Name, m.Unit, set.Encoded(attribute.DefaultEncoder()), value))
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.ExponentialHistogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, fmt.Sprint(p.Count, p.Sum, p.ZeroCount, p.PositiveBucket))
				}
			default:
				t.Fatalf("%s: got %T; want a kind of this package", m.Name, data)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// namesOf returns the series without their values.
func namesOf(t testing.TB, s accesstoken.Stats) (names []string) {
	for line := range strings.Lines(collected(t, s)) {
		names = append(names, line[:strings.LastIndex(line, ": ")])
	}
	return names
}

// introspecting adds an introspection client to the issuer.
func introspecting(t testing.TB, as *accesstokentest.Server) func(*accesstoken.Config) {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *accesstoken.Config) { c.Issuers[0].Name, c.Issuers[0].Introspection = "staff", client }
}

// request sends a request with the Authorization lines to a route that demands a scope.
func request(ctx context.Context, v *accesstoken.Validator, lines ...string) int {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header["Authorization"] = lines
	w := httptest.NewRecorder()
	route := middleware.New(v, nil).Require(scopes.All("a"))
	route.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	return w.Code
}
