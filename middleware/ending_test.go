package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

const (
	leeway = 30 * time.Second       // of all validators here
	end    = 5*time.Minute + leeway // of all tokens here, after their request
)

// tokenOf returns a token that has five minutes left.
func tokenOf(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope, "exp": time.Now().Add(end - leeway).Unix()})
}

// heard counts what OnRefuse hears.
type heard struct {
	mu      sync.Mutex
	reasons []accesstoken.Reason
}

func (h *heard) hear(_ context.Context, refused *accesstoken.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reasons = append(h.reasons, refused.Reason)
}

func (h *heard) want(t testing.TB, want ...accesstoken.Reason) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if fmt.Sprint(h.reasons) != fmt.Sprint(want) {
		t.Errorf("OnRefuse heard %v; want %v", h.reasons, want)
	}
}

// inBubbles runs a test in a bubble for each protocol, with a Middleware whose
// refusals are heard.
func inBubbles(t *testing.T, test func(*testing.T, string, *middleware.Middleware, *heard)) {
	t.Helper()
	for _, protocol := range testkit.Protocols {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(heard)
				v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
					testkit.Offline(as)(config)
					config.Leeway, config.OnRefuse = leeway, h.hear
				})
				test(t, protocol, middleware.New(v, nil), h)
			})
		})
	}
}

// open begins a request and returns the response as soon as it begins.
func open(t testing.TB, client *http.Client, url, token string, body io.Reader) *http.Response {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// events sends an event a minute until its context ends.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintf(w, "data: %d\n\n", n)
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// A stream of events ends well at exp + leeway, and its connection serves on.
func TestServerSentEventsEndWithTheirToken(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, heard *heard) {
		client, url := testkit.Pipe(t, protocol, auth.EndWithToken().Wrap(http.HandlerFunc(events)))
		begun, token := time.Now(), tokenOf("")
		stream := open(t, client, url, token, nil)
		text, err := io.ReadAll(stream.Body)
		if took := time.Since(begun); took != end {
			t.Errorf("the stream ended after %v; want %v", took, end)
		}
		if lines := strings.Count(string(text), "data: "); err != nil || lines != 6 {
			t.Errorf("got %d events, %v; want 6 and a good end", lines, err)
		}
		heard.want(t, accesstoken.TokenExpired)

		again := send(t, client, http.MethodGet, url, "", "Authorization", token)
		if again.status != 401 || !strings.Contains(again.challenge(), `error="invalid_token"`) {
			t.Errorf("connecting again: got %d, challenge %s; want 401 and invalid_token", again.status, again.challenge())
		}
		heard.want(t, accesstoken.TokenExpired, accesstoken.TokenExpired)
	})
}

// The cause is the refusal, and what Refuse writes of it is that of any expired
// token. OnRefuse has heard of it.
func TestALongPollCanRefuseWithTheCause(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, heard *heard) {
		client, url := testkit.Pipe(t, protocol, auth.EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			var refused *accesstoken.Error
			if cause := context.Cause(r.Context()); !errors.As(cause, &refused) || refused.Reason != accesstoken.TokenExpired {
				t.Errorf("got the cause %v; want an *accesstoken.Error of TokenExpired", cause)
			}
			if err := r.Context().Err(); err != context.Canceled {
				t.Errorf("got the error %v; want %v", err, context.Canceled)
			}
			auth.Refuse(w, r, refused)
		})))
		got := send(t, client, http.MethodGet, url, "", "Authorization", tokenOf(""))
		want := `Bearer realm="https://api.example.com", error="invalid_token", error_description="the access token expired"`
		if got.status != 401 || got.challenge() != want {
			t.Errorf("got %d, challenge %s; want 401, %s", got.status, got.challenge(), want)
		}
		heard.want(t, accesstoken.TokenExpired)
	})
}

// A handler that does not listen is cut off a second later, whatever it waits for.
func TestAHandlerThatDoesNotListenIsCutOff(t *testing.T) {
	for name, wait := range map[string]func(http.ResponseWriter, *http.Request) error{
		"writing": func(w http.ResponseWriter, _ *http.Request) (err error) {
			for err == nil { // until nobody takes it any more, and on
				_, err = w.Write(make([]byte, 1<<16))
			}
			return err
		},
		"reading": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			return err
		},
		"writing now and then": func(w http.ResponseWriter, _ *http.Request) (err error) {
			for err == nil {
				time.Sleep(300 * time.Millisecond)
				_, err = io.WriteString(w, "tick\n")
				if err == nil {
					err = http.NewResponseController(w).Flush()
				}
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, heard *heard) {
				returned := make(chan time.Duration, 1)
				begun := time.Now()
				client, url := testkit.Pipe(t, protocol, auth.EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).EnableFullDuplex()
					w.(http.Flusher).Flush()
					if err := wait(w, r); err == nil {
						t.Error("got no error; want one when it is cut off")
					}
					returned <- time.Since(begun)
				})))
				body, more := io.Pipe() // nothing comes
				defer more.Close()
				response := open(t, client, url, tokenOf(""), body)
				if name == "writing now and then" {
					go func() { _, _ = io.Copy(io.Discard, response.Body) }()
				}
				want := end + time.Second
				if name == "writing" && protocol == "HTTP/1.1 with TLS" {
					want += 5 * time.Second // in which crypto/tls tries to say that it closes
				}
				if took := <-returned; took < want || took > want+time.Second {
					t.Errorf("the handler returned after %v; want %v", took, want)
				}
				synctest.Wait()
				if _, err := io.Copy(io.Discard, response.Body); err == nil {
					t.Error("the client got a good end; want an error")
				}
				heard.want(t, accesstoken.TokenExpired)
			})
		})
	}
}

