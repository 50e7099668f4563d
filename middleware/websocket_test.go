package middleware_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// tokenIsOver is the status of a WebSocket whose token has ended: Unauthorized, in
// IANA's registry of RFC 6455 §11.7.
const tokenIsOver websocket.StatusCode = 3000

// echo is a WebSocket that sends back what it gets until its token ends.
func echo(w http.ResponseWriter, r *http.Request) {
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
	var upgraded counter
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil).Require(scopes.All("chat")).EndWithToken()
	server := serve(t, auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgraded.calls.Add(1)
		echo(w, r)
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
			before := upgraded.calls.Load()
			socket, response, err := websocket.Dial(t.Context(), server.URL+test.path, &websocket.DialOptions{
				HTTPClient: onlyHTTP1(t, server), HTTPHeader: test.fields,
			})
			if response == nil {
				t.Fatalf("got %v; want a response", err)
			}
			if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != test.status || got != test.challenge {
				t.Errorf("got %d with challenge %s; want %d with %s", response.StatusCode, got, test.status, test.challenge)
			}
			if ran, want := upgraded.calls.Load() > before, test.status == 101 || test.challenge == ""; ran != want {
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
					heard := new(heard)
					v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
						testkit.Offline(as)(config)
						config.OnRefuse = heard.hear
					})
					auth := middleware.New(v, nil).EndWithToken()
					client, url := testkit.Pipe(t, protocol, around(auth.Wrap(http.HandlerFunc(echo))))
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
					heard.want(t, accesstoken.TokenExpired)

					_, response, err := dial()
					if err == nil || response == nil || response.StatusCode != 401 || !strings.Contains(response.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
						t.Errorf("connecting again: got %v; want 401 and invalid_token", err)
					}
				})
			})
		}
	}
}

// A handler that has hijacked its connection and does not listen is no exception,
// as long as it runs. What it has left behind is nobody's here.
func TestAHijackedConnectionIsTheHandlers(t *testing.T) {
	for name, test := range map[string]struct {
		stays bool
		ends  time.Duration // the connection, which its owner closes after an hour at the latest
	}{
		"the handler stays":   {true, end + time.Second},
		"the handler returns": {false, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := testkit.NewValidator(t, as, testkit.Offline(as))
				client, url := testkit.Pipe(t, "HTTP/1.1", middleware.New(v, nil).EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: silence\r\n\r\n")
					wait := func() {
						defer conn.Close()
						defer time.AfterFunc(time.Hour, func() { _ = conn.Close() }).Stop()
						_, _ = conn.Read(make([]byte, 1)) // nothing comes
					}
					if test.stays {
						wait()
						return
					}
					go wait()
				})))
				r, _ := http.NewRequest(http.MethodGet, url, nil)
				r.Header = http.Header{"Authorization": {tokenOf("")}, "Connection": {"Upgrade"}, "Upgrade": {"silence"}}
				begun := time.Now()
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				_, _ = io.ReadAll(response.Body)
				if took := time.Since(begun); response.StatusCode != 101 || took != test.ends {
					t.Errorf("got %d, and the end after %v; want 101, %v", response.StatusCode, took, test.ends)
				}
			})
		})
	}
}
