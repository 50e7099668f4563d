//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A resourceServer is ours, with three routes over net/http behind a Validator. /write
// requires the scope write, /fresh requires a new introspection, and / accepts any valid
// token.
type resourceServer struct {
	url     string
	refused atomic.Pointer[accesstoken.Error] // the last refusal
}

// A caller is what a handler finds in its context.
type caller struct {
	Issuer, Subject, ClientID string
	Audience                  []string
	Scopes                    string
	Expires                   bool
}

// serve starts a resource server that accepts the issuer's tokens.
func serve(t *testing.T, issuer accesstoken.Issuer) *resourceServer {
	t.Helper()
	return serveOn(t, httptest.NewUnstartedServer(nil), accesstoken.Config{Issuers: []accesstoken.Issuer{issuer}}, routes)
}

// serveOn starts a resource server on an existing listener, so that its Config can have
// the URL. If web has a setting for TLS, it is over TLS.
func serveOn(t *testing.T, web *httptest.Server, config accesstoken.Config, routes func(*middleware.Middleware) http.Handler) *resourceServer {
	t.Helper()
	rs := &resourceServer{}
	config.Resource = resource
	config.OnRefuse = func(_ context.Context, refused *accesstoken.Error) { rs.refused.Store(refused) }
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	web.Config.Handler = routes(middleware.New(v, nil))
	if web.TLS != nil {
		web.StartTLS()
	} else {
		web.Start()
	}
	t.Cleanup(web.Close)
	rs.url = web.URL
	return rs
}

// routes are those of a resourceServer.
func routes(auth *middleware.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", auth.Require(scopes.None()).Wrap(http.HandlerFunc(describe)))
	mux.Handle("GET /write", auth.Require(scopes.All("write")).Wrap(http.HandlerFunc(describe)))
	mux.Handle("GET /fresh", auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.None(), FreshIntrospection: true}).Wrap(http.HandlerFunc(describe)))
	return mux
}

// describe answers with the caller.
func describe(w http.ResponseWriter, r *http.Request) {
	claims, ok := accesstoken.FromContext(r.Context())
	if !ok {
		http.Error(w, "there are no claims in the context", http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(caller{
		Issuer:   claims.Issuer,
		Subject:  claims.Subject,
		ClientID: claims.ClientID,
		Audience: claims.Audience(),
		Scopes:   claims.Scopes().String(),
		Expires:  !claims.Expiry.IsZero(),
	})
}

// A verdict is the result of a request.
type verdict struct {
	status    int
	reason    accesstoken.Reason // "" for 200
	challenge bool               // WWW-Authenticate was sent
}

// String returns the verdict in the form for the table.
func (v verdict) String() string { return strings.TrimSpace(fmt.Sprint(v.status, " ", v.reason)) }

// The verdicts that all servers share.
func allowed() verdict { return verdict{status: http.StatusOK} }
func invalid(reason accesstoken.Reason) verdict {
	return verdict{http.StatusUnauthorized, reason, true}
}
func forbidden(reason accesstoken.Reason) verdict { return verdict{http.StatusForbidden, reason, true} }
func unavailable(reason accesstoken.Reason) verdict {
	return verdict{http.StatusServiceUnavailable, reason, false}
}
func misconfigured() verdict {
	return verdict{http.StatusInternalServerError, accesstoken.ResourceServerMisconfigured, false}
}

// call presents a token, and returns the caller that the handler found. If the request
// was refused, the caller is zero.
func (rs *resourceServer) call(t *testing.T, path, token string) (got verdict, found caller) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rs.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	got, found, _ = rs.answers(t, http.DefaultClient, request)
	return got, found
}

// answers sends a request, and returns the header of the answer as well.
func (rs *resourceServer) answers(t *testing.T, client *http.Client, request *http.Request) (got verdict, found caller, header http.Header) {
	t.Helper()
	rs.refused.Store(nil)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got = verdict{status: response.StatusCode, challenge: response.Header.Get("WWW-Authenticate") != ""}
	if refused := rs.refused.Load(); refused != nil {
		got.reason = refused.Reason
		t.Logf("refused with %d: %v", got.status, refused)
	}
	if response.StatusCode == http.StatusOK {
		if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
			t.Fatal(err)
		}
	}
	return got, found, response.Header
}

// expect presents a token and compares.
func (rs *resourceServer) expect(t *testing.T, path, token string, want verdict) caller {
	t.Helper()
	got, found := rs.call(t, path, token)
	if got != want {
		t.Errorf("GET %s: got %+v; want %+v", path, got, want)
	}
	return found
}

// expectCaller compares the caller that a handler found.
func expectCaller(t *testing.T, got, want caller) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// newClient makes an introspection client for the resource server's own
// credentials at the server.
func newClient(t *testing.T, config introspection.Config) *introspection.Client {
	t.Helper()
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// asks returns the Config of a resource server with a secret.
func (s *server) asks() introspection.Config {
	return introspection.Config{Endpoint: s.introspection, ClientID: "resource-server", ClientSecret: s.secret}
}
