package websocket_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// bearer returns an Authorization value with a good token that has the scopes.
func bearer(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope})
}

// end is when the tokens of tokenOf end, after they have been made.
const end = 5*time.Minute + 30*time.Second

// tokenOf returns an Authorization value with a token that has five minutes left.
func tokenOf(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope, "exp": time.Now().Add(5 * time.Minute).Unix()})
}

// serve runs the handler on a TLS server, and returns it and a client without HTTP/2.
func serve(t *testing.T, handler http.Handler) (*httptest.Server, *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	transport.TLSClientConfig.NextProtos = nil
	t.Cleanup(transport.CloseIdleConnections)
	return server, &http.Client{Transport: transport}
}

// tokenIsOver is the status of a WebSocket whose token has ended: Unauthorized, in
// IANA's registry of RFC 6455 §11.7.
const tokenIsOver websocket.StatusCode = 3000

// sendBack is a WebSocket that sends back what it gets until its token ends.
func sendBack(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer socket.CloseNow()
	stop := context.AfterFunc(r.Context(), func() { _ = socket.Close(tokenIsOver, "the access token expired") })
	defer stop()
	for {
		// The context is not for Read, which would end the socket without a status.
		kind, text, err := socket.Read(context.Background())
		if err != nil || socket.Write(context.Background(), kind, text) != nil {
			return
		}
	}
}

