package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthsrv "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

const wholeService = "/grpc.testing.TestService/*"

// methods are Options.Methods with scopes.All of one scope each.
func methods(pairs ...string) map[string]accesstoken.Policy {
	rules := map[string]accesstoken.Policy{}
	for i := 0; i < len(pairs); i += 2 {
		rules[pairs[i]] = accesstoken.Policy{Scopes: scopes.All(pairs[i+1])}
	}
	return rules
}

func newAuth(t testing.TB, v *accesstoken.Validator, options grpcauth.Options) *grpcauth.Interceptors {
	t.Helper()
	auth, err := grpcauth.New(v, &options)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

// wantStatus fails the test unless err is a status with this code and, in its
// ErrorInfo, this reason; reason "" wants no ErrorInfo. It returns the details.
func wantStatus(t *testing.T, err error, code codes.Code, reason string) (info *errdetails.ErrorInfo, retry *errdetails.RetryInfo) {
	t.Helper()
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			info = detail
		case *errdetails.RetryInfo:
			retry = detail
		default:
			t.Errorf("got a detail %T; want ErrorInfo and RetryInfo only", detail)
		}
	}
	if got := status.Code(err); got != code || info.GetReason() != reason {
		t.Errorf("got %v for %q: %v; want %v for %q", got, info.GetReason(), err, code, reason)
	}
	if info != nil && info.Domain != "github.com/accesstoken/accesstoken" {
		t.Errorf("ErrorInfo.domain: got %q; want the module's path", info.Domain)
	}
	return info, retry
}

