package benchmarks_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// carriers are the adapters, which call a validator with an Authorization line. The
// handler is called directly, with a prepared request and a writer that discards
// everything, so there is no network and no recorder. A request has passed when the
// handler has the claims.
var carriers = []struct {
	name  string
	enter entrance
}{
	{"nethttp", throughNetHTTP},
	{"echo", throughEcho},
	{"grpc", throughGRPC},
}

// BenchmarkMiddleware measures one request with an RS256 token through a whole adapter
// that requires a scope.
func BenchmarkMiddleware(b *testing.B) {
	i := issuerOf(b, "RS256")
	for _, carrier := range carriers {
		b.Run("carrier="+carrier.name+"/cache=miss", func(b *testing.B) {
			missing(b, i, lines(i.tokens(b, lap)), carrier.enter)
		})
		b.Run("carrier="+carrier.name+"/cache=hit", func(b *testing.B) {
			hitting(b, i, lines(i.tokens(b, 1))[0], carrier.enter)
		})
	}
}

// lines returns the Authorization lines of the tokens.
func lines(tokens []string) []string {
	lines := make([]string, len(tokens))
	for n, token := range tokens {
		lines[n] = "Bearer " + token
	}
	return lines
}

var errRefused = errors.New("the request was refused")

// answer is nil when the handler was called and found claims.
func answer(served bool) error {
	if !served {
		return errRefused
	}
	return nil
}

// prepared returns a request whose Authorization line is the element of line.
func prepared() (r *http.Request, line []string) {
	r = httptest.NewRequest(http.MethodPost, "/orders", nil)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "benchmark")
	line = []string{""}
	r.Header["Authorization"] = line
	return r, line
}

// nowhere is a ResponseWriter that discards everything.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}

func throughNetHTTP(v *accesstoken.Validator) func(line string) error {
	served := false
	auth := middleware.New(v, nil).Require(scopes.All(writing))
	handler := auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, served = accesstoken.FromContext(r.Context())
	}))
	r, line := prepared()
	w := nowhere{http.Header{}}
	return func(credential string) error {
		served, line[0] = false, credential
		handler.ServeHTTP(w, r)
		return answer(served)
	}
}

func throughEcho(v *accesstoken.Validator) func(line string) error {
	served := false
	auth := echoauth.New(v, nil).Require(scopes.All(writing))
	handler := auth.Wrap(func(c echo.Context) error {
		_, served = accesstoken.FromContext(c.Request().Context())
		return nil
	})
	r, line := prepared()
	w := nowhere{http.Header{}}
	c := echo.New().NewContext(r, w)
	return func(credential string) error {
		served, line[0] = false, credential
		c.Reset(r, w)
		if err := handler(c); err != nil {
			return err
		}
		return answer(served)
	}
}

func throughGRPC(v *accesstoken.Validator) func(line string) error {
	const method = "/orders.Orders/Create"
	auth, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{method: {Scopes: scopes.All(writing)}},
	})
	if err != nil {
		panic(err)
	}
	served := false
	handler := func(ctx context.Context, _ any) (any, error) {
		_, served = accesstoken.FromContext(ctx)
		return nil, nil
	}
	line := []string{""}
	ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{
		":authority":    {"api.example.com"},
		"content-type":  {"application/grpc"},
		"user-agent":    {"benchmark"},
		"grpc-timeout":  {"1S"},
		"authorization": line,
	})
	info := &grpc.UnaryServerInfo{FullMethod: method}
	return func(credential string) error {
		served, line[0] = false, credential
		if _, err := auth.UnaryInterceptor(ctx, nil, info, handler); err != nil {
			return err
		}
		return answer(served)
	}
}