// A handshake is let in, or refused as any other request is: before anything is
// upgraded, whatever it has beside its Authorization field.
func TestAWebSocketIsAuthenticatedOnItsHandshake(t *testing.T) {
	var upgraded atomic.Int32
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil).Require(scopes.All("chat")).EndWithToken()
	server, client := serve(t, auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgraded.Add(1)
		sendBack(w, r)
	})))
	const realm = `Bearer realm="https://api.example.com"`
	good := bearer("chat")
	bare := good[len("Bearer "):]
	for _, test := range []struct {
		name      string
		path      string
		fields    http.Header
		status    int
		challenge string
	}{
		{"a good token", "", http.Header{"Authorization": {good}}, 101, ""},
		{"a good token, and our own origin", "", http.Header{"Authorization": {good}, "Origin": {server.URL}}, 101, ""},
		{"a good token, and another origin", "", http.Header{"Authorization": {good}, "Origin": {"https://evil.example"}}, 403, ""},
		{"no token", "", nil, 401, realm + `, scope="chat"`},
		{"no token, and another origin", "", http.Header{"Origin": {"https://evil.example"}}, 401, realm + `, scope="chat"`},
		{"junk", "", http.Header{"Authorization": {"Bearer junk"}}, 401, realm + `, error="invalid_token", error_description="the access token is invalid"`},
		{"an expired token", "", http.Header{"Authorization": {"Bearer " + as.Token(accesstokentest.Claims{"exp": 1000000000})}}, 401,
			realm + `, error="invalid_token", error_description="the access token expired"`},
		{"a scope is missing", "", http.Header{"Authorization": {bearer("")}}, 403,
			realm + `, error="insufficient_scope", error_description="the access token lacks a required scope", scope="chat"`},
		{"a token in the query", "?access_token=" + bare, nil, 401, realm + `, scope="chat"`},
		{"a token for a subprotocol", "", http.Header{"Sec-Websocket-Protocol": {"bearer, " + bare}}, 401, realm + `, scope="chat"`},
		{"a token in a cookie", "", http.Header{"Cookie": {"access_token=" + bare}}, 401, realm + `, scope="chat"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := upgraded.Load()
			socket, response, err := websocket.Dial(t.Context(), server.URL+test.path, &websocket.DialOptions{
				HTTPClient: client, HTTPHeader: test.fields,
			})
			if response == nil {
				t.Fatalf("got %v; want a response", err)
			}
			if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != test.status || got != test.challenge {
				t.Errorf("got %d with challenge %s; want %d with %s", response.StatusCode, got, test.status, test.challenge)
			}
			if ran, want := upgraded.Load() > before, test.status == 101 || test.challenge == ""; ran != want {
				t.Errorf("the handler ran: got %v; want %v", ran, want)
			}
			if err != nil {
				return
			}
			defer socket.CloseNow()
			if got, err := say(t.Context(), socket, "hello"); got != "hello" {
				t.Errorf("got %q, %v; want what was sent", got, err)
			}
			if err := socket.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// say sends a message and returns the answer.
func say(ctx context.Context, socket *websocket.Conn, text string) (string, error) {
	if err := socket.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return "", err
	}
	_, answer, err := socket.Read(ctx)
	return string(answer), err
}

// wrapped is in front of the ResponseWriter of others, as a logger does.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestAWebSocketIsClosedWhenItsTokenEnds(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/1.1 with TLS"} {
		for name, around := range map[string]func(http.Handler) http.Handler{
			"alone": func(next http.Handler) http.Handler { return next },
			"behind a wrapper": func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrapped{w}, r) })
			},
		} {
			t.Run(protocol+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var heard []accesstoken.Reason
					v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
						testkit.Offline(as)(config)
						config.OnRefuse = func(_ context.Context, refused *accesstoken.Error) { heard = append(heard, refused.Reason) }
					})
					auth := middleware.New(v, nil).EndWithToken()
					client, url := testkit.Pipe(t, protocol, around(auth.Wrap(http.HandlerFunc(sendBack))))
					token := tokenOf("")
					dial := func() (*websocket.Conn, *http.Response, error) {
						return websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Authorization": {token}}})
					}
					begun := time.Now()
					socket, _, err := dial()
					if err != nil {
						t.Fatal(err)
					}
					defer socket.CloseNow()
					time.Sleep(end - 1)
					if got, err := say(t.Context(), socket, "still here"); got != "still here" {
						t.Errorf("before the end: got %q, %v; want what was sent", got, err)
					}
					_, _, err = socket.Read(t.Context())
					most := end
					if protocol == "HTTP/1.1 with TLS" {
						most += 5 * time.Second // in which both sides try to say that they close: a pipe holds nothing
					}
					if took := time.Since(begun); websocket.CloseStatus(err) != tokenIsOver || took < end || took > most {
						t.Errorf("got %v after %v; want status %d after %v", err, took, tokenIsOver, end)
					}
					synctest.Wait() // for the handler to return
					if len(heard) != 1 || heard[0] != accesstoken.TokenExpired {
						t.Errorf("OnRefuse heard %v; want %v", heard, accesstoken.TokenExpired)
					}

					_, response, err := dial()
					if err == nil || response == nil || response.StatusCode != 401 || !strings.Contains(response.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
						t.Errorf("connecting again: got %v; want 401 and invalid_token", err)
					}
				})
			})
		}
	}
}

// behindEcho serves the handler by Echo.
func behindEcho(auth *echoauth.Middleware, handler echo.HandlerFunc) http.Handler {
	e := echo.New()
	e.GET("/", handler, auth.Wrap)
	return e
}

// A WebSocket behind Echo is refused as any request is, and closed when its token
// ends.
func TestAWebSocketEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := echoauth.New(testkit.NewValidator(t, as, testkit.Offline(as)), nil).EndWithToken()
		client, url := testkit.Pipe(t, "HTTP/1.1", behindEcho(auth, func(c echo.Context) error {
			socket, err := websocket.Accept(c.Response(), c.Request(), nil)
			if err != nil {
				return nil // Accept has answered
			}
			defer socket.CloseNow()
			stop := context.AfterFunc(c.Request().Context(), func() { _ = socket.Close(3000, "the access token expired") })
			defer stop()
			for {
				if _, _, err := socket.Read(context.Background()); err != nil {
					return nil
				}
			}
		}))
		dial := func(fields http.Header) (*websocket.Conn, *http.Response, error) {
			return websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: fields})
		}
		if _, response, err := dial(nil); err == nil || response.StatusCode != 401 || response.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("without a token: got %v; want 401 and a challenge", err)
		}
		begun := time.Now()
		socket, _, err := dial(http.Header{"Authorization": {tokenOf("")}})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.CloseNow()
		_, _, err = socket.Read(t.Context())
		if took := time.Since(begun); websocket.CloseStatus(err) != 3000 || took != end {
			t.Errorf("got %v after %v; want status 3000 after %v", err, took, end)
		}
	})
}