// Every kind of call, over every transport, with both ways to set a server up.
func TestEveryKindOfCallIsProtected(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	for _, tr := range transports {
		for form, options := range map[string][]grpc.ServerOption{
			"ServerOptions":      auth.ServerOptions(),
			"plain interceptors": {grpc.UnaryInterceptor(auth.UnaryInterceptor), grpc.StreamInterceptor(auth.StreamInterceptor)},
		} {
			s := new(service)
			client := tr.serveTest(t, options, s)
			for _, kind := range kinds {
				for _, test := range []struct {
					name   string
					token  []string
					code   codes.Code
					reason string
				}{
					{"a good token", []string{bearer("a b")}, codes.OK, ""},
					{"no token", nil, codes.Unauthenticated, "CREDENTIALS_MISSING"},
					{"a scope is missing", []string{bearer("b")}, codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
				} {
					t.Run(strings.Join([]string{tr.name, form, kind.name, test.name}, "/"), func(t *testing.T) {
						s.subjects = nil
						err := kind.call(with(t.Context(), test.token...), client)
						wantStatus(t, err, test.code, test.reason)
						s.mu.Lock()
						defer s.mu.Unlock()
						want := map[codes.Code]string{codes.OK: "[alice]"}[test.code]
						if got := fmt.Sprint(s.subjects); got != want && !(want == "" && got == "[]") {
							t.Errorf("the method found: got %s; want %q", got, want)
						}
					})
				}
			}
		}
	}
}

func TestWhatTheCallerIsTold(t *testing.T) {
	const realm = `Bearer realm="https://api.example.com"`
	v := testkit.NewValidator(t, as, nil)
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	client := overTLS.serveTest(t, auth.ServerOptions(), new(service))
	good := bearer("a")
	for _, test := range []struct {
		name      string
		token     []string
		code      codes.Code
		reason    string
		text      string
		params    map[string]string
		challenge string
	}{
		{"no token", nil, codes.Unauthenticated, "CREDENTIALS_MISSING", "an access token is required",
			map[string]string{"realm": testkit.Resource, "scope": "a"}, realm + `, scope="a"`},
		{"another scheme", []string{"Basic eA=="}, codes.Unauthenticated, "SCHEME_UNSUPPORTED", "this authentication scheme is not supported",
			map[string]string{"realm": testkit.Resource, "scope": "a"}, realm + `, scope="a"`},
		{"two values", []string{good, good}, codes.Unauthenticated, "CREDENTIALS_AMBIGUOUS", "the request has more than one credential",
			map[string]string{"realm": testkit.Resource, "error": "invalid_request", "error_description": "the request has more than one credential"},
			realm + `, error="invalid_request", error_description="the request has more than one credential"`},
		{"two tokens in one value", []string{good + ", " + good}, codes.Unauthenticated, "CREDENTIALS_MALFORMED", "the credentials are malformed",
			map[string]string{"realm": testkit.Resource, "error": "invalid_request", "error_description": "the credentials are malformed"},
			realm + `, error="invalid_request", error_description="the credentials are malformed"`},
		{"a token for somebody else", []string{"Bearer " + as.Token(accesstokentest.Claims{"aud": "https://other.example.com"})}, codes.Unauthenticated, "TOKEN_INVALID", "the access token is invalid",
			map[string]string{"realm": testkit.Resource, "error": "invalid_token", "error_description": "the access token is invalid"},
			realm + `, error="invalid_token", error_description="the access token is invalid"`},
		{"an expired token", []string{"Bearer " + as.Token(accesstokentest.Claims{"exp": 1000000000})}, codes.Unauthenticated, "TOKEN_EXPIRED", "the access token expired",
			map[string]string{"realm": testkit.Resource, "error": "invalid_token", "error_description": "the access token expired"},
			realm + `, error="invalid_token", error_description="the access token expired"`},
		{"a scope is missing", []string{bearer("b")}, codes.PermissionDenied, "SCOPE_INSUFFICIENT", "the access token lacks a required scope",
			map[string]string{"realm": testkit.Resource, "error": "insufficient_scope", "error_description": "the access token lacks a required scope", "scope": "a"},
			realm + `, error="insufficient_scope", error_description="the access token lacks a required scope", scope="a"`},
	} {
		for _, kind := range kinds {
			t.Run(test.name+"/"+kind.name, func(t *testing.T) {
				var header, trailer metadata.MD
				err := kind.call(with(t.Context(), test.token...), client, grpc.Header(&header), grpc.Trailer(&trailer))
				info, retry := wantStatus(t, err, test.code, test.reason)
				if got := status.Convert(err).Message(); got != test.text {
					t.Errorf("got text %q; want %q", got, test.text)
				}
				if got, want := fmt.Sprint(info.GetMetadata()), fmt.Sprint(test.params); got != want {
					t.Errorf("ErrorInfo.metadata: got %s; want %s", got, want)
				}
				if retry != nil {
					t.Errorf("got RetryInfo %v; want none", retry)
				}
				if got := strings.Join(trailer.Get("www-authenticate"), "\n"); got != test.challenge {
					t.Errorf("www-authenticate in the trailer: got %s; want %s", got, test.challenge)
				}
			})
		}
	}
	t.Run("net/http says the same", func(t *testing.T) {
		var trailer metadata.MD
		_ = kinds[0].call(t.Context(), client, grpc.Trailer(&trailer))
		w := httptest.NewRecorder()
		middleware.New(v, nil).Require(scopes.All("a")).Wrap(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if got, want := trailer.Get("www-authenticate"), w.Header()["Www-Authenticate"]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %s; want %s", got, want)
		}
	})
}

func TestOtherMetadataIsNoCredential(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	client := overBufconn.serveTest(t, auth.ServerOptions(), new(service))
	for _, name := range []string{"grpcgateway-authorization", "x-access-token", "access_token", "proxy-authorization", "cookie"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), name, bearer("a"))
		wantStatus(t, kinds[0].call(ctx, client), codes.Unauthenticated, "CREDENTIALS_MISSING")
	}
}

