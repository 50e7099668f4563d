package project_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// The tests of this file are call sites that must continue to compile, because programs
// elsewhere are written like this. You can add to them, but should not change them.

// orderspb stands in for generated code.
var orderspb = struct{ Orders_Create_FullMethodName string }{"/orders.Orders/Create"}

// is fails to compile if a value does not have the type.
func is[T any](T) {}

// shared is one authorization server for all tests: its keys take a while.
var shared *accesstokentest.Server

func TestMain(m *testing.M) {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	as.Token(nil) // makes the keys, so that no test has to wait for them
	shared = as
	m.Run()
}

// newValidator returns a validator that trusts the authorization server.
func newValidator(t *testing.T) (*accesstokentest.Server, *accesstoken.Validator) {
	t.Helper()
	return shared, testkit.NewValidator(t, shared, nil)
}

func TestContractOfTheConstructor(t *testing.T) {
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Audience:   nil,
		Issuers:    []accesstoken.Issuer{{URL: "https://login.example.com"}},
		Leeway:     0,
		Realm:      "",
		HTTPClient: nil,
		Logger:     nil,
		Now:        nil,
		OnRefuse:   nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	is[*accesstoken.Validator](v)
	is[error](v.Close())

	is[func(accesstoken.Config) (*accesstoken.Validator, error)](accesstoken.NewValidator)
	var config accesstoken.Config
	is[[]string](config.Audience)
	is[time.Duration](config.Leeway)
	is[*http.Client](config.HTTPClient)
	is[*slog.Logger](config.Logger)
	is[func() time.Time](config.Now)
	is[func(ctx context.Context, err *accesstoken.Error)](config.OnRefuse)
}

