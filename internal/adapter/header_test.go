package adapter_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
)

func TestAPreflightHasThreeSigns(t *testing.T) {
	for _, test := range []struct {
		name, method, origin, asked string
		want                        bool
	}{
		{"a preflight", "OPTIONS", "https://app.example", "POST", true},
		{"another method", "GET", "https://app.example", "POST", false},
		{"no origin", "OPTIONS", "", "POST", false},
		{"no method asked for", "OPTIONS", "https://app.example", "", false},
	} {
		r := httptest.NewRequest(test.method, "/", nil)
		r.Header.Set("Origin", test.origin)
		r.Header.Set("Access-Control-Request-Method", test.asked)
		if got := adapter.IsPreflight(r); got != test.want {
			t.Errorf("%s: got %v; want %v", test.name, got, test.want)
		}
	}
}

// from returns a request of a script of that origin; "" is a request without one.
func from(origin string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func TestAnAcceptedRequestIsGivenTheNextNonce(t *testing.T) {
	for _, test := range []struct {
		name, origin, nonce string
		cors                bool
		want                http.Header
	}{
		{"no nonce", "https://app.example", "", true, http.Header{}},
		{"no CORS", "https://app.example", "n", false, http.Header{"Dpop-Nonce": {"n"}, "Cache-Control": {"no-store"}}},
		{"no origin", "", "n", true, http.Header{"Dpop-Nonce": {"n"}, "Cache-Control": {"no-store"}}},
		{"a script", "https://app.example", "n", true, http.Header{"Dpop-Nonce": {"n"}, "Cache-Control": {"no-store"}, "Access-Control-Expose-Headers": {"DPoP-Nonce"}}},
	} {
		got := http.Header{}
		adapter.Accepted(got, from(test.origin), test.nonce, test.cors)
		if !maps.EqualFunc(got, test.want, slices.Equal) {
			t.Errorf("%s: got %v; want %v", test.name, got, test.want)
		}
	}
}

func TestARefusalReplacesWhatWasSetForAnotherBody(t *testing.T) {
	refused := &accesstoken.Error{Reason: accesstoken.Unavailable}
	got := http.Header{"Content-Length": {"3"}, "Content-Encoding": {"gzip"}, "Etag": {`"v1"`}, "Last-Modified": {"x"}, "Cache-Control": {"public"}, "Vary": {"Accept"}}
	want := refused.Header()
	want["Vary"], want["X-Content-Type-Options"] = []string{"Accept"}, []string{"nosniff"}
	adapter.Refused(got, from(""), refused, true)
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestScriptsOfOtherOriginsMayReadARefusal(t *testing.T) {
	refused := &accesstoken.Error{Reason: accesstoken.CredentialsMissing}
	for _, test := range []struct {
		name, origin, nonce string
		cors                bool
		want                []string
	}{
		{"no CORS", "https://app.example", "n", false, nil},
		{"no origin", "", "n", true, nil},
		{"no nonce", "https://app.example", "", true, []string{"WWW-Authenticate"}},
		{"a nonce", "https://app.example", "n", true, []string{"WWW-Authenticate", "DPoP-Nonce"}},
	} {
		header := http.Header{}
		if test.nonce != "" {
			header.Set("DPoP-Nonce", test.nonce)
		}
		adapter.Refused(header, from(test.origin), refused, test.cors)
		if got := header.Values("Access-Control-Expose-Headers"); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q; want %q", test.name, got, test.want)
		}
	}
}
