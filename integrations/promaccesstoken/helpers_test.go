package promaccesstoken_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// as is the authorization server of all tests that do not count its requests.
var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// scrape returns everything that a registry with the collector has, as text.
func scrape(t testing.TB, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// series returns the names and labels in the text of a scrape, with their values.
func series(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if at := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") {
			all[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return all
}

func namesOf(text string) []string { return slices.Sorted(maps.Keys(series(text))) }

// introspecting adds an introspection client to the issuer.
func introspecting(t testing.TB, as *accesstokentest.Server) func(*accesstoken.Config) {
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *accesstoken.Config) { c.Issuers[0].Name, c.Issuers[0].Introspection = "staff", client }
}

// request sends a request with the Authorization lines to a route that demands a scope.
func request(v *accesstoken.Validator, lines ...string) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Authorization"] = lines
	w := httptest.NewRecorder()
	route := middleware.New(v, nil).Require(scopes.All("a"))
	route.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	return w.Code
}

// want fails the test if a series does not have the value.
func want(t testing.TB, text string, values map[string]string) {
	t.Helper()
	got := series(text)
	for name, value := range values {
		if got["accesstoken_"+name] != value {
			t.Errorf("%s: got %q; want %s", name, got["accesstoken_"+name], value)
		}
	}
}