func TestContractOfAnIssuer(t *testing.T) {
	issuer := accesstoken.Issuer{
		URL:                         "https://login.example.com",
		MetadataURL:                 "",
		JWKSURI:                     "",
		Keys:                        nil,
		Introspection:               nil,
		TokenPrefix:                 "",
		Audience:                    []string{"urn:orders"},
		Algorithms:                  []string{"ES256"},
		Profile:                     accesstoken.RFC9068,
		Clients:                     nil,
		Tenants:                     nil,
		Relax:                       accesstoken.Relax{Typ: true},
		DangerouslyAllowHTTP:        false,
		DangerouslyAcceptNoAudience: false,
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{issuer},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()

	is[*introspection.Client](issuer.Introspection)
	is[[]string](issuer.Clients)
	is[[]string](issuer.Tenants)
	is[accesstoken.Relax](accesstoken.Relax{Typ: true, JTI: true, ClientID: true, ScopeArray: true})
}

func TestContractOfAnIssuerUnderSeveralNames(t *testing.T) {
	issuer := accesstoken.Issuer{
		URL:          "https://clerk.example.com",
		Name:         "clerk",
		Aliases:      nil,
		HTTPClient:   nil,
		ReadyWithout: false,
		Clients:      []string{"https://app.example.com"},
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:             "https://api.example.com",
		Issuers:              []accesstoken.Issuer{issuer},
		MaxTokenSize:         0,
		ForwardedCertificate: accesstoken.ForwardedCertificate{UnixSocket: false},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var one *accesstoken.IssuerError
	err = v.Warm(ctx)
	if !errors.As(err, &one) || one.Issuer != issuer.URL || !errors.Is(one.Err, context.Canceled) {
		t.Errorf("got %v; want an IssuerError of %s", err, issuer.URL)
	}
	is[[]string](issuer.Aliases)
	is[*http.Client](issuer.HTTPClient)
}

func TestContractOfADialect(t *testing.T) {
	issuer := accesstoken.Issuer{
		URL:     "https://clerk.example.com",
		Clients: []string{"https://app.example.com"},
		Dialect: &dialect.Dialect{
			Name: "Clerk", Types: []string{"jwt"},
			Client: []string{"azp"},
			Scope:  []string{"scp", "scope"}, ScopeArray: false,
			ID: "", Tenant: "",
			Groups: "", Roles: "/realm_access/roles", Entitlements: "",
			Optional: []string{"jti", "aud"},
			IDTokens: false,
			Kind:     []dialect.Mark{dialect.Is("v", 2), dialect.Has("sid")},
			Machine:  nil,
		},
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{issuer},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()

	is[dialect.Mark](dialect.Has("a", "b"))
	is[dialect.Mark](dialect.Without("a", "b"))
	is[dialect.Mark](dialect.Is("a", "text", true, 1))
	is[dialect.Mark](dialect.HasPrefix("sub", "user:"))
	is[dialect.Mark](dialect.AnyOf(dialect.Has("a"), dialect.AudienceBeyondClient()))
	is[fmt.Stringer](dialect.Has("a"))
	is[fmt.Stringer](issuer.Dialect)
	if one, other := dialect.Is("v", 2), dialect.Is("v", 2); one != other {
		t.Error("two equal marks do not compare as equal")
	}
	issuer = accesstoken.Issuer{URL: "https://sso.example.com/realms/main", Dialect: accesstoken.Keycloak.Dialect()}
	is[*dialect.Dialect](issuer.Dialect)
}

// A keySource has the method that an application's own key source must have.
type keySource struct{}

func (keySource) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	return nil, 0, nil
}

func TestContractOfKeySources(t *testing.T) {
	as := shared
	cache, err := jwks.NewCache(jwks.Config{URL: "https://login.example.com/jwks"})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	is[jwt.Keyfunc](cache.Keyfunc)

	var keys []jwkset.JWK = as.Keys()
	storage := jwkset.NewMemoryStorage()
	k, err := keyfunc.New(keyfunc.Options{Ctx: t.Context(), Storage: storage})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []accesstoken.KeySource{cache, jwks.Static(keys...), jwks.FromKeyfunc(k), keySource{}} {
		v, err := accesstoken.NewValidator(accesstoken.Config{
			Resource: "https://api.example.com",
			Issuers:  []accesstoken.Issuer{{URL: as.URL, Keys: source}},
		})
		if err != nil {
			t.Fatalf("%T: %v", source, err)
		}
		is[error](v.Close())
	}
}

func TestContractOfAValidator(t *testing.T) {
	as, v := newValidator(t)
	ctx := t.Context()
	err := v.Warm(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = v.Ready()
	if err != nil {
		t.Fatal(err)
	}
	token := as.Token(accesstokentest.Claims{"sub": "alice", "aud": "https://api.example.com", "scope": "orders:write a"})
	credentials := accesstoken.Bearer(token)

	claims, err := v.Validate(ctx, accesstoken.Bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	is[accesstoken.Claims](claims)
	claims, err = v.Authorize(ctx, credentials, accesstoken.Policy{Scopes: scopes.All("orders:write")})
	if err != nil {
		t.Fatal(err)
	}
	err = v.Check(ctx, claims, accesstoken.Policy{Scopes: scopes.Any("a", "b")})
	if err != nil {
		t.Fatal(err)
	}

	r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	credentials = accesstoken.CredentialsFrom(r.Header)
	if _, err := v.Validate(ctx, credentials); err != nil {
		t.Fatal(err)
	}

	for _, s := range []string{claims.Issuer, claims.Subject, claims.ClientID, claims.ID} {
		if s == "" {
			t.Errorf("got an empty claim in %+v", [...]string{claims.Issuer, claims.Subject, claims.ClientID, claims.ID})
		}
	}
	is[[2]time.Time]([...]time.Time{claims.Expiry, claims.IssuedAt})
	is[scopes.Set](claims.Scopes())
	is[[]string](claims.Audience())
	var private struct {
		Subject string `json:"sub"`
	}
	err = claims.Decode(&private)
	if err != nil || private.Subject != "alice" {
		t.Errorf("got %q, %v; want alice", private.Subject, err)
	}

	ctx = accesstoken.NewContext(ctx, claims)
	claims, ok := accesstoken.FromContext(ctx)
	if !ok || claims.Subject != "alice" {
		t.Errorf("got %q, %v; want alice", claims.Subject, ok)
	}
}

func TestContractOfResourceMetadata(t *testing.T) {
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
		Metadata: &resourcemetadata.Metadata{Resource: "", Name: "API", Scopes: []string{"a"}, Documentation: "https://docs.example.com", Extra: map[string]any{"x": 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	files, err := v.ForResource(accesstoken.Resource{ID: "https://files.example.com", Metadata: &resourcemetadata.Metadata{}})
	if err != nil {
		t.Fatal(err)
	}
	url, document := v.ResourceMetadata()
	is[string](url)
	is[[]byte](document)
	mux := http.NewServeMux()
	mux.Handle(resourcemetadata.Pattern(v), resourcemetadata.Handler(v))
	other := http.NewServeMux()
	other.Handle("GET /", http.NotFoundHandler())
	resourcemetadata.Register(other, files)
}

func TestContractOfARefusal(t *testing.T) {
	as, v := newValidator(t)
	expired := as.Token(accesstokentest.Claims{"exp": 1})
	_, err := v.Validate(t.Context(), accesstoken.Bearer(expired))

	var refused *accesstoken.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v; want an *accesstoken.Error", err)
	}
	is[accesstoken.Reason](refused.Reason)
	is[string](string(refused.Reason))
	is[int](refused.HTTPStatus())
	is[http.Header](refused.Header())
	is[uint32](refused.GRPCCode())
	is[time.Duration](refused.RetryAfter())
	if !errors.Is(err, accesstoken.TokenExpired) || refused.Reason != "TOKEN_EXPIRED" {
		t.Errorf("got %v; want TokenExpired", err)
	}
	if errors.Is(err, accesstoken.Unavailable) {
		t.Errorf("got Unavailable for %v", err)
	}

	cause := errors.New("the account is closed")
	is[*accesstoken.Error](accesstoken.Deny("POLICY_DENIED", cause))
	is[func(accesstoken.Reason, error) *accesstoken.Error](accesstoken.Deny)
}

// Every reason of the matrix has a constant, and its text never changes.
func TestContractOfReasons(t *testing.T) {
	reasons := map[accesstoken.Reason]string{
		accesstoken.CredentialsMissing:               "CREDENTIALS_MISSING",
		accesstoken.SchemeUnsupported:                "SCHEME_UNSUPPORTED",
		accesstoken.CredentialsMalformed:             "CREDENTIALS_MALFORMED",
		accesstoken.CredentialsAmbiguous:             "CREDENTIALS_AMBIGUOUS",
		accesstoken.TokenTooLarge:                    "TOKEN_TOO_LARGE",
		accesstoken.TokenMalformed:                   "TOKEN_MALFORMED",
		accesstoken.AlgorithmNotAllowed:              "ALGORITHM_NOT_ALLOWED",
		accesstoken.TokenTypeMismatch:                "TOKEN_TYPE_MISMATCH",
		accesstoken.IssuerUnknown:                    "ISSUER_UNKNOWN",
		accesstoken.KeyNotFound:                      "KEY_NOT_FOUND",
		accesstoken.KeysUnavailable:                  "KEYS_UNAVAILABLE",
		accesstoken.SignatureInvalid:                 "SIGNATURE_INVALID",
		accesstoken.TokenExpired:                     "TOKEN_EXPIRED",
		accesstoken.TokenNotYetValid:                 "TOKEN_NOT_YET_VALID",
		accesstoken.AudienceMismatch:                 "AUDIENCE_MISMATCH",
		accesstoken.ClaimInvalid:                     "CLAIM_INVALID",
		accesstoken.TokenInactive:                    "TOKEN_INACTIVE",
		accesstoken.IntrospectionUnavailable:         "INTROSPECTION_UNAVAILABLE",
		accesstoken.ResourceServerMisconfigured:      "RESOURCE_SERVER_MISCONFIGURED",
		accesstoken.IssuerUnavailable:                "ISSUER_UNAVAILABLE",
		accesstoken.ScopeInsufficient:                "SCOPE_INSUFFICIENT",
		accesstoken.AuthorizationDetailsInsufficient: "AUTHORIZATION_DETAILS_INSUFFICIENT",
		accesstoken.StepUpRequired:                   "STEP_UP_REQUIRED",
		accesstoken.OriginRefused:                    "ORIGIN_REFUSED",
		accesstoken.PolicyDenied:                     "POLICY_DENIED",
		accesstoken.BindingRequired:                  "BINDING_REQUIRED",
		accesstoken.DPoPProofInvalid:                 "DPOP_PROOF_INVALID",
		accesstoken.BindingMismatch:                  "BINDING_MISMATCH",
		accesstoken.DPoPProofReplayed:                "DPOP_PROOF_REPLAYED",
		accesstoken.DPoPNonceRequired:                "DPOP_NONCE_REQUIRED",
		accesstoken.ReplayStoreUnavailable:           "REPLAY_STORE_UNAVAILABLE",
		accesstoken.StatusUnavailable:                "STATUS_UNAVAILABLE",
		accesstoken.TransportInsecure:                "TRANSPORT_INSECURE",
		accesstoken.InternalError:                    "INTERNAL_ERROR",
		accesstoken.TokenInvalid:                     "TOKEN_INVALID",
	}
	for reason, want := range reasons {
		if string(reason) != want {
			t.Errorf("got %q; want %q", string(reason), want)
		}
		is[error](reason)
	}
}

func TestContractOfIntrospection(t *testing.T) {
	const secret = "secret"
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: "https://login.example.com/introspect", ClientID: "api", ClientSecret: secret, HTTPClient: nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	is[*introspection.Client](client)
}

func TestContractOfScopes(t *testing.T) {
	set := scopes.Parse("a b")
	is[scopes.Set](set)
	is[bool](set.Has("a"))
	is[string](set.String())
	for _, r := range []scopes.Requirement{scopes.All("a", "b"), scopes.Any("a", "b"), scopes.None()} {
		if !r.MetBy(set) {
			t.Errorf("%v is not met by %v", r, set)
		}
	}
}

func TestContractOfMiddleware(t *testing.T) {
	as, v := newValidator(t)
	me := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := accesstoken.FromContext(r.Context())
		fmt.Fprint(w, claims.Subject)
	})
	create := me
	mux := http.NewServeMux()

	auth := middleware.New(v, nil)
	mux.Handle("GET /me", auth.Wrap(me))
	mux.Handle("POST /orders", auth.Require(scopes.All("orders:write")).Wrap(create))
	is[*middleware.Middleware](auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.None()}))
	is[*middleware.Middleware](middleware.New(v, &middleware.Options{}))
	mux.HandleFunc("GET /by-hand", func(w http.ResponseWriter, r *http.Request) {
		claims, err := auth.Check(r)
		if err != nil {
			auth.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, claims.Subject)
	})

	for path, method := range map[string]string{"/me": "GET", "/orders": "POST", "/by-hand": "GET"} {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "orders:write"}))
		if got := serve(mux, r); got != "200 alice" {
			t.Errorf("%s: got %s; want 200 alice", path, got)
		}
	}
	if got := serve(mux, httptest.NewRequestWithContext(t.Context(), "GET", "/by-hand", nil)); got[:3] != "401" {
		t.Errorf("got %s; want 401", got)
	}
}

