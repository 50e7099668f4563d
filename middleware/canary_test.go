package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

const canary = testkit.Canary

// loudly runs a handler on a real server, and returns a function that sends a
// request with the lines and says all that comes back, and what the server logs.
func loudly(t *testing.T, handler http.Handler) func(lines []string) (answer answer, text string) {
	t.Helper()
	logged := new(bytes.Buffer)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(logged, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return func(lines []string) (answer, string) {
		fields := []string{"Cookie", "access_token=" + canary, "Origin", "https://" + canary + ".example"}
		for _, line := range lines {
			fields = append(fields, "Authorization", line)
		}
		a := send(t, server.Client(), http.MethodPost, server.URL+"/?access_token="+canary, canary, fields...)
		return a, fmt.Sprint(a.status, a.header, a.body) + logged.String()
	}
}

func TestARefusalTellsNothingOfTheRequest(t *testing.T) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran; want it not to") })
	bodies := map[string]*middleware.Options{
		"text":      nil,
		"a problem": {Body: middleware.Problem, CORS: true},
		"a hook that panics with what it gets": {Body: func(r *http.Request, refused *accesstoken.Error) (string, []byte) {
			panic(fmt.Sprintf("%+v %#v", refused, accesstoken.CredentialsFrom(r.Header)))
		}},
		"a hook that says all that it may": {Body: func(_ *http.Request, refused *accesstoken.Error) (string, []byte) {
			return "text/plain", fmt.Appendf(nil, "%+v %#v %+v", refused, refused, refused.Public())
		}},
	}
	for body, options := range bodies {
		auth := middleware.New(testkit.NewValidator(t, as, nil), options)
		ask := loudly(t, auth.Require(scopes.All("orders:write")).Wrap(next))
		for name, lines := range testkit.Marked(as) {
			answer, text := ask(lines)
			if answer.status < 400 {
				t.Errorf("%s, %s: got %d; want a refusal", body, name, answer.status)
			}
			testkit.WantNoCanary(t, body+", "+name, text, lines)
		}
	}
}

// What a handler says with Refuse is for the log.
func TestWhatAHandlerRefusesForIsNotTold(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	for _, said := range []error{
		errors.New(canary), fmt.Errorf("%s: %w", canary, accesstoken.TokenExpired), accesstoken.Deny("CLOSED", errors.New(canary)),
		fmt.Errorf("%s: %w", canary, accesstoken.Deny(accesstoken.Reason(canary), nil)), &accesstoken.Error{Reason: accesstoken.Reason(canary)}, nil,
	} {
		lines := []string{bearer("a")}
		_, text := loudly(t, auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, said) })))(lines)
		testkit.WantNoCanary(t, fmt.Sprint(said), text, lines)
	}
}

// net/http logs the panic of a handler, whatever its value is.
func TestAPanicWithClaimsTellsNothing(t *testing.T) {
	lines := []string{"Bearer " + as.Token(accesstokentest.Claims{"sub": canary, "jti": canary, canary: canary})}
	logged := new(bytes.Buffer)
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	server := httptest.NewUnstartedServer(auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, _ := accesstoken.FromContext(r.Context())
		panic([]any{claims, &claims, accesstoken.CredentialsFrom(r.Header), r.Context()})
	})))
	server.Config.ErrorLog = log.New(logged, "", 0)
	server.Start()
	r, err := http.NewRequest(http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", lines[0])
	if response, err := server.Client().Do(r); err == nil {
		response.Body.Close()
		t.Errorf("got %s; want no answer", response.Status)
	}
	server.Close() // its log is whole
	if !strings.Contains(logged.String(), "accesstoken.Claims(issuer") {
		t.Errorf("got the log %q; want the panic in it", logged)
	}
	testkit.WantNoCanary(t, "the log", logged.String(), lines)
}