func TestAnIssuerThatIsDownIsNotTheTokensFault(t *testing.T) {
	down := accesstokentest.NewServer(t)
	down.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	auth := newAuth(t, newIntrospecting(t, down), grpcauth.Options{Methods: methods(wholeService, "a")})
	client := overTLS.serveTest(t, auth.ServerOptions(), new(service))
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			var trailer metadata.MD
			err := kind.call(with(t.Context(), "Bearer opaque"), client, grpc.Trailer(&trailer))
			_, retry := wantStatus(t, err, codes.Unavailable, "INTROSPECTION_UNAVAILABLE")
			if got := retry.GetRetryDelay().AsDuration(); got <= 6*time.Second || got > 7*time.Second {
				t.Errorf("RetryInfo: got %v; want what is left of the 7 s that the issuer asked for", got)
			}
			if got := trailer.Get("www-authenticate"); got != nil {
				t.Errorf("got a challenge %s; want none", got)
			}
		})
	}
}

// The end of the caller's context reaches the call to the issuer, and comes back
// as what it is.
func TestTheCallersEndIsNoRefusalOfTheToken(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(context.Context) error // of the context
		code codes.Code
	}{
		"gone":            {func(context.Context) error { return context.Canceled }, codes.Canceled},
		"out of patience": {func(context.Context) error { return context.DeadlineExceeded }, codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			slow := accesstokentest.NewServer(t)
			ctx := &endable{Context: t.Context(), done: make(chan struct{})}
			var once sync.Once
			slow.Handle(accesstokentest.IntrospectionPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				once.Do(func() { ctx.end(test.end(ctx)) })
				<-r.Context().Done()
			}))
			auth := newAuth(t, newIntrospecting(t, slow), grpcauth.Options{Methods: methods(wholeService, "a")})
			incoming := metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer opaque"))
			_, err := auth.UnaryInterceptor(incoming, nil, &grpc.UnaryServerInfo{FullMethod: "/grpc.testing.TestService/UnaryCall"},
				func(context.Context, any) (any, error) { t.Error("the method ran"); return nil, nil })
			wantStatus(t, err, test.code, "")
		})
	}
}

// endable is a context that ends when it is told to, with the error it is told.
type endable struct {
	context.Context
	done chan struct{}
	err  error
}

func (c *endable) end(err error)         { c.err = err; close(c.done) }
func (c *endable) Done() <-chan struct{} { return c.done }
func (c *endable) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

func TestRules(t *testing.T) {
	options := grpcauth.Options{
		Methods: map[string]accesstoken.Policy{
			"/pkg.Service/*":       {Scopes: scopes.All("service")},
			"/pkg.Service/Special": {Scopes: scopes.All("special")},
			"/pkg.Other/Get":       {Scopes: scopes.None()},
			"/pkg/Get":             {Scopes: scopes.All("short")},
		},
		Public: []string{"/pkg.Service/Open", "/pkg.Closed/Open"},
	}
	auth := newAuth(t, testkit.NewValidator(t, as, nil), options)
	for _, test := range []struct {
		name, method, scope string // "-" for no token
		code                codes.Code
		reason              string
		subject             string
	}{
		{"a whole service", "/pkg.Service/Get", "service", codes.OK, "", "alice"},
		{"a whole service, without its scope", "/pkg.Service/Get", "special", codes.PermissionDenied, "SCOPE_INSUFFICIENT", ""},
		{"a method goes before its service", "/pkg.Service/Special", "special", codes.OK, "", "alice"},
		{"a method goes before its service, which does not open it", "/pkg.Service/Special", "service", codes.PermissionDenied, "SCOPE_INSUFFICIENT", ""},
		{"any valid token, said aloud", "/pkg.Other/Get", "", codes.OK, "", "alice"},
		{"any valid token, and there is none", "/pkg.Other/Get", "-", codes.Unauthenticated, "CREDENTIALS_MISSING", ""},
		{"a public method", "/pkg.Service/Open", "-", codes.OK, "", ""},
		{"a public method finds no claims", "/pkg.Service/Open", "service", codes.OK, "", ""},
		{"a public method of a service without a rule", "/pkg.Closed/Open", "-", codes.OK, "", ""},
		{"another method of that service", "/pkg.Closed/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"no rule, without a token", "/pkg.Nobody/Get", "-", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"no rule, with a token", "/pkg.Nobody/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"a service whose name is longer", "/pkg.ServiceX/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"a service whose name is shorter", "/pkg.Servic/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"a service with something before its name", "/x/pkg.Service/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"a service with something after its name", "/pkg.Service/x/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"another case", "/pkg.service/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"a method with a longer name", "/pkg.Other/GetAll", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"without the first slash", "pkg.Service/Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"a public method without the first slash", "pkg.Closed/Open", "-", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"without any slash", "Get", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"only a slash", "/", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"no name at all", "", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
		{"no method needs what its service needs", "/pkg.Service/", "-", codes.Unauthenticated, "CREDENTIALS_MISSING", ""},
		{"a star is no method's name", "/pkg.Other/*", "service", codes.PermissionDenied, "POLICY_DENIED", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := t.Context()
			if test.scope != "-" {
				ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", bearer(test.scope)))
			}
			ran, subject := false, ""
			_, err := auth.UnaryInterceptor(ctx, nil, &grpc.UnaryServerInfo{FullMethod: test.method}, func(ctx context.Context, _ any) (any, error) {
				claims, _ := accesstoken.FromContext(ctx)
				ran, subject = true, claims.Subject
				return nil, nil
			})
			wantStatus(t, err, test.code, test.reason)
			if ran != (test.code == codes.OK) || subject != test.subject {
				t.Errorf("the method ran: got %v with subject %q; want %v with %q", ran, subject, !ran, test.subject)
			}
		})
	}
}

