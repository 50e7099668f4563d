//go:build interop

package interop_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// maxAuthAge is short, because Keycloak's clock cannot be moved, so the test waits for
// that long.
const maxAuthAge = 10 * time.Second

// The challenges of the routes (RFC 9470 §3).
var (
	stepUpToGold = map[string]string{
		"realm": resource, "error": "insufficient_user_authentication", "error_description": "a different authentication is required",
		"acr_values": "gold", "max_age": "10", "scope": "profile",
	}
	stepUpToFresh = map[string]string{
		"realm": resource, "error": "insufficient_user_authentication", "error_description": "a different authentication is required",
		"max_age": "10",
	}
)

// keycloakStepUp follows the challenges of step-up authentication (RFC 9470) as a client
// does, and compares which forms the user has to fill in.
func keycloakStepUp(t *testing.T, k *keycloak) {
	c := newStepUpClient(t, k)
	c.logIn(t, map[string]string{"scope": "profile"}, "password")
	c.isLetIn(t, "/accounts")
	c.isRefused(t, "/payments", stepUpToGold)

	// A refresh is not a login, and a login that ignores the challenge is not enough.
	c.take(c.refresh(t, "app", c.tokens.Refresh))
	c.isRefused(t, "/payments", stepUpToGold)
	c.logIn(t, map[string]string{"scope": "profile"})
	c.isRefused(t, "/payments", stepUpToGold)

	c.logIn(t, c.isRefused(t, "/payments", stepUpToGold), "otp")
	c.isLetIn(t, "/payments")
	c.isLetIn(t, "/accounts") // which a weaker login satisfies
	c.isLetIn(t, "/fresh")

	c.awaitRefusal(t, "/payments")
	c.isRefused(t, "/payments", stepUpToGold)
	c.logIn(t, c.isRefused(t, "/fresh", stepUpToFresh), "password")
	c.isLetIn(t, "/fresh")
	c.logIn(t, c.isRefused(t, "/payments", stepUpToGold), "otp")
	c.isLetIn(t, "/payments")

	// A service account has the form of a user. Its challenge leads nowhere, because no
	// login can change its tokens.
	c.take(c.grant(t, "app", url.Values{"grant_type": {"client_credentials"}, "scope": {"profile"}}))
	c.isRefused(t, "/payments", stepUpToGold)
	c.isRefused(t, "/fresh", stepUpToFresh)
}

// A stepUpClient is a client of the realm step-up, in a browser that keeps its session.
type stepUpClient struct {
	*server
	rs      *resourceServer
	clock   atomic.Int64 // the resource server's, in nanoseconds since 1970
	cookies http.CookieJar
	forms   []string // that alice has filled in
	tokens  tokens   // of the last login
}

// newStepUpClient makes the realm of testdata/keycloak/step-up.json, and a resource server
// with routes that demand a strong or a fresh login.
func newStepUpClient(t *testing.T, k *keycloak) *stepUpClient {
	t.Helper()
	file, err := os.ReadFile("testdata/keycloak/step-up.json")
	if err != nil {
		t.Fatal(err)
	}
	k.admin(t, http.MethodPost, "", json.RawMessage(strings.ReplaceAll(string(file), "${secret}", k.secret)), http.StatusCreated)
	c := &stepUpClient{server: &server{process: k.process, issuer: k.url + "/realms/step-up", secret: k.secret}, cookies: newJar(t)}
	c.metadata = c.process.await(c.wellKnown("openid-configuration"), c.issuer)
	c.signIn = c.fillIn
	c.take(tokens{})
	c.rs = serveOn(t, httptest.NewUnstartedServer(nil), accesstoken.Config{
		Issuers:  []accesstoken.Issuer{{URL: c.issuer, Profile: accesstoken.Keycloak}},
		ACROrder: []string{"silver", "gold"},
		Leeway:   time.Second,
		Now:      func() time.Time { return time.Unix(0, c.clock.Load()) },
	}, func(auth *middleware.Middleware) http.Handler {
		mux := http.NewServeMux()
		for route, policy := range map[string]accesstoken.Policy{
			"GET /accounts": {Scopes: scopes.None(), ACR: []string{"silver"}},
			"GET /payments": {Scopes: scopes.All("profile"), ACR: []string{"gold"}, MaxAuthAge: maxAuthAge},
			"GET /fresh":    {Scopes: scopes.None(), MaxAuthAge: maxAuthAge},
		} {
			mux.Handle(route, auth.RequirePolicy(policy).WrapFunc(describe))
		}
		return mux
	})
	return c
}

