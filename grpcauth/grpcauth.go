// Package grpcauth protects gRPC services with access tokens, unary and
// streaming.
//
//	auth, err := grpcauth.New(validator, &grpcauth.Options{
//		Methods: map[string]accesstoken.Policy{
//			orderspb.Orders_Create_FullMethodName: {Scopes: scopes.All("orders:write")},
//			"/orders.Audit/*":                     {Scopes: scopes.All("audit")},
//		},
//		Public: []string{healthpb.Health_Check_FullMethodName},
//	})
//	server := grpc.NewServer(auth.ServerOptions()...)
//
// A method without a rule is refused, whoever calls: one that is added later is
// closed until somebody says who may call it. Health checks and reflection are
// no exception; list them as Public where they are to be open, see [Health] and
// [Reflection]. [Interceptors.Covers] finds such methods, and rules without a
// method, before the server serves.
//
// The rules may stand in the .proto, with [Options].Services:
//
//	import "accesstoken/v1/policy.proto";
//
//	service Orders {
//	  rpc Create(CreateRequest) returns (Order) {
//	    option (accesstoken.v1.policy).all_scopes = "orders:write";
//	  }
//	}
//
// A method behind it finds the caller in its context:
//
//	claims, ok := accesstoken.FromContext(ctx)
//
// A refusal carries google.rpc.ErrorInfo, google.rpc.RetryInfo when trying again
// helps, and the challenge as www-authenticate in the trailer. A method may also
// return a refusal by itself: the error of accesstoken.Deny, an accesstoken.Reason, or
// an error that matches accesstoken.Unavailable when it could not find out.
//
// A stream is authenticated when it is opened, and ends with UNAUTHENTICATED and
// TOKEN_EXPIRED when its token does, whatever its method is waiting for. (Behind
// grpc.Server.ServeHTTP, a method that sends to a client which does not read may
// be blocked for longer, and there is no challenge in the trailer: net/http lets
// none of that name through.)
//
// Put interceptors that recover from panics or trace before these; those of
// ServerOptions come first among the chained ones only if they are given first.
package grpcauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
)

// Options say who may call what.
type Options struct {
	_ [0]func()

	// Methods has the policy of a full method, "/pkg.Service/Method", or of a
	// whole service, "/pkg.Service/*". A full method goes before its service.
	// The zero Policy is a fault: write scopes.None() for any valid token.
	Methods map[string]accesstoken.Policy

	// Public lists the full methods that anybody may call. Their credentials
	// are not looked at, and they find no claims.
	Public []string

	// Services are full names, "pkg.Service", of services whose generated code is in
	// the program and whose .proto says who may call what, by the option
	// (accesstoken.v1.policy) of each method: see package policypb. A method without
	// the option needs an entry in Methods or Public, and one that has it must have
	// none there: what counts would not be seen. For the same reason Methods must not
	// have such a service as a whole.
	Services []string

	// StreamGrace is for how long a stream may go on after its token has ended
	// (exp + Leeway), so that a client can open the next one meanwhile. Zero: it
	// ends then.
	StreamGrace time.Duration

	// StreamCheck is how often a stream that is open is judged again as if it were
	// opened now, up to a tenth earlier: for tokens that may be revoked, or whose
	// end the issuer may bring forward, which introspection tells, and keys that may
	// be withdrawn. It is ended when it would not be let in, or when that cannot be
	// found out; in its grace it is let alone. Zero: the clock alone is looked at. A
	// second is the least.
	StreamCheck time.Duration
}

// Interceptors put a Validator before the methods of a server. They are
// immutable and safe for concurrent use.
type Interceptors struct {
	validator *accesstoken.Validator
	rules     map[string]rule // by full method, or "/pkg.Service/" for a whole service
	others    []string        // the fields beside Authorization that the validator looks at
	grace     time.Duration
	again     time.Duration // zero: never
}

type rule struct {
	policy accesstoken.Policy
	public bool
}

// New checks the Options and makes the Interceptors. The error reports every
// fault at once, one to a line; Options that open nothing are one.
func New(v *accesstoken.Validator, options *Options) (*Interceptors, error) {
	if v == nil {
		return nil, errors.New("grpcauth: New needs a Validator")
	}
	if options == nil || len(options.Methods)+len(options.Public)+len(options.Services) == 0 {
		return nil, errors.New("grpcauth: Options has neither Methods nor Public nor Services, so every call would be refused")
	}
	a := &Interceptors{validator: v, rules: map[string]rule{}, others: v.Fields()[1:], grace: options.StreamGrace, again: options.StreamCheck}
	faults := slices.Concat(a.addMethods(options.Methods), a.addPublic(options.Public), a.addServices(options.Services))
	if options.StreamGrace < 0 {
		faults = append(faults, fmt.Errorf("grpcauth: StreamGrace is %v: expected no negative time", options.StreamGrace))
	}
	if options.StreamCheck != 0 && options.StreamCheck < time.Second {
		faults = append(faults, fmt.Errorf("grpcauth: StreamCheck is %v: expected a second or more", options.StreamCheck))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return a, nil
}

func (a *Interceptors) addMethods(methods map[string]accesstoken.Policy) (faults []error) {
	for method, policy := range methods {
		if !isFullMethod(method) {
			faults = append(faults, fmt.Errorf("grpcauth: Methods[%q]: expected /pkg.Service/Method or /pkg.Service/*", method))
		}
		if err := policy.Err(); err != nil {
			faults = append(faults, fmt.Errorf("grpcauth: Methods[%q]: %w", method, err))
		}
		a.rules[strings.TrimSuffix(method, "*")] = rule{policy: policy}
	}
	slices.SortFunc(faults, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return faults
}

func (a *Interceptors) addPublic(methods []string) (faults []error) {
	for _, method := range methods {
		if !isFullMethod(method) || strings.HasSuffix(method, "*") {
			faults = append(faults, fmt.Errorf("grpcauth: Public %q: expected /pkg.Service/Method", method))
		}
		if _, twice := a.rules[method]; twice {
			faults = append(faults, fmt.Errorf("grpcauth: %q has two rules", method))
		}
		a.rules[method] = rule{public: true}
	}
	return faults
}

// isFullMethod reports "/service/method".
func isFullMethod(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return strings.HasPrefix(method, "/") && service != "" && name != "" &&
		!strings.Contains(name, "/") && !strings.Contains(service, "*") && (name == "*" || !strings.Contains(name, "*"))
}

// rule finds the rule of a full method: its own, or its service's. Names are
// compared whole.
func (a *Interceptors) rule(method string) (found rule, ok bool) {
	if found, ok = a.rules[method]; ok {
		return found, true
	}
	found, ok = a.rules[method[:strings.LastIndexByte(method, '/')+1]]
	return found, ok
}

// ServerOptions returns what grpc.NewServer needs: both interceptors, chained,
// and a handler for services that are not registered, so that calls of those
// are refused too and nobody learns what there is.
func (a *Interceptors) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(a.UnaryInterceptor),
		grpc.ChainStreamInterceptor(a.StreamInterceptor),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return status.Error(codes.Unimplemented, "unknown service or method")
		}),
	}
}