func TestNewReportsEveryFaultAtOnce(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	good := accesstoken.Policy{Scopes: scopes.All("a")}
	for _, test := range []struct {
		name    string
		v       *accesstoken.Validator
		options *grpcauth.Options
		faults  []string // one for each line
	}{
		{"nothing is wrong", v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/a.B/C": good, "/a.B/*": good, "/B/C": good}, Public: []string{"/a.B/D"}}, nil},
		{"only public methods", v, &grpcauth.Options{Public: []string{"/a.B/D"}}, nil},
		{"no validator", nil, &grpcauth.Options{Public: []string{"/a.B/D"}}, []string{"needs a Validator"}},
		{"nil options", v, nil, []string{"every call would be refused"}},
		{"options that open nothing", v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{}}, []string{"every call would be refused"}},
		{"the zero Policy", v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/a.B/C": {}}}, []string{`Methods["/a.B/C"]`}},
		{"an empty requirement", v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/a.B/C": {Scopes: scopes.All()}}}, []string{`Methods["/a.B/C"]`}},
		{"two rules for one method", v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/a.B/C": good}, Public: []string{"/a.B/C"}}, []string{`"/a.B/C" has two rules`}},
		{"one public method twice", v, &grpcauth.Options{Public: []string{"/a.B/C", "/a.B/C"}}, []string{`"/a.B/C" has two rules`}},
		{"a whole service in public", v, &grpcauth.Options{Public: []string{"/a.B/*"}}, []string{`Public "/a.B/*"`}},
		{"everything at once", v, &grpcauth.Options{
			Methods: map[string]accesstoken.Policy{"a.B/C": good, "/a.B": {}, "/a.B/D": {Scopes: scopes.Any()}, "/a.B/E": good},
			Public:  []string{"", "/a.B/E", "/a.B/*"},
		}, []string{`Methods["/a.B"]: accesstoken: the policy has no Scopes`, `Methods["/a.B"]: expected`, `Methods["/a.B/D"]`, `Methods["a.B/C"]`, `Public ""`, `"/a.B/E" has two rules`, `Public "/a.B/*"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			auth, err := grpcauth.New(test.v, test.options)
			if len(test.faults) == 0 {
				if err != nil || auth == nil {
					t.Errorf("got %v, %v; want interceptors", auth, err)
				}
				return
			}
			if err == nil || auth != nil {
				t.Fatalf("got %v, %v; want an error and nothing else", auth, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.faults) {
				t.Errorf("got %d faults; want %d:\n%v", len(lines), len(test.faults), err)
			}
			for i, line := range lines[:min(len(lines), len(test.faults))] {
				if !strings.HasPrefix(line, "grpcauth: ") || !strings.Contains(line, test.faults[i]) {
					t.Errorf("line %d: got %q; want it to begin with the package and say %q", i, line, test.faults[i])
				}
			}
		})
	}
}

// A name that no call can ever have protects nothing: whoever wrote it thinks
// otherwise.
func TestNewRefusesNamesThatMatchNothing(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	for _, name := range []string{"", "/", "//", "a", "a.B/C", "/a.B", "/a.B/", "/a.B/C/D", "//C", "/a.B/C*", "/a.B/*C", "/a.*/C", "*", "/*", "/*/*", "/a.*/*", "/*/C"} {
		if _, err := grpcauth.New(v, &grpcauth.Options{Methods: methods(name, "a")}); err == nil {
			t.Errorf("Methods[%q]: got nil; want an error", name)
		}
		if _, err := grpcauth.New(v, &grpcauth.Options{Public: []string{name}}); err == nil {
			t.Errorf("Public %q: got nil; want an error", name)
		}
	}
}

func TestLaterChangesOfTheOptionsChangeNoRule(t *testing.T) {
	options := grpcauth.Options{Methods: methods("/a.B/C", "a"), Public: []string{"/a.B/D"}}
	auth := newAuth(t, testkit.NewValidator(t, as, nil), options)
	options.Methods["/a.B/E"] = accesstoken.Policy{Scopes: scopes.None()}
	options.Public[0] = "/a.B/C"
	for method, code := range map[string]codes.Code{"/a.B/C": codes.Unauthenticated, "/a.B/D": codes.OK, "/a.B/E": codes.PermissionDenied} {
		_, err := auth.UnaryInterceptor(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, nil })
		if status.Code(err) != code {
			t.Errorf("%s: got %v; want %v", method, status.Code(err), code)
		}
	}
}

