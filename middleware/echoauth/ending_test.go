package echoauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// end is when all tokens here end, after they have been made.
const end = 5*time.Minute + 30*time.Second

func tokenOf(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope, "exp": time.Now().Add(5 * time.Minute).Unix()})
}

// inBubbles runs a test in a bubble for each protocol, with a Middleware and what
// its OnRefuse has heard since that was last asked.
func inBubbles(t *testing.T, test func(t *testing.T, protocol string, auth *echoauth.Middleware, heard func() string)) {
	t.Helper()
	for _, protocol := range testkit.Protocols {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var heard []accesstoken.Reason
				v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
					testkit.Offline(as)(config)
					config.OnRefuse = func(_ context.Context, refused *accesstoken.Error) {
						mu.Lock()
						defer mu.Unlock()
						heard = append(heard, refused.Reason)
					}
				})
				test(t, protocol, echoauth.New(v, nil), func() string {
					mu.Lock()
					defer mu.Unlock()
					defer func() { heard = nil }()
					return fmt.Sprint(heard)
				})
			})
		})
	}
}

// events sends an event a minute until its context ends.
func events(c echo.Context) error {
	c.Response().Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintf(c.Response(), "data: %d\n\n", n)
		c.Response().Flush()
		select {
		case <-c.Request().Context().Done():
			return context.Cause(c.Request().Context())
		case <-tick.C:
		}
	}
}

func TestServerSentEventsEndWithTheirToken(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *echoauth.Middleware, heard func() string) {
		lasting := auth.EndWithToken()
		for name, e := range map[string]*echo.Echo{
			"alone":           route(events, lasting.Wrap),
			"before Require":  route(events, lasting.Require(scopes.All("a")).Wrap),
			"inside another":  route(events, auth.Wrap, lasting.Wrap),
			"twice":           route(events, lasting.Wrap, lasting.Wrap),
			"outside of gzip": route(events, lasting.Wrap, echomiddleware.Gzip()),
			"inside of gzip":  route(events, echomiddleware.Gzip(), lasting.Wrap),
		} {
			client, url := testkit.Pipe(t, protocol, e)
			begun, token := time.Now(), tokenOf("a")
			got := send(t, client, http.MethodGet, url, "", "Authorization", token)
			if took := time.Since(begun); got.status != 200 || took != end || strings.Count(got.body, "data: ") != 6 {
				t.Errorf("%s: got %d %q after %v; want 6 events in %v", name, got.status, got.body, took, end)
			}
			if heard := heard(); heard != "[TOKEN_EXPIRED]" {
				t.Errorf("%s: OnRefuse heard %s; want [TOKEN_EXPIRED]", name, heard)
			}
			if got := send(t, client, http.MethodGet, url, "", "Authorization", token); got.status != 401 || !strings.Contains(got.challenge(), `error="invalid_token"`) {
				t.Errorf("%s, connecting again: got %d, challenge %s; want 401 and invalid_token", name, got.status, got.challenge())
			}
			heard() // of that
		}
	})
}

// A long poll may return the cause, and the client hears of it. The application's
// error handler has a context that goes on.
func TestALongPollReturnsTheCause(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *echoauth.Middleware, heard func() string) {
		e := route(func(c echo.Context) error {
			<-c.Request().Context().Done()
			return context.Cause(c.Request().Context())
		}, auth.EndWithToken().Wrap)
		e.HTTPErrorHandler = func(err error, c echo.Context) {
			if ctx := c.Request().Context(); ctx.Err() != nil {
				t.Errorf("the error handler's context: got %v; want it alive", ctx.Err())
			}
			if claims, ok := accesstoken.FromContext(c.Request().Context()); ok {
				t.Errorf("the error handler's claims: got %q; want none, the Wrap has returned", claims.Subject)
			}
			e.DefaultHTTPErrorHandler(err, c)
		}
		client, url := testkit.Pipe(t, protocol, e)
		got := send(t, client, http.MethodGet, url, "", "Authorization", tokenOf(""))
		want := `Bearer realm="https://api.example.com", error="invalid_token", error_description="the access token expired"`
		if got.status != 401 || got.challenge() != want || got.body != "{\"message\":\"the access token expired\"}\n" {
			t.Errorf("got %d %q, challenge %s; want 401, %s", got.status, got.body, got.challenge(), want)
		}
		if heard := heard(); heard != "[TOKEN_EXPIRED]" {
			t.Errorf("OnRefuse heard %s; want [TOKEN_EXPIRED]", heard)
		}
	})
}

