package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	auth0v2 "github.com/auth0/go-jwt-middleware/v2"
	validatorv2 "github.com/auth0/go-jwt-middleware/v2/validator"
	auth0v3 "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/golang-jwt/jwt/v5"
	grpcmiddleware "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	echojwt "github.com/labstack/echo-jwt/v4"
	"github.com/labstack/echo/v4"
	mcp "github.com/modelcontextprotocol/go-sdk/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// A carrier is a framework, with the peers that protect its handlers.
type carrier struct {
	name  string
	peers []peer
}

// carriers are called in the same process, with a prepared request and a writer that
// discards everything. Every row requires one scope and passes the subject to the
// handler. If a peer does not support scopes, the handler checks the scope. "none" is
// the handler alone.
var carriers = []carrier{
	{"nethttp", []peer{
		{name: "none", open: openBareHTTP},
		{
			name: "accesstoken-cached",
			open: func(tb testing.TB, i *issuer) row { return remembering(tb, i, throughNetHTTP) },
		},
		{
			name: "accesstoken-uncached",
			open: func(tb testing.TB, i *issuer) row { return forgetting(tb, i, throughNetHTTP) },
		},
		{
			name:    "auth0-v3",
			open:    openAuth0v3HTTP,
			accepts: []string{typeOfIDToken, criticalHeader, withoutExpiry},
		},
		{
			name:    "auth0-v2",
			open:    openAuth0v2HTTP,
			accepts: []string{typeOfIDToken, withoutExpiry},
		},
		{
			name:    "mcp-go-sdk",
			modules: []string{"github.com/modelcontextprotocol/go-sdk"},
			how:     "`auth.RequireBearerToken` with the scope and a resource metadata URL; its `TokenVerifier` is golang-jwt+keyfunc",
			open:    openMCP,
			accepts: []string{typeOfIDToken, criticalHeader},
		},
	}},
	{"echo", []peer{
		{name: "none", open: openBareEcho},
		{
			name: "accesstoken-cached",
			open: func(tb testing.TB, i *issuer) row { return remembering(tb, i, throughEcho) },
		},
		{
			name: "accesstoken-uncached",
			open: func(tb testing.TB, i *issuer) row { return forgetting(tb, i, throughEcho) },
		},
		{
			name:    "echo-jwt",
			modules: []string{"github.com/labstack/echo-jwt/v4"},
			how:     "`WithConfig` with a `ParseTokenFunc` of golang-jwt+keyfunc: with a `KeyFunc` alone it checks neither iss nor aud. A look at the scope in the handler",
			open:    openEchoJWT,
			accepts: []string{typeOfIDToken, criticalHeader},
		},
	}},
	{"grpc", []peer{
		{name: "none", open: openBareGRPC},
		{
			name: "accesstoken-cached",
			open: func(tb testing.TB, i *issuer) row { return remembering(tb, i, throughGRPC) },
		},
		{
			name: "accesstoken-uncached",
			open: func(tb testing.TB, i *issuer) row { return forgetting(tb, i, throughGRPC) },
		},
		{
			name:    "go-grpc-middleware",
			modules: []string{"github.com/grpc-ecosystem/go-grpc-middleware/v2"},
			how:     "`auth.UnaryServerInterceptor` with an `AuthFunc` of `AuthFromMD` and golang-jwt+keyfunc; a look at the scope in the handler",
			open:    openGRPCMiddleware,
			accepts: []string{typeOfIDToken, criticalHeader},
		},
	}},
}

// BenchmarkMiddleware measures one request with an RS256 token, until the handler has
// the claims.
func BenchmarkMiddleware(b *testing.B) {
	for _, c := range carriers {
		for _, p := range c.peers {
			b.Run("carrier="+c.name+"/by="+p.name, func(b *testing.B) {
				i := issuerOf(b, "RS256")
				measure(b, p.open(b, i), i.lines(b, lap))
			})
		}
	}
}

var errRefused = errors.New("the request was refused")

// A handler stores the subject of its caller. If it is "", the handler was not called.
type handler struct{ subject string }

// admit checks the scope in a handler whose middleware does not support scopes.
func (h *handler) admit(c caller) {
	for scope := range strings.SplitSeq(c.scope, " ") {
		if scope == writing {
			h.subject = c.subject
			return
		}
	}
}

// serve sends one request on its way.
func (h *handler) serve(line []string, send func() error) serve {
	return func(credential string) (caller, error) {
		h.subject, line[0] = "", credential
		if err := send(); err != nil {
			return caller{}, err
		}
		if h.subject == "" {
			return caller{}, errRefused
		}
		return caller{subject: h.subject}, nil
	}
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
func (w nowhere) WriteHeader(int)             { clear(w.header) }

// overHTTP wraps a handler that finds its caller in the context.
func overHTTP(wrap func(http.Handler) http.Handler, who func(context.Context, *handler)) serve {
	h := &handler{}
	wrapped := wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { who(r.Context(), h) }))
	r, line := prepared()
	w := nowhere{http.Header{}}
	return h.serve(line, func() error {
		wrapped.ServeHTTP(w, r)
		return nil
	})
}

func openBareHTTP(testing.TB, *issuer) row {
	same := func(next http.Handler) http.Handler { return next }
	return row{serve: overHTTP(same, func(_ context.Context, h *handler) { h.subject = "anybody" })}
}