func TestMethodsWithoutARuleAreClosed(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(
		testpb.TestService_UnaryCall_FullMethodName, "a", "/grpc.testing.UnimplementedService/*", "a")})
	for _, tr := range transports {
		s := new(service)
		conn := tr.serve(t, auth.ServerOptions(), func(server *grpc.Server) {
			testpb.RegisterTestServiceServer(server, s)
			healthpb.RegisterHealthServer(server, healthsrv.NewServer())
		})
		for _, test := range []struct {
			name, method string
			token        []string
			code         codes.Code
			reason       string
		}{
			{"a method of the service", testpb.TestService_EmptyCall_FullMethodName, []string{bearer("a")}, codes.PermissionDenied, "POLICY_DENIED"},
			{"the same without a token", testpb.TestService_EmptyCall_FullMethodName, nil, codes.PermissionDenied, "POLICY_DENIED"},
			{"a stream of the service", testpb.TestService_FullDuplexCall_FullMethodName, []string{bearer("a")}, codes.PermissionDenied, "POLICY_DENIED"},
			{"the health service", healthpb.Health_Check_FullMethodName, []string{bearer("a")}, codes.PermissionDenied, "POLICY_DENIED"},
			{"an unknown method of a known service", "/grpc.testing.TestService/Nothing", []string{bearer("a")}, codes.PermissionDenied, "POLICY_DENIED"},
			{"an unknown service", "/grpc.testing.Nothing/Get", []string{bearer("a")}, codes.PermissionDenied, "POLICY_DENIED"},
			{"an unknown service, without a token", "/grpc.testing.Nothing/Get", nil, codes.PermissionDenied, "POLICY_DENIED"},
			{"an unknown service with a rule, without a token", "/grpc.testing.UnimplementedService/Get", nil, codes.Unauthenticated, "CREDENTIALS_MISSING"},
			{"an unknown service with a rule", "/grpc.testing.UnimplementedService/Get", []string{bearer("a")}, codes.Unimplemented, ""},
		} {
			t.Run(tr.name+"/"+test.name, func(t *testing.T) {
				err := conn.Invoke(with(t.Context(), test.token...), test.method, &testpb.Empty{}, &testpb.Empty{})
				wantStatus(t, err, test.code, test.reason)
			})
		}
		if len(s.subjects) > 0 {
			t.Errorf("%s: methods ran: %q", tr.name, s.subjects)
		}
	}
}