// What a handler returns before the end is what the application gets.
func TestAnErrorBeforeTheEndStaysTheVerySame(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *echoauth.Middleware, _ func() string) {
		mine := errors.New("mine")
		e := route(func(echo.Context) error { return mine }, auth.EndWithToken().Wrap)
		e.HTTPErrorHandler = func(err error, c echo.Context) {
			if err != mine || c.Request().Context().Err() != nil {
				t.Errorf("got %v, context %v; want the handler's error, and a context that goes on", err, c.Request().Context().Err())
			}
			_ = c.NoContent(http.StatusTeapot)
		}
		client, url := testkit.Pipe(t, protocol, e)
		if got := send(t, client, http.MethodGet, url, "", "Authorization", tokenOf("")); got.status != http.StatusTeapot {
			t.Errorf("got %d; want %d", got.status, http.StatusTeapot)
		}
	})
}

// hideWriter puts a ResponseWriter without deadlines in front of the server's.
func hideWriter(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Writer = struct{ http.ResponseWriter }{c.Response().Writer}
		return next(c)
	}
}

// Echo's Recover, like all that recovers, is outside and lets the abort through.
// What others do to the ResponseWriter further in has no say.
func TestAHandlerThatDoesNotListenIsCutOff(t *testing.T) {
	for name, inner := range map[string]echo.MiddlewareFunc{
		"alone":                 func(next echo.HandlerFunc) echo.HandlerFunc { return next },
		"with another's writer": hideWriter,
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, protocol string, auth *echoauth.Middleware, heard func() string) {
				returned := make(chan time.Duration, 1)
				begun := time.Now()
				e := route(func(c echo.Context) error {
					for {
						time.Sleep(300 * time.Millisecond)
						if _, err := c.Response().Write(make([]byte, 1<<14)); err != nil {
							returned <- time.Since(begun)
							return err
						}
					}
				}, echomiddleware.Recover(), auth.EndWithToken().Wrap, inner)
				client, url := testkit.Pipe(t, protocol, e)
				r, _ := http.NewRequest(http.MethodGet, url, nil)
				r.Header.Set("Authorization", tokenOf(""))
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if _, err := io.Copy(io.Discard, response.Body); err == nil {
					t.Error("the client got a good end; want an error")
				}
				if took := <-returned; took < end+time.Second || took > end+2*time.Second {
					t.Errorf("the handler returned after %v; want %v and a second", took, end)
				}
				if heard := heard(); heard != "[TOKEN_EXPIRED]" {
					t.Errorf("OnRefuse heard %s; want [TOKEN_EXPIRED]", heard)
				}
			})
		})
	}
}

func TestAResponseToNobodyDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := echoauth.New(testkit.NewValidator(t, as, testkit.Offline(as)), &echoauth.Options{Optional: true}).EndWithToken()
		client, url := testkit.Pipe(t, "HTTP/1.1", route(func(c echo.Context) error {
			time.Sleep(time.Hour)
			return c.String(http.StatusOK, fmt.Sprint("done, ", c.Request().Context().Err()))
		}, auth.Wrap))
		if got := send(t, client, http.MethodGet, url, ""); got.body != "done, <nil>" {
			t.Errorf("got %q; want the whole response", got.body)
		}
	})
}
