package echoauth_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

const canary = testkit.Canary

// ask runs an Echo with its Recover and Logger on a real server, sends a request
// with the lines, and says all that comes back, and what Echo logs.
func ask(t *testing.T, debug bool, auth echo.MiddlewareFunc, handle echo.HandlerFunc, lines []string) string {
	t.Helper()
	e, logged := echo.New(), new(bytes.Buffer)
	e.Logger.SetOutput(logged)
	e.Debug = debug
	e.Use(echomiddleware.RequestLoggerWithConfig(echomiddleware.RequestLoggerConfig{
		LogError: true, LogStatus: true, HandleError: true,
		LogValuesFunc: func(_ echo.Context, v echomiddleware.RequestLoggerValues) error {
			fmt.Fprintf(logged, "%d %v %+v\n", v.Status, v.Error, v.Error)
			return nil
		},
	}), echomiddleware.Recover())
	e.POST("/", handle, auth)
	server := serve(t, e)
	fields := []string{"Cookie", "access_token=" + canary, "Origin", "https://" + canary + ".example"}
	for _, line := range lines {
		fields = append(fields, "Authorization", line)
	}
	a := send(t, server.Client(), http.MethodPost, server.URL+"/?access_token="+canary, canary, fields...)
	if a.status < 400 {
		t.Errorf("got %d; want a refusal", a.status)
	}
	return fmt.Sprint(a.status, a.header, a.body) + logged.String()
}

// Echo.Debug sends the cause as well; it has nothing of the request in it either.
func TestARefusalTellsNothingOfTheRequest(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), &echoauth.Options{CORS: true})
	handle := func(echo.Context) error { t.Error("the handler ran; want it not to"); return nil }
	for name, lines := range testkit.Marked(as) {
		for _, debug := range []bool{false, true} {
			text := ask(t, debug, auth.Require(scopes.All("orders:write")).Wrap, handle, lines)
			testkit.WantNoCanary(t, fmt.Sprint(name, ", debug ", debug), text, lines)
		}
	}
}

// What a handler denies a request for is for the log, and an error of its own is
// its own affair.
func TestWhatAHandlerDeniesIsNotTold(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	for _, said := range []error{
		accesstoken.Deny("CLOSED", errors.New(canary)), fmt.Errorf("%s: %w", canary, accesstoken.Deny(accesstoken.Reason(canary), nil)),
		&accesstoken.Error{Reason: accesstoken.Reason(canary)}, fmt.Errorf("%s: %w", canary, &accesstoken.Error{Reason: accesstoken.TokenExpired}),
	} {
		lines := []string{bearer("a")}
		answer, _, _ := strings.Cut(ask(t, false, auth.Wrap, func(echo.Context) error { return said }, lines), "\n")
		testkit.WantNoCanary(t, fmt.Sprint(said), answer, lines)
	}
}

// Recover logs the panic of a handler, whatever its value is.
func TestAPanicWithClaimsTellsNothing(t *testing.T) {
	lines := []string{"Bearer " + as.Token(accesstokentest.Claims{"sub": canary, "jti": canary, canary: canary})}
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	text := ask(t, true, auth.Wrap, func(c echo.Context) error {
		claims, _ := accesstoken.FromContext(c.Request().Context())
		panic([]any{claims, &claims, accesstoken.CredentialsFrom(c.Request().Header), c.Request().Context()})
	}, lines)
	if !strings.Contains(text, "accesstoken.Claims(issuer") {
		t.Errorf("got %q; want the panic in it", text)
	}
	testkit.WantNoCanary(t, "the answer and the log", text, lines)
}