func throughNetHTTP(_ testing.TB, v *accesstoken.Validator) serve {
	return overHTTP(middleware.New(v, nil).Require(scopes.All(writing)).Wrap, ours)
}

// ours has passed a Require.
func ours(ctx context.Context, h *handler) {
	if claims, ok := accesstoken.FromContext(ctx); ok {
		h.subject = claims.Subject
	}
}

func openAuth0v3HTTP(tb testing.TB, i *issuer) row {
	tb.Helper()
	auth, err := auth0v3.New(auth0v3.WithValidator(newAuth0v3(tb, i)))
	must(tb, err)
	return row{serve: overHTTP(auth.CheckJWT, func(ctx context.Context, h *handler) {
		if claims, err := auth0v3.GetClaims[*validator.ValidatedClaims](ctx); err == nil {
			h.admit(auth0v3Caller(claims))
		}
	})}
}

func openAuth0v2HTTP(tb testing.TB, i *issuer) row {
	tb.Helper()
	auth := auth0v2.New(newAuth0v2(tb, i).ValidateToken)
	return row{serve: overHTTP(auth.CheckJWT, func(ctx context.Context, h *handler) {
		if claims, ok := ctx.Value(auth0v2.ContextKey{}).(*validatorv2.ValidatedClaims); ok {
			h.admit(auth0v2Caller(claims))
		}
	})}
}

func openMCP(tb testing.TB, i *issuer) row {
	tb.Helper()
	g := newGolangJWT(tb, i)
	verify := func(_ context.Context, token string, _ *http.Request) (*mcp.TokenInfo, error) {
		_, claims, err := g.parse(token)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", mcp.ErrInvalidToken, err)
		}
		return &mcp.TokenInfo{
			Scopes:     strings.Fields(claims.Scope),
			Expiration: claims.ExpiresAt.Time,
			UserID:     claims.Subject,
		}, nil
	}
	auth := mcp.RequireBearerToken(verify, &mcp.RequireBearerTokenOptions{
		ResourceMetadataURL: audience + "/.well-known/oauth-protected-resource",
		Scopes:              []string{writing},
	})
	return row{serve: overHTTP(auth, func(ctx context.Context, h *handler) {
		if info := mcp.TokenInfoFromContext(ctx); info != nil {
			h.subject = info.UserID
		}
	})}
}

// overEcho wraps a handler that finds its caller in Echo's context.
func overEcho(wrap echo.MiddlewareFunc, who func(echo.Context, *handler)) serve {
	h := &handler{}
	wrapped := wrap(func(c echo.Context) error {
		who(c, h)
		return nil
	})
	r, line := prepared()
	w := nowhere{http.Header{}}
	c := echo.New().NewContext(r, w)
	return h.serve(line, func() error {
		c.Reset(r, w)
		return wrapped(c)
	})
}

func openBareEcho(testing.TB, *issuer) row {
	same := func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	return row{serve: overEcho(same, func(_ echo.Context, h *handler) { h.subject = "anybody" })}
}

func throughEcho(_ testing.TB, v *accesstoken.Validator) serve {
	return overEcho(echoauth.New(v, nil).Require(scopes.All(writing)).Wrap, func(c echo.Context, h *handler) {
		ours(c.Request().Context(), h)
	})
}

func openEchoJWT(tb testing.TB, i *issuer) row {
	tb.Helper()
	g := newGolangJWT(tb, i)
	auth := echojwt.WithConfig(echojwt.Config{ParseTokenFunc: func(_ echo.Context, token string) (any, error) {
		parsed, _, err := g.parse(token)
		return parsed, err
	}})
	return row{serve: overEcho(auth, func(c echo.Context, h *handler) {
		if token, ok := c.Get("user").(*jwt.Token); ok {
			h.admit(token.Claims.(*golangClaims).caller())
		}
	})}
}

const method = "/orders.Orders/Create"

// overGRPC calls an interceptor.
func overGRPC(intercept grpc.UnaryServerInterceptor, who func(context.Context, *handler)) serve {
	h := &handler{}
	handle := func(ctx context.Context, _ any) (any, error) {
		who(ctx, h)
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
	return h.serve(line, func() error {
		_, err := intercept(ctx, nil, info, handle)
		return err
	})
}

func openBareGRPC(testing.TB, *issuer) row {
	same := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		return handle(ctx, request)
	}
	return row{serve: overGRPC(same, func(_ context.Context, h *handler) { h.subject = "anybody" })}
}

func throughGRPC(tb testing.TB, v *accesstoken.Validator) serve {
	tb.Helper()
	auth, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{method: {Scopes: scopes.All(writing)}},
	})
	must(tb, err)
	return overGRPC(auth.UnaryInterceptor, ours)
}

type claimsKey struct{}

func openGRPCMiddleware(tb testing.TB, i *issuer) row {
	tb.Helper()
	g := newGolangJWT(tb, i)
	auth := grpcmiddleware.UnaryServerInterceptor(func(ctx context.Context) (context.Context, error) {
		token, err := grpcmiddleware.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}
		_, claims, err := g.parse(token)
		if err != nil {
			return nil, status.Errorf(codes.Unauthenticated, "invalid auth token: %v", err)
		}
		return context.WithValue(ctx, claimsKey{}, claims), nil
	})
	return row{serve: overGRPC(auth, func(ctx context.Context, h *handler) {
		if claims, ok := ctx.Value(claimsKey{}).(*golangClaims); ok {
			h.admit(claims.caller())
		}
	})}
}
