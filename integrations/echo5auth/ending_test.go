package echo5auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v5"
	echomiddleware "github.com/labstack/echo/v5/middleware"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/echo5auth"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// end is when a token of these tests ends: five minutes, and the leeway.
const end = 5*time.Minute + 30*time.Second

// inBubbles runs the test over each protocol, with the time of a bubble.
func inBubbles(t *testing.T, test func(t *testing.T, protocol string, auth *echo5auth.Middleware)) {
	t.Helper()
	for _, protocol := range testkit.Protocols {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, protocol, echo5auth.New(testkit.NewValidator(t, as, testkit.Offline(as)), nil).EndWithToken())
			})
		})
	}
}

func TestALongPollReturnsTheCause(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *echo5auth.Middleware) {
		begun := time.Now()
		client, url := testkit.Pipe(t, protocol, route(func(c *echo.Context) error {
			<-c.Request().Context().Done()
			return context.Cause(c.Request().Context())
		}, auth.Wrap))
		status, body, err := fetch(t, client, url)
		if want := "{\"message\":\"the access token expired\"}\n"; status != 401 || body != want || err != nil {
			t.Errorf("got %d %q, %v; want 401 %q", status, body, err, want)
		}
		if took := time.Since(begun); took != end {
			t.Errorf("got it after %v; want %v", took, end)
		}
	})
}

// The application's error handler is outside, and its context goes on.
func TestTheErrorHandlerHasTheContextThatLasts(t *testing.T) {
	inBubbles(t, func(t *testing.T, protocol string, auth *echo5auth.Middleware) {
		mine := errors.New("mine")
		e := route(func(*echo.Context) error { return mine }, auth.Wrap)
		e.HTTPErrorHandler = func(c *echo.Context, err error) {
			if err != mine || c.Request().Context().Err() != nil {
				t.Errorf("got %v, context %v; want the handler's error, and a context that goes on", err, c.Request().Context().Err())
			}
			_ = c.NoContent(http.StatusTeapot)
		}
		client, url := testkit.Pipe(t, protocol, e)
		if status, _, _ := fetch(t, client, url); status != http.StatusTeapot {
			t.Errorf("got %d; want %d", status, http.StatusTeapot)
		}
	})
}

// hideWriter puts a ResponseWriter without deadlines in front of the server's, as
// a middleware further in can.
func hideWriter(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		c.SetResponse(struct{ http.ResponseWriter }{c.Response()})
		return next(c)
	}
}

// reachIn does the same behind Echo's own Response.
func reachIn(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		response, err := echo.UnwrapResponse(c.Response())
		if err != nil {
			return err
		}
		response.ResponseWriter = struct{ http.ResponseWriter }{response.ResponseWriter}
		return next(c)
	}
}

// Echo's Recover is outside and lets the abort through.
func TestAHandlerThatDoesNotListenIsCutOff(t *testing.T) {
	for name, inner := range map[string]echo.MiddlewareFunc{
		"alone":                         func(next echo.HandlerFunc) echo.HandlerFunc { return next },
		"with another's writer":         hideWriter,
		"with another's writer, inside": reachIn,
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, protocol string, auth *echo5auth.Middleware) {
				returned := make(chan time.Duration, 1)
				begun := time.Now()
				e := route(func(c *echo.Context) error {
					for time.Since(begun) < end+time.Minute {
						time.Sleep(300 * time.Millisecond)
						if _, err := c.Response().Write(make([]byte, 1<<14)); err != nil {
							returned <- time.Since(begun)
							return err
						}
					}
					returned <- time.Since(begun)
					return nil
				}, echomiddleware.Recover(), auth.EndWithToken().Wrap, inner)
				client, url := testkit.Pipe(t, protocol, e)
				r, _ := http.NewRequest(http.MethodGet, url, nil)
				r.Header.Set("Authorization", bearer(""))
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
			})
		})
	}
}

func TestAResponseWithoutATokenDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := echo5auth.New(testkit.NewValidator(t, as, testkit.Offline(as)), &echo5auth.Options{Optional: true}).EndWithToken()
		client, url := testkit.Pipe(t, "HTTP/1.1", route(func(c *echo.Context) error {
			if _, ok := accesstoken.FromContext(c.Request().Context()); ok {
				t.Error("got claims; want none")
			}
			time.Sleep(24 * time.Hour)
			return c.String(http.StatusOK, fmt.Sprint("done, ", c.Request().Context().Err()))
		}, auth.Wrap))
		response, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); string(body) != "done, <nil>" || err != nil {
			t.Errorf("got %q, %v; want the whole response", body, err)
		}
	})
}