// take makes the client use these tokens. The resource server's clock stays at this
// moment, so that a slow machine does not make the login too old.
func (c *stepUpClient) take(tokens tokens) {
	c.tokens = tokens
	c.clock.Store(time.Now().UnixNano())
}

// logIn makes an authorization request with what the challenge says, and with nothing
// else. The forms are those that alice has to fill in. She may also have to enter her
// password again, if the machine is so slow that her login has become too old.
func (c *stepUpClient) logIn(t *testing.T, challenge map[string]string, forms ...string) {
	t.Helper()
	request := url.Values{}
	for _, name := range []string{"acr_values", "max_age", "scope"} {
		if value, ok := challenge[name]; ok {
			request.Set(name, value)
		}
	}
	c.forms = nil
	c.take(c.logInWith(t, c.cookies, "app", request))
	if !slices.Equal(c.forms, forms) && !slices.Equal(c.forms, append([]string{"password"}, forms...)) {
		t.Errorf("%v: got the forms %q; want %q", request, c.forms, forms)
	}
}

// stepUpForm is a form of Keycloak's login: for the password, or for a one-time password.
var stepUpForm = regexp.MustCompile(`<form id="kc-(form-login|otp-login-form)"[^>]* action="([^"]+)"`)

// fillIn fills in the forms, one after the other.
func (c *stepUpClient) fillIn(t *testing.T, browser *http.Client, page *http.Response) *http.Response {
	t.Helper()
	for range 2 {
		if page.StatusCode != http.StatusOK {
			break // it leads back to the client
		}
		body, err := io.ReadAll(page.Body)
		page.Body.Close()
		form := stepUpForm.FindSubmatch(body)
		if err != nil || form == nil {
			t.Fatalf("the page has no form to log in, %v:\n%s", err, body)
		}
		name, values := "password", url.Values{"username": {"alice"}, "password": {c.secret}}
		if string(form[1]) == "otp-login-form" {
			name, values = "otp", url.Values{"otp": {oneTimePassword(c.secret, time.Now())}}
		}
		c.forms = append(c.forms, name)
		if page, err = browser.PostForm(html.UnescapeString(string(form[2])), values); err != nil {
			t.Fatal(err)
		}
	}
	return page
}

// oneTimePassword returns the six digits of this half minute (RFC 6238 §4, RFC 4226 §5.3).
func oneTimePassword(secret string, now time.Time) string {
	mac := hmac.New(sha1.New, []byte(secret))
	_ = binary.Write(mac, binary.BigEndian, now.Unix()/30)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// asks calls a route, and returns the parameters of the challenge.
func (c *stepUpClient) asks(t *testing.T, path string) (got verdict, params map[string]string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.rs.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.tokens.Access)
	got, _, header := c.rs.answers(t, http.DefaultClient, request)
	found := challenge.Read(header.Values("WWW-Authenticate"))
	if len(found) > 1 || len(found) == 1 && found[0].Scheme != "Bearer" {
		t.Fatalf("got the challenges %v; want one with the scheme Bearer", found)
	}
	for _, one := range found {
		params = one.Params
	}
	return got, params
}

func (c *stepUpClient) isLetIn(t *testing.T, path string) {
	t.Helper()
	if got, _ := c.asks(t, path); got != allowed() {
		t.Errorf("GET %s: got %+v; want %+v", path, got, allowed())
	}
}

// isRefused compares the challenge with what is wanted, and returns it.
func (c *stepUpClient) isRefused(t *testing.T, path string, want map[string]string) (params map[string]string) {
	t.Helper()
	got, params := c.asks(t, path)
	if got != invalid(accesstoken.StepUpRequired) || !maps.Equal(params, want) {
		t.Errorf("GET %s: got %+v with the challenge %v; want %+v with %v", path, got, params, invalid(accesstoken.StepUpRequired), want)
	}
	return params
}

// awaitRefusal lets the resource server's clock go on until the route refuses the token
// that it has accepted.
func (c *stepUpClient) awaitRefusal(t *testing.T, path string) {
	t.Helper()
	began := time.Now()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for now := range again.C {
		c.clock.Store(now.UnixNano())
		if got, _ := c.asks(t, path); got != allowed() {
			return
		}
		if now.Sub(began) > 2*maxAuthAge {
			t.Fatalf("GET %s: the token is accepted for %v after the login; want at most %v", path, now.Sub(began), maxAuthAge)
		}
	}
}
