package echoauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// as is the authorization server of all tests that do not count its requests.
var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// bearer returns an Authorization value with a good token that has the scopes.
func bearer(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope})
}

// serve runs the handler on a TLS server, over HTTP/2 if the client agrees.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// An answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
	proto  string
}

func (a answer) challenge() string { return a.header.Get("WWW-Authenticate") }

// send makes a request; fields are names and values in turn, and may repeat.
func send(t testing.TB, client *http.Client, method, url, body string, fields ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text), response.Proto}
}

// get serves one GET request of / by the handler.
func get(t testing.TB, handler http.Handler, fields ...string) answer {
	t.Helper()
	server := serve(t, handler)
	return send(t, server.Client(), http.MethodGet, server.URL, "", fields...)
}

// newEcho returns an Echo that says nothing when it starts or fails.
func newEcho() *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	return e
}

// A counter has a handler that says who is calling and counts its calls.
type counter struct{ calls atomic.Int32 }

func (c *counter) handle(e echo.Context) error {
	c.calls.Add(1)
	claims, ok := accesstoken.FromContext(e.Request().Context())
	if !ok {
		return e.String(http.StatusOK, "anonymous")
	}
	return e.String(http.StatusOK, claims.Subject+" may "+claims.Scopes().String())
}

// wantCalls fails the test unless the handler ran that often.
func (c *counter) wantCalls(t testing.TB, want int32) {
	t.Helper()
	if got := c.calls.Load(); got != want {
		t.Errorf("the handler ran: got %d times; want %d", got, want)
	}
}