// connections counts those that a client's requests have used.
type connections struct {
	http.RoundTripper
	n int
}

func (c *connections) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if !got.Reused {
			c.n++
		}
	}}
	return c.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

func (c *connections) want(t testing.TB, want int) {
	t.Helper()
	if c.n != want {
		t.Errorf("got %d connections; want %d", c.n, want)
	}
}

// A second request on the same connection has no deadline of the first, and
// its context is alive, long after the first one's token.
func TestAConnectionInheritsNothing(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, heard *heard) {
		mux := http.NewServeMux()
		mux.Handle("/short", auth.EndWithToken().Wrap(new(counter)))
		mux.Handle("/ends", auth.EndWithToken().Wrap(http.HandlerFunc(events)))
		mux.Handle("/slow", auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body) // which takes an hour
			if err != nil || r.Context().Err() != nil {
				t.Errorf("got %v, context %v; want neither", err, r.Context().Err())
			}
			_, _ = w.Write(body)
		})))
		client, url := testkit.Pipe(t, protocol, mux)
		connections := &connections{RoundTripper: client.Transport}
		client.Transport = connections
		for _, first := range []string{"/short", "/ends"} {
			send(t, client, http.MethodGet, url+first, "", "Authorization", tokenOf(""))
			body, late := io.Pipe()
			time.AfterFunc(time.Hour, func() {
				_, _ = io.WriteString(late, "late")
				_ = late.Close()
			})
			response := open(t, client, url+"/slow", tokenOf(""), body)
			if text, err := io.ReadAll(response.Body); err != nil || string(text) != "late" {
				t.Errorf("after %s: got %q, %v; want the whole response", first, text, err)
			}
		}
		connections.want(t, 1)
		heard.want(t, accesstoken.TokenExpired)
	})
}

// Whoever has returned is left alone, though the timer may be about to fire.
func TestAHandlerMayReturnAsItsTokenEnds(t *testing.T) {
	for name, wait := range map[string]time.Duration{"the token ends": end, "it would be cut off": end + time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, _ *heard) {
				client, url := testkit.Pipe(t, protocol, auth.EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(wait)
					_, _ = io.WriteString(w, "done")
				})))
				for range 20 {
					r, _ := http.NewRequest(http.MethodGet, url, nil)
					r.Header.Set("Authorization", tokenOf(""))
					response, err := client.Do(r)
					if err != nil {
						if name == "the token ends" {
							t.Errorf("got %v; want a response", err)
						}
						continue
					}
					text, err := io.ReadAll(response.Body)
					again := response.StatusCode == 401 // the client has asked once more by itself, as it may
					if err == nil && string(text) != "done" && !again {
						t.Errorf("got %q and a good end; want the whole response or an error", text)
					}
					response.Body.Close()
				}
			})
		})
	}
}

// A response that was whole when its handler was cut off: nobody's next request
// comes to a connection whose context has ended.
func TestAConnectionThatWasCutOffIsNotUsedAgain(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, _ *heard) {
		mux := http.NewServeMux()
		mux.Handle("/lingers", auth.EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "done")
			w.(http.Flusher).Flush()
			time.Sleep(time.Hour)
		})))
		mux.Handle("/next", auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := r.Context().Err(); err != nil {
				t.Errorf("the next request's context: got %v; want it alive", err)
			}
		})))
		client, url := testkit.Pipe(t, protocol, mux)
		text := make([]byte, 4)
		if _, err := io.ReadFull(open(t, client, url+"/lingers", tokenOf(""), nil).Body, text); string(text) != "done" {
			t.Errorf("got %q, %v; want the whole response", text, err)
		}
		time.Sleep(2 * time.Hour)
		if got := send(t, client, http.MethodGet, url+"/next", "", "Authorization", tokenOf("")); got.status != 200 {
			t.Errorf("the next request: got %d; want 200", got.status)
		}
	})
}

func TestRoutesWithoutItGoOn(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, heard *heard) {
		var deadline bool
		client, url := testkit.Pipe(t, protocol, auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			_, deadline = r.Context().Deadline()
			if r.Context().Err() != nil || deadline {
				t.Errorf("got %v, a deadline %v; want neither", r.Context().Err(), deadline)
			}
			_, _ = io.WriteString(w, "done")
		})))
		if got := send(t, client, http.MethodGet, url, "", "Authorization", tokenOf("")); got.body != "done" {
			t.Errorf("got %q; want the whole response", got.body)
		}
		heard.want(t)
	})
}