func TestTheHealthServiceIsOpenWhenItIsListed(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Public: []string{healthpb.Health_Check_FullMethodName}})
	conn := overTLS.serve(t, auth.ServerOptions(), func(server *grpc.Server) { healthpb.RegisterHealthServer(server, healthsrv.NewServer()) })
	client := healthpb.NewHealthClient(conn)
	for name, ctx := range map[string]context.Context{"no token": t.Context(), "junk": with(t.Context(), "Bearer junk"), "two values": with(t.Context(), "a", "b")} {
		if answer, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("Check with %s: got %v, %v; want SERVING", name, answer, err)
		}
	}
	watch, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	wantStatus(t, err, codes.PermissionDenied, "POLICY_DENIED") // Watch was not listed
}

// newIntrospecting makes a validator that asks the server about every opaque
// token, each time anew.
func newIntrospecting(t *testing.T, as *accesstokentest.Server) *accesstoken.Validator {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return testkit.NewValidator(t, as, func(config *accesstoken.Config) { config.Issuers[0].Introspection = client })
}

func TestWhatAMethodReturns(t *testing.T) {
	var mu sync.Mutex
	var heard []accesstoken.Reason
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(ctx context.Context, err *accesstoken.Error) {
			mu.Lock()
			defer mu.Unlock()
			if caller, _ := accesstoken.FromContext(ctx); caller.Subject != "alice" {
				t.Errorf("OnRefuse: got the caller %q; want alice", caller.Subject)
			}
			heard = append(heard, err.Reason)
		}
	})
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	detailed, err := status.New(codes.NotFound, "no such order").WithDetails(&errdetails.ErrorInfo{Reason: "NO_SUCH_ORDER", Domain: "github.com/accesstoken/accesstoken"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name       string
		fail       func(context.Context) error
		code       codes.Code
		reason     string
		text       string
		challenged bool
		heard      string
	}{
		{"Deny", func(context.Context) error { return accesstoken.Deny("ACCOUNT_CLOSED", errors.New("on 3 May")) },
			codes.PermissionDenied, "ACCOUNT_CLOSED", "access is denied", false, "[ACCOUNT_CLOSED]"},
		{"Deny, wrapped", func(context.Context) error { return fmt.Errorf("orders: %w", accesstoken.Deny("ACCOUNT_CLOSED", nil)) },
			codes.PermissionDenied, "ACCOUNT_CLOSED", "access is denied", false, "[ACCOUNT_CLOSED]"},
		{"an error of the Validator's Check", func(ctx context.Context) error {
			claims, _ := accesstoken.FromContext(ctx)
			return v.Check(ctx, claims, accesstoken.Policy{Scopes: scopes.All("b")})
		}, codes.PermissionDenied, "SCOPE_INSUFFICIENT", "the access token lacks a required scope", true, "[SCOPE_INSUFFICIENT]"},
		{"a status", func(context.Context) error { return status.Error(codes.NotFound, "no such order") }, codes.NotFound, "", "no such order", false, "[]"},
		{"a status with details", func(context.Context) error { return detailed.Err() }, codes.NotFound, "NO_SUCH_ORDER", "no such order", false, "[]"},
		{"an UNAUTHENTICATED of its own", func(context.Context) error { return status.Error(codes.Unauthenticated, "downstream") }, codes.Unauthenticated, "", "downstream", false, "[]"},
		{"a foreign error", func(context.Context) error { return errors.New("lost") }, codes.Unknown, "", "lost", false, "[]"},
	} {
		// The second pair of interceptors must not refuse what the first has.
		twice := append(auth.ServerOptions(), grpc.UnaryInterceptor(auth.UnaryInterceptor), grpc.StreamInterceptor(auth.StreamInterceptor))
		once, inside := overBufconn.serveTest(t, auth.ServerOptions(), &service{fail: test.fail}), overBufconn.serveTest(t, twice, &service{fail: test.fail})
		for n, kind := range slices.Concat(kinds, kinds) {
			client := once
			if n >= len(kinds) {
				client = inside
			}
			t.Run(test.name+"/"+kind.name, func(t *testing.T) {
				heard = nil
				var trailer metadata.MD
				err := kind.call(with(t.Context(), bearer("a")), client, grpc.Trailer(&trailer))
				wantStatus(t, err, test.code, test.reason)
				if got := status.Convert(err).Message(); got != test.text {
					t.Errorf("got text %q; want %q", got, test.text)
				}
				if challenged := len(trailer.Get("www-authenticate")) == 1; challenged != test.challenged {
					t.Errorf("got challenge %q; want one: %v", trailer.Get("www-authenticate"), test.challenged)
				}
				mu.Lock()
				defer mu.Unlock()
				if got := fmt.Sprint(heard); got != test.heard {
					t.Errorf("OnRefuse: got %s; want %s", got, test.heard)
				}
			})
		}
	}
}

