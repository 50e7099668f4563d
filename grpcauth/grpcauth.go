// Package grpcauth protects gRPC services, unary and streaming, with access tokens.
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
// A method without a rule is refused for every caller, so a method that you add later
// stays closed until you give it a rule. This includes health checks and reflection:
// if they should be open, list them as Public, see [Health] and [Reflection].
// [Interceptors.Covers] finds methods without a rule, and rules without a method,
// before the server serves.
//
// You can also write the rules in the .proto, and list the service in
// [Options].Services:
//
//	import "accesstoken/v1/policy.proto";
//
//	service Orders {
//	  rpc Create(CreateRequest) returns (Order) {
//	    option (accesstoken.v1.policy).all_scopes = "orders:write";
//	  }
//	}
//
// A method finds the claims of its caller in its context:
//
//	claims, ok := accesstoken.FromContext(ctx)
//
// A refusal carries google.rpc.ErrorInfo. If its code is UNAVAILABLE, it also carries
// google.rpc.RetryInfo. If it has a challenge, this is www-authenticate in the
// trailer. A method may also return a refusal itself: the error of accesstoken.Deny,
// or an accesstoken.Reason. If it could not complete a check of its own, it should
// return an error that matches accesstoken.Unavailable.
//
// A stream is authenticated when it is opened. When its token ends, the stream ends
// with UNAUTHENTICATED and TOKEN_EXPIRED, even if its method is blocked. (Behind
// grpc.Server.ServeHTTP, a method that sends to a client which does not read may stay
// blocked for longer. There is also no challenge in the trailer, because net/http
// drops a trailer of that name.)
//
// If a call has no token, Config.Authenticate of the Validator may know its caller, for
// example by an API key in the metadata. With StreamCheck, an open stream is asked about
// again, and it ends with the Expiry that it was opened with.
//
// Interceptors that trace, or recover from panics, should come before the
// interceptors of this package. To chain yours first, pass them to grpc.NewServer
// before the options of ServerOptions.
package grpcauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

// Options set which callers may call which methods.
type Options struct {
	_ [0]func()

	// Methods maps a full method, "/pkg.Service/Method", or a whole service,
	// "/pkg.Service/*", to its policy. If both are listed, the full method's policy
	// applies. A Policy without Scopes is a fault: write scopes.None() to accept any
	// valid token.
	Methods map[string]accesstoken.Policy

	// Public lists the full methods that every caller may call. The credentials of
	// such a call are ignored, and the method finds no claims.
	Public []string

	// Services lists services, for example "pkg.Service". Their generated code must be
	// in the program, and their .proto sets the rule of each method by the option
	// (accesstoken.v1.policy), see package policypb. If a method has no option, it needs
	// an entry in Methods or Public. If it has the option, it must not have an entry,
	// because a reader would not see which of the two applies. Methods must not have
	// "/pkg.Service/*" either, because it would open methods without the option.
	Services []string

	// StreamGrace is how long a stream may go on after its token has ended (exp +
	// Leeway). A client can use that time to open the next stream. If zero, the
	// stream ends with its token.
	StreamGrace time.Duration

	// StreamCheck is how often an open stream is checked as if it were opened now.
	// Each interval is shortened by up to a tenth, at random. You should set it if
	// tokens may be revoked or cut short, which introspection reports, or if keys may
	// be withdrawn. If the check refuses the stream, or cannot be completed, the
	// stream ends. During StreamGrace the stream is not checked. Zero means that only
	// the clock is checked; the minimum is a second.
	StreamCheck time.Duration
}

// Interceptors put a Validator in front of the methods of a server. They are
// immutable and safe for concurrent use.
type Interceptors struct {
	validator *accesstoken.Validator
	watching  *accesstoken.Validator // for looks at open streams
	rules     map[string]rule        // by full method, or "/pkg.Service/" for a whole service
	field     string                 // in which the token comes, in canonical form
	key       string                 // of the field in the metadata
	others    []string               // the other fields that the validator reads
	own       bool                   // calls without a token may have a caller, by Config.Authenticate
	grace     time.Duration
	again     time.Duration // zero: never
}

type rule struct {
	policy accesstoken.Policy
	public bool
}