func TestEndWithTokenChains(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *middleware.Middleware, heard *heard) {
		lasting := auth.EndWithToken()
		for name, handler := range map[string]http.Handler{
			"before Require": lasting.Require(scopes.All("a")).Wrap(http.HandlerFunc(events)),
			"after Require":  auth.Require(scopes.All("a")).EndWithToken().Wrap(http.HandlerFunc(events)),
			"outside":        lasting.Wrap(auth.Require(scopes.All("a")).Wrap(http.HandlerFunc(events))),
			"inside":         auth.Wrap(lasting.Require(scopes.All("a")).Wrap(http.HandlerFunc(events))),
			"both":           lasting.Wrap(lasting.Require(scopes.All("a")).Wrap(http.HandlerFunc(events))),
		} {
			heard.reasons = nil
			client, url := testkit.Pipe(t, protocol, handler)
			begun := time.Now()
			got := send(t, client, http.MethodGet, url, "", "Authorization", tokenOf("a"))
			if took := time.Since(begun); got.status != 200 || took != end {
				t.Errorf("%s: got %d after %v; want 200 after %v", name, got.status, took, end)
			}
			heard.want(t, accesstoken.TokenExpired)
			if got := send(t, client, http.MethodGet, url, "", "Authorization", tokenOf("b")); got.status != 403 {
				t.Errorf("%s, without the scope: got %d; want 403", name, got.status)
			}
		}
	})
}

// Nobody's token ends never: neither that of an anonymous request nor that of a
// preflight.
func TestAResponseToNobodyDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testkit.NewValidator(t, as, testkit.Offline(as))
		auth := middleware.New(v, &middleware.Options{Optional: true, CORS: true}).EndWithToken()
		client, url := testkit.Pipe(t, "HTTP/1.1", auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			fmt.Fprint(w, "done, ", r.Context().Err())
		})))
		for _, fields := range [][]string{nil, {"Origin", "https://app.example.com", "Access-Control-Request-Method", "GET"}} {
			if got := send(t, client, http.MethodOptions, url, "", fields...); got.body != "done, <nil>" {
				t.Errorf("%q: got %q; want the whole response", fields, got.body)
			}
		}
	})
}

// Requests that end together are so many timers, and no goroutines.
func TestItCostsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 1000
		v := testkit.NewValidator(t, as, testkit.Offline(as))
		before, token := runtime.NumGoroutine(), tokenOf("")
		handler := middleware.New(v, nil).EndWithToken().Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		var wait sync.WaitGroup
		for range requests {
			wait.Go(func() {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Authorization", token)
				handler.ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > requests+10 { // of other tests' servers
			t.Errorf("%d requests: got %d goroutines; want as many", requests, more)
		}
		begun := time.Now()
		wait.Wait()
		if took := time.Since(begun); took != end {
			t.Errorf("they ended after %v; want %v", took, end)
		}
	})
}

// The same over sockets, where time is real: a stream of events ends well, and a
// handler that does not listen is cut off.
func TestResponsesEndOverSockets(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil).EndWithToken()
	mux := http.NewServeMux()
	mux.Handle("/events", auth.Wrap(http.HandlerFunc(events)))
	mux.Handle("/deaf", auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 1<<16))
		}
	})))
	server := serve(t, mux)
	other := "Bearer " + as.Token(accesstokentest.Claims{"aud": "https://other.example.com"})
	send(t, server.Client(), http.MethodGet, server.URL+"/events", "", "Authorization", other) // and the keys are there

	var wait sync.WaitGroup
	for _, client := range []struct {
		proto string
		*http.Client
	}{{"HTTP/1.1", onlyHTTP1(t, server)}, {"HTTP/2.0", server.Client()}} {
		token := almostOver(as)
		for path, good := range map[string]bool{"/events": true, "/deaf": false} {
			response := open(t, client.Client, server.URL+path, "Bearer "+token, nil)
			if response.StatusCode != 200 || response.Proto != client.proto {
				t.Fatalf("%s %s: got %d over %s; want 200", client.proto, path, response.StatusCode, response.Proto)
			}
			wait.Go(func() {
				if _, err := io.Copy(io.Discard, response.Body); (err == nil) != good {
					t.Errorf("%s %s: got the end %v; want a good one: %v", client.proto, path, err, good)
				}
				if got := send(t, client.Client, http.MethodGet, server.URL+path, "", "Authorization", "Bearer "+token); got.status != 401 {
					t.Errorf("%s %s again: got %d; want 401", client.proto, path, got.status)
				}
			})
		}
	}
	wait.Wait()
}

// An introspected token without exp has no end.
func TestATokenWithoutExpDoesNotEnd(t *testing.T) {
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) { config.Issuers[0].Introspection = client })
	got := get(t, middleware.New(v, nil).EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := accesstoken.FromContext(r.Context())
		fmt.Fprint(w, claims.End().IsZero(), r.Context().Err())
	})), "Authorization", "Bearer "+as.Opaque(accesstokentest.Claims{"exp": nil}))
	if got.status != 200 || got.body != "true <nil>" {
		t.Errorf("got %d %q; want 200 and no end", got.status, got.body)
	}
}