func TestOnRefuseHearsOfEveryRefusalOnce(t *testing.T) {
	var mu sync.Mutex
	var heard []accesstoken.Reason
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(_ context.Context, err *accesstoken.Error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, err.Reason)
		}
	})
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(testpb.TestService_UnaryCall_FullMethodName, "a", testpb.TestService_FullDuplexCall_FullMethodName, "a")})
	options := append(auth.ServerOptions(), grpc.UnaryInterceptor(auth.UnaryInterceptor), grpc.StreamInterceptor(auth.StreamInterceptor))
	client := overBufconn.serveTest(t, options, new(service))
	for _, test := range []struct {
		name  string
		kind  kind
		token []string
		heard string
	}{
		{"a call that passes", kinds[0], []string{bearer("a")}, "[]"},
		{"a call", kinds[0], nil, "[CREDENTIALS_MISSING]"},
		{"a call, by its policy", kinds[0], []string{bearer("b")}, "[SCOPE_INSUFFICIENT]"},
		{"a stream", kinds[3], nil, "[CREDENTIALS_MISSING]"},
		{"a stream without a rule", kinds[1], nil, "[POLICY_DENIED]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			heard = nil
			_ = test.kind.call(with(t.Context(), test.token...), client)
			mu.Lock()
			defer mu.Unlock()
			if got := fmt.Sprint(heard); got != test.heard {
				t.Errorf("got %s; want %s", got, test.heard)
			}
		})
	}
}

func TestInterceptorsInsideInterceptors(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newIntrospecting(t, as)
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	again := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	stricter := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "b")})
	other := newAuth(t, newIntrospecting(t, as), grpcauth.Options{Methods: methods(wholeService, "a")})
	for _, test := range []struct {
		name     string
		inner    *grpcauth.Interceptors
		code     codes.Code
		reason   string
		requests int
	}{
		{"of the same validator ask once", again, codes.OK, "", 1},
		{"check their policy", stricter, codes.PermissionDenied, "SCOPE_INSUFFICIENT", 1},
		{"of another validator authenticate again", other, codes.OK, "", 2},
	} {
		client := overBufconn.serveTest(t, append(auth.ServerOptions(),
			grpc.ChainUnaryInterceptor(test.inner.UnaryInterceptor), grpc.ChainStreamInterceptor(test.inner.StreamInterceptor)), new(service))
		for _, kind := range kinds {
			t.Run(test.name+"/"+kind.name, func(t *testing.T) {
				before := as.Requests(accesstokentest.IntrospectionPath)
				err := kind.call(with(t.Context(), "Bearer "+as.Opaque(accesstokentest.Claims{"scope": "a"})), client)
				wantStatus(t, err, test.code, test.reason)
				if got := as.Requests(accesstokentest.IntrospectionPath) - before; got != test.requests {
					t.Errorf("introspections: got %d; want %d", got, test.requests)
				}
			})
		}
	}
}