func serve(h http.Handler, r *http.Request) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Body)
}

func TestContractOfEcho(t *testing.T) {
	as, v := newValidator(t)
	create := func(c echo.Context) error {
		claims, _ := accesstoken.FromContext(c.Request().Context())
		return c.String(http.StatusOK, claims.Subject)
	}
	e := echo.New()

	auth := echoauth.New(v, nil)
	e.Use(auth.Wrap)
	e.POST("/orders", create, auth.Require(scopes.All("orders:write")).Wrap)

	is[echo.MiddlewareFunc](auth.Wrap)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "orders:write"}))
	if got := serve(e, r); got != "200 alice" {
		t.Errorf("got %s; want 200 alice", got)
	}
}

func TestContractOfGRPC(t *testing.T) {
	_, v := newValidator(t)

	auth, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{
			orderspb.Orders_Create_FullMethodName: {Scopes: scopes.All("orders:write")},
		},
		Public: []string{healthpb.Health_Check_FullMethodName},
	})
	if err != nil {
		t.Fatal(err)
	}
	grpc.NewServer(auth.ServerOptions()...).Stop()
	grpc.NewServer(grpc.UnaryInterceptor(auth.UnaryInterceptor), grpc.StreamInterceptor(auth.StreamInterceptor)).Stop()
}

func TestContractOfTheTestServer(t *testing.T) {
	is[accesstokentest.TB](t)
	is[*accesstokentest.Server](accesstokentest.NewServer(t))
	as, err := accesstokentest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer as.Close()
	is[string](as.URL)
	is[*http.Client](as.Client())
	is[string](as.Token(accesstokentest.Claims{"sub": "alice", "aud": "https://api.example.com", "scope": "orders:read"}))

	ctx := t.Context()
	ctx = accesstokentest.NewContext(ctx, accesstokentest.Claims{"scope": "orders:read"})
	claims, ok := accesstoken.FromContext(ctx)
	if !ok || !claims.Scopes().Has("orders:read") {
		t.Errorf("got %v, %v; want claims with orders:read", claims, ok)
	}
}