// UnaryInterceptor is a grpc.UnaryServerInterceptor.
func (a *Interceptors) UnaryInterceptor(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	setTrailer := func(trailer metadata.MD) { _ = grpc.SetTrailer(ctx, trailer) }
	admitted, _, err := a.authorize(ctx, info.FullMethod)
	if err != nil {
		return nil, a.refuse(ctx, err, setTrailer)
	}
	defer admitted.End()
	response, err := handler(admitted.Context, request)
	return response, a.refuseDenied(ctx, err, setTrailer)
}

// errNoRule does not name the method: a caller without a token chose the text.
var errNoRule = errors.New("the method that was called has no rule")

// authorize decides about a call.
func (a *Interceptors) authorize(ctx context.Context, method string) (adapter.Admission, rule, error) {
	rule, ok := a.rule(method)
	switch {
	case !ok:
		return adapter.Admission{}, rule, accesstoken.Deny(accesstoken.PolicyDenied, errNoRule)
	case rule.public:
		return adapter.Admission{Context: adapter.Anonymous(ctx)}, rule, nil
	}
	credentials := a.credentialsOf(ctx, method)
	admitted, err := adapter.Authorize(ctx, a.validator, method, credentials, rule.policy)
	if err != nil {
		return adapter.Admission{}, rule, err
	}
	if nonce := a.validator.Nonce(credentials); nonce != "" {
		_ = grpc.SetHeader(ctx, metadata.Pairs("dpop-nonce", nonce)) // fails if the client is gone
	}
	return admitted, rule, nil
}

// credentialsOf reads the credentials of a call. What a token may be bound to goes
// with them as a request, if any of it is looked at: to HTTP/2 a call is one, with the
// method POST and the full method for a path. No specification says what a DPoP
// proof about a call has in htm and htu; this is what follows from that.
func (a *Interceptors) credentialsOf(ctx context.Context, method string) accesstoken.Credentials {
	authorization := metadata.ValueFromIncomingContext(ctx, "authorization")
	remote, connection := sender(ctx)
	if connection == nil && !a.hasOthers(ctx) && !isDPoP(authorization) {
		return accesstoken.CredentialsFrom(http.Header{"Authorization": authorization})
	}
	header := http.Header{"Authorization": authorization}
	for _, field := range a.others {
		if lines := metadata.ValueFromIncomingContext(ctx, field); len(lines) > 0 {
			header[field] = lines
		}
	}
	return accesstoken.CredentialsOf(withSocket(ctx, &http.Request{
		Method:     http.MethodPost,
		RequestURI: method,
		Header:     header,
		RemoteAddr: remote,
		TLS:        connection,
	}))
}

// withSocket tells the request, as net/http would, that the call came over a Unix
// socket.
func withSocket(ctx context.Context, r *http.Request) *http.Request {
	from, ok := peer.FromContext(ctx)
	if !ok || from.LocalAddr == nil || from.LocalAddr.Network() != "unix" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, from.LocalAddr))
}

// isDPoP reports the scheme that needs the request, if only to be told that there is
// no proof in it.
func isDPoP(authorization []string) bool {
	const scheme = "DPoP"
	return len(authorization) == 1 && len(authorization[0]) > len(scheme) && strings.EqualFold(authorization[0][:len(scheme)], scheme)
}

// hasOthers reports whether a call has any of the fields beside Authorization.
func (a *Interceptors) hasOthers(ctx context.Context) bool {
	return slices.ContainsFunc(a.others, func(field string) bool {
		return len(metadata.ValueFromIncomingContext(ctx, field)) > 0
	})
}

// sender is the other end of the connection, and the connection if it has shown a
// certificate.
func sender(ctx context.Context) (address string, connection *tls.ConnectionState) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return "", nil
	}
	if info, _ := from.AuthInfo.(credentials.TLSInfo); len(info.State.PeerCertificates) > 0 {
		connection = &info.State
	}
	if from.Addr != nil {
		address = from.Addr.String()
	}
	return address, connection
}