func TestClaimsPutThereByHandLetNobodyIn(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	byHand := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return handler(accesstokentest.NewContext(ctx, accesstokentest.Claims{"scope": "a"}), request)
	}
	s := new(service)
	client := overBufconn.serveTest(t, append([]grpc.ServerOption{grpc.ChainUnaryInterceptor(byHand)}, auth.ServerOptions()...), s)
	wantStatus(t, kinds[0].call(t.Context(), client), codes.Unauthenticated, "CREDENTIALS_MISSING")
	if len(s.subjects) > 0 {
		t.Errorf("the method ran: %q", s.subjects)
	}
}

// A method that calls another service does not hand its caller's token on.
func TestTheCallersTokenGoesNoFurther(t *testing.T) {
	var forwarded []metadata.MD
	var mu sync.Mutex
	downstream := overBufconn.serveTest(t, nil, &service{fail: func(ctx context.Context) error {
		incoming, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		forwarded = append(forwarded, incoming)
		return nil
	}})
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	client := overBufconn.serveTest(t, auth.ServerOptions(), &service{fail: func(ctx context.Context) error {
		if outgoing, ok := metadata.FromOutgoingContext(ctx); ok {
			t.Errorf("outgoing metadata: got %v; want none", outgoing)
		}
		return kinds[0].call(ctx, downstream)
	}})
	for _, kind := range kinds {
		if err := kind.call(with(t.Context(), bearer("a")), client); err != nil {
			t.Errorf("%s: %v", kind.name, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(forwarded) != len(kinds) {
		t.Errorf("downstream calls: got %d; want %d", len(forwarded), len(kinds))
	}
	for _, incoming := range forwarded {
		if got := incoming.Get("authorization"); got != nil {
			t.Error("the caller's authorization reached the downstream service")
		}
	}
}

// A recovering interceptor inside does not turn a refusal into an answer, and no
// message of a refused stream is read.
func TestARefusedStreamIsNeverRead(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	stream := &recorded{ctx: t.Context()}
	err := auth.StreamInterceptor(nil, stream, &grpc.StreamServerInfo{FullMethod: testpb.TestService_FullDuplexCall_FullMethodName},
		func(any, grpc.ServerStream) error { t.Error("the method ran"); return nil })
	wantStatus(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
	if stream.received > 0 || stream.sent > 0 {
		t.Errorf("messages: got %d received, %d sent; want none", stream.received, stream.sent)
	}
}

type recorded struct {
	grpc.ServerStream
	ctx            context.Context
	received, sent int
}

func (r *recorded) Context() context.Context { return r.ctx }
func (r *recorded) SetTrailer(metadata.MD)   {}
func (r *recorded) RecvMsg(any) error        { r.received++; return io.EOF }
func (r *recorded) SendMsg(any) error        { r.sent++; return nil }

func TestManyCallsAtOnce(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	client := overTLS.serveTest(t, auth.ServerOptions(), new(service))
	var wait sync.WaitGroup
	for i := range 8 {
		kind, token := kinds[i%len(kinds)], bearer("a")
		wait.Go(func() {
			for range 10 {
				if err := kind.call(with(t.Context(), token), client); err != nil {
					t.Errorf("%s: %v", kind.name, err)
				}
				if err := kind.call(t.Context(), client); status.Code(err) != codes.Unauthenticated {
					t.Errorf("%s without a token: got %v; want UNAUTHENTICATED", kind.name, err)
				}
			}
		})
	}
	wait.Wait()
}
