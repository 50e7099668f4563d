//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// The audiences that tokens are asked for.
const (
	resource      = "https://api.example.com"
	otherResource = "https://other.example.com"
)

// redirectURI is where codes are sent. No server listens there, and the flow stops.
const redirectURI = "http://127.0.0.1:1/callback"

// A server is a running authorization server. On each one, the clients opaque and jwt
// act for themselves, and app and app-jwt act for the user alice. opaque and app get
// opaque tokens, the others get JWTs.
type server struct {
	process       *process
	issuer        string
	profile       accesstoken.Profile
	metadata      map[string]any
	introspection string            // the endpoint
	audience      string            // the request parameter that names the resource server
	secret        string            // of every client that has one
	subjects      map[string]string // of the users whose sub is not their name

	// rotate makes the server sign with a new key. The previous one stays
	// published.
	rotate func(t *testing.T)

	// away ends the server, and starts it again after during with the same keys.
	away func(t *testing.T, during func())

	// signIn fills in the pages of the server, if it has any, as a person would, and
	// returns the next response.
	signIn func(t *testing.T, browser *http.Client, page *http.Response) *http.Response
}

// subject is the sub of a user.
func (s *server) subject(user string) string {
	if subject, ok := s.subjects[user]; ok {
		return subject
	}
	return user
}

// wellKnown is the address of a document of metadata (OpenID Connect Discovery
// 1.0 §4). None of the issuers here with a path has RFC 8414's order of the two.
func (s *server) wellKnown(name string) string {
	return strings.TrimSuffix(s.issuer, "/") + "/.well-known/" + name
}

// newSecret is a secret for one run.
func newSecret() string { return rand.Text() + rand.Text() }

// endpoint reads a URL from the server's metadata.
func (s *server) endpoint(t *testing.T, name string) string {
	t.Helper()
	endpoint, ok := s.metadata[name].(string)
	if !ok {
		t.Fatalf("the metadata of %s has no %s", s.issuer, name)
	}
	return endpoint
}

// tokens are a token endpoint's answer (RFC 6749 §5.1).
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// grant asks the token endpoint.
func (s *server) grant(t *testing.T, client string, form url.Values) (got tokens) {
	t.Helper()
	body := s.post(t, s.endpoint(t, "token_endpoint"), client, form)
	if err := json.Unmarshal(body, &got); err != nil || got.Access == "" {
		t.Fatalf("the token endpoint gave no access token to %s: %v", client, err)
	}
	return got
}

// issue gets an access token for a client that acts for itself. An empty
// audience asks for none.
func (s *server) issue(t *testing.T, client, audience, scope string) string {
	t.Helper()
	return s.grant(t, client, s.asksFor(audience, scope)).Access
}

// asksFor is a token request of a client that acts for itself.
func (s *server) asksFor(audience, scope string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	s.askFor(form, audience)
	return form
}

// askFor asks for an audience, unless it is empty: in a parameter of its own, or
// by one more scope.
func (s *server) askFor(form url.Values, audience string) {
	switch {
	case audience == "":
	case s.audience == "scope":
		form.Set("scope", strings.TrimSpace(form.Get("scope")+" "+audience))
	default:
		form.Set(s.audience, audience)
	}
}

// logIn gets a client tokens for alice with an authorization code (RFC 6749
// §4.1, PKCE).
func (s *server) logIn(t *testing.T, client string) tokens {
	t.Helper()
	return s.logInTo(t, client, "openid offline_access read")
}

// logInTo does the same for other scopes.
func (s *server) logInTo(t *testing.T, client, scope string) tokens {
	t.Helper()
	request := url.Values{"scope": {scope}}
	s.askFor(request, resource)
	return s.logInWith(t, newJar(t), client, request)
}

// logInWith does the same for a request with any parameters, in a browser that has these
// cookies.
func (s *server) logInWith(t *testing.T, cookies http.CookieJar, client string, parameters url.Values) tokens {
	t.Helper()
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	request := url.Values{
		"response_type":         {"code"},
		"client_id":             {client},
		"redirect_uri":          {redirectURI},
		"state":                 {state},
		"nonce":                 {rand.Text()},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	maps.Copy(request, parameters)
	code := s.authorize(t, cookies, request)
	if got := code.Get("state"); got != state {
		t.Fatalf("the authorization endpoint answers %v; want a code with our state", code)
	}
	return s.grant(t, client, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code.Get("code")},
		"redirect_uri":  {redirectURI},
		"code_verifier": {verifier},
	})
}

// newJar returns the cookies of a new browser: none.
func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

// authorize follows all redirects, as a browser does, to the redirect URI, and
// returns its query.
func (s *server) authorize(t *testing.T, cookies http.CookieJar, request url.Values) (answer url.Values) {
	t.Helper()
	browser := &http.Client{Jar: cookies, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI) {
			answer = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	response, err := browser.Get(s.endpoint(t, "authorization_endpoint") + "?" + request.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if answer == nil && s.signIn != nil {
		response = s.signIn(t, browser, response)
	}
	defer response.Body.Close()
	if answer == nil {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("the authorization endpoint ends with %s\n%s", response.Status, body)
	}
	return answer
}

// refresh gets new tokens with a refresh token (RFC 6749 §6).
func (s *server) refresh(t *testing.T, client, token string) tokens {
	t.Helper()
	return s.grant(t, client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// revoke revokes a token (RFC 7009).
func (s *server) revoke(t *testing.T, client, token string) {
	t.Helper()
	s.post(t, s.endpoint(t, "revocation_endpoint"), client, url.Values{"token": {token}})
}

// post sends a form as a client, and expects 200. If accept is given, it has the media
// types for the Accept field.
func (s *server) post(t *testing.T, endpoint, client string, form url.Values, accept ...string) (body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header["Accept"] = accept
	request.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(s.secret))
	if body, err = send(request, http.StatusOK); err != nil {
		t.Fatal(err)
	}
	return body
}

// sendJSON sends a document, and expects a status.
func sendJSON(ctx context.Context, method, url string, document any, status int) (body []byte, err error) {
	content, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return send(request, status)
}

// send makes a request, and expects a status.
func send(request *http.Request, status int) (body []byte, err error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return nil, fmt.Errorf("%s %s answers %s; want %d\n%s", request.Method, request.URL.Path, response.Status, status, body)
	}
	return body, nil
}