// New checks the Options and returns the Interceptors. The error lists the faults of
// the Options, one per line. If Methods, Public and Services are all empty, that
// alone is the error.
func New(v *accesstoken.Validator, options *Options) (*Interceptors, error) {
	if v == nil {
		return nil, errors.New("grpcauth: New needs a Validator")
	}
	if options == nil || len(options.Methods)+len(options.Public)+len(options.Services) == 0 {
		return nil, errors.New("grpcauth: Options has neither Methods nor Public nor Services, so every call would be refused")
	}
	v = adapter.Over(v, adapter.GRPC)
	a := &Interceptors{validator: v, watching: adapter.Watching(v), rules: map[string]rule{}, own: adapter.Authenticates(v), grace: options.StreamGrace, again: options.StreamCheck}
	a.field, a.others = v.Fields()[0], v.Fields()[1:]
	a.key = strings.ToLower(a.field)
	faults := slices.Concat(a.addMethods(options.Methods), a.addPublic(options.Public), a.addServices(options.Services))
	if options.StreamGrace < 0 {
		faults = append(faults, fmt.Errorf("grpcauth: StreamGrace is %v: expected zero or more", options.StreamGrace))
	}
	if options.StreamCheck != 0 && options.StreamCheck < time.Second {
		faults = append(faults, fmt.Errorf("grpcauth: StreamCheck is %v: expected zero, or a second or more", options.StreamCheck))
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
		if err := a.validator.PolicyErr(policy); err != nil {
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

// isFullMethod reports whether method is /service/method or /service/*.
func isFullMethod(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return strings.HasPrefix(method, "/") && service != "" && name != "" &&
		!strings.Contains(name, "/") && !strings.Contains(service, "*") && (name == "*" || !strings.Contains(name, "*"))
}

// rule returns the rule of a full method or, if the method has no rule, the rule of
// its service. Names match only as a whole.
func (a *Interceptors) rule(method string) (found rule, ok bool) {
	if found, ok = a.rules[method]; ok {
		return found, true
	}
	found, ok = a.rules[method[:strings.LastIndexByte(method, '/')+1]]
	return found, ok
}

// ServerOptions returns the options for grpc.NewServer: both interceptors, chained,
// and a handler for unknown services. Because of the handler, a call to a service
// that is not registered is refused like a call to a method without a rule.
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
		return nil, a.refuse(ctx, a.validator, err, setTrailer)
	}
	defer admitted.End()
	response, err := handler(admitted.Context, request)
	return response, a.refuseDenied(admitted.Context, err, setTrailer)
}

// errNoRule does not contain the method's name, because any caller, even without a
// token, can choose that name.
var errNoRule = errors.New("the called method has no rule; add one to Methods, Public or its .proto")

// authorize decides whether a call may pass.
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

// credentialsOf reads the credentials of a call. If the call has the scheme DPoP, or
// anything else that a token can be bound to, the credentials include an HTTP
// request. As for every call over HTTP/2, the request's method is POST and its path
// is the full method. No specification defines the htm and htu of a proof for a gRPC
// call, so they are the method and URL of this request. If the call has no token, and
// Config.Authenticate is set, they include a request with all that the call has.
func (a *Interceptors) credentialsOf(ctx context.Context, method string) accesstoken.Credentials {
	tokens := metadata.ValueFromIncomingContext(ctx, a.key)
	if a.own && len(tokens) == 0 {
		return a.validator.CredentialsOf(wholeRequest(ctx, method))
	}
	remote, connection := sender(ctx)
	if a.key == "authorization" && connection == nil && !a.hasOthers(ctx) && !isDPoP(tokens) {
		return accesstoken.CredentialsFrom(http.Header{"Authorization": tokens})
	}
	header := http.Header{a.field: tokens}
	for _, field := range a.others {
		if lines := metadata.ValueFromIncomingContext(ctx, field); len(lines) > 0 {
			header[field] = lines
		}
	}
	return a.validator.CredentialsOf(withSocket(ctx, &http.Request{
		Method:     http.MethodPost,
		RequestURI: method,
		Header:     header,
		RemoteAddr: remote,
		TLS:        connection,
	}))
}

// wholeRequest returns a call as the request that Config.Authenticate is asked about. Of
// the metadata, it leaves out names that end in "-bin", because gRPC has decoded their
// values, so they may be no text.
func wholeRequest(ctx context.Context, method string) *http.Request {
	pairs, _ := metadata.FromIncomingContext(ctx) // a copy
	header := http.Header{}
	for name, values := range pairs {
		if !strings.HasPrefix(name, ":") && !strings.HasSuffix(name, "-bin") {
			header[http.CanonicalHeaderKey(name)] = values
		}
	}
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: method}, RequestURI: method,
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: header, Host: strings.Join(pairs.Get(":authority"), ""), Body: http.NoBody,
	}
	if from, ok := peer.FromContext(ctx); ok {
		if from.Addr != nil {
			r.RemoteAddr = from.Addr.String()
		}
		if info, ok := from.AuthInfo.(credentials.TLSInfo); ok {
			r.TLS = &info.State
		}
	}
	return withSocket(ctx, r.WithContext(ctx))
}

// withSocket marks the request, as net/http would, if the call came over a Unix
// socket.
func withSocket(ctx context.Context, r *http.Request) *http.Request {
	from, ok := peer.FromContext(ctx)
	if !ok || from.LocalAddr == nil || from.LocalAddr.Network() != "unix" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, from.LocalAddr))
}

// isDPoP reports whether the only Authorization field begins with DPoP. Credentials
// with the scheme DPoP need the request even if the request has no proof, so that the
// refusal reports the missing proof.
func isDPoP(authorization []string) bool {
	const scheme = "DPoP"
	return len(authorization) == 1 && len(authorization[0]) > len(scheme) && strings.EqualFold(authorization[0][:len(scheme)], scheme)
}

// hasOthers reports whether a call has any of the fields besides that of the token.
func (a *Interceptors) hasOthers(ctx context.Context) bool {
	return slices.ContainsFunc(a.others, func(field string) bool {
		return len(metadata.ValueFromIncomingContext(ctx, field)) > 0
	})
}

// sender returns the address of the other end of the connection. It returns the
// connection only if the other end has shown a certificate.
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
