package middleware_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/adaptertest"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// canary begins every text that a request or a token brings.
const canary = "kanarie7x"

// marked returns Authorization lines that are refused, each for another reason,
// with the canary in whatever they can have it in.
func marked() map[string][]string {
	claims := func(more accesstokentest.Claims) accesstokentest.Claims {
		all := accesstokentest.Claims{"sub": canary + "-sub", "client_id": canary + "-client", "jti": canary, "scope": canary, canary: map[string]any{canary: canary}}
		maps.Copy(all, more)
		return as.Claims(all)
	}
	header := func(more map[string]any) map[string]any {
		all := map[string]any{"typ": "at+jwt", "jku": "https://" + canary + ".example", "x5u": canary, canary: canary}
		maps.Copy(all, more)
		return all
	}
	good := "Bearer " + as.Sign(header(nil), claims(nil))
	return map[string][]string{
		"two lines":               {good, good},
		"another scheme":          {canary + " " + canary},
		"malformed":               {"Bearer " + canary + " " + canary},
		"opaque":                  {"Bearer " + canary},
		"a key that is not there": {"Bearer " + as.Sign(header(map[string]any{"kid": canary}), claims(nil))},
		"another kind":            {"Bearer " + as.Sign(header(map[string]any{"typ": canary}), claims(nil))},
		"another issuer":          {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"iss": "https://" + canary + ".example"}))},
		"for somebody else":       {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"aud": canary}))},
		"expired":                 {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"exp": 1}))},
		"bound":                   {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"cnf": map[string]any{"jkt": canary}}))},
		"tampered with":           {good[:len(good)-12] + "AAAAAAAAAAAA"},
		"without the scope":       {good},
	}
}

// wantNoCanary fails the test if the canary is in a text: as it is, in hex, in
// base64 wherever it begins in a group of three bytes, or as a part of the lines.
func wantNoCanary(t *testing.T, where, text string, lines []string) {
	t.Helper()
	forms := []string{canary, hex.EncodeToString([]byte(canary))}
	for before := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", before) + canary + "xxx"))
		forms = append(forms, encoded[(before*8+5)/6:(before+len(canary))*8/6])
	}
	for _, line := range lines {
		for part := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == '.' || r == ' ' }) {
			if len(part) >= 20 {
				forms = append(forms, part[:20], part[len(part)-20:])
			}
		}
	}
	for _, form := range forms {
		if strings.Contains(text, form) || strings.Contains(strings.ToLower(text), form) {
			t.Errorf("%s: got %q; want nothing of %q in it", where, text, form)
		}
	}
}

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
		auth := middleware.New(adaptertest.NewValidator(t, as, nil), options)
		ask := loudly(t, auth.Require(scopes.All("orders:write")).Wrap(next))
		for name, lines := range marked() {
			answer, text := ask(lines)
			if answer.status < 400 {
				t.Errorf("%s, %s: got %d; want a refusal", body, name, answer.status)
			}
			wantNoCanary(t, body+", "+name, text, lines)
		}
	}
}

// What a handler says with Refuse is for the log.
func TestWhatAHandlerRefusesForIsNotTold(t *testing.T) {
	auth := middleware.New(adaptertest.NewValidator(t, as, nil), nil)
	for _, said := range []error{
		errors.New(canary), fmt.Errorf("%s: %w", canary, accesstoken.TokenExpired), accesstoken.Deny("CLOSED", errors.New(canary)),
		fmt.Errorf("%s: %w", canary, accesstoken.Deny(accesstoken.Reason(canary), nil)), &accesstoken.Error{Reason: accesstoken.Reason(canary)}, nil,
	} {
		lines := []string{bearer("a")}
		_, text := loudly(t, auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, said) })))(lines)
		wantNoCanary(t, fmt.Sprint(said), text, lines)
	}
}

// net/http logs the panic of a handler, whatever its value is.
func TestAPanicWithClaimsTellsNothing(t *testing.T) {
	lines := []string{"Bearer " + as.Token(accesstokentest.Claims{"sub": canary, "jti": canary, canary: canary})}
	logged := new(bytes.Buffer)
	auth := middleware.New(adaptertest.NewValidator(t, as, nil), nil)
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
	wantNoCanary(t, "the log", logged.String(), lines)
}
