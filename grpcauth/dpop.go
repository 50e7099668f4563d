package grpcauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
)

// DPoPDialOptions returns the options with which a client sends an access token and a
// new proof (RFC 9449) with each call. Use them for one connection only. The
// connection must use TLS, because gRPC makes these calls only if the transport is
// secure.
//
//	conn, err := grpc.NewClient("api.example.com:443",
//		append(grpcauth.DPoPDialOptions(signer, token), grpc.WithTransportCredentials(tls))...)
//
// token returns the access token, bound to the signer's key, for one call. The proof
// is for the method POST and the URL of https, the authority of the call and the full
// method, for example https://api.example.com/orders.Orders/Create. The server's
// dpop.Config.URLs must have that authority.
//
// If a server demands a nonce, a unary call is made once more with the nonce. A
// server demands a nonce if the call ends with UNAUTHENTICATED and a nonce in the
// trailer dpop-nonce. There must also be an ErrorInfo of this package with
// DPOP_NONCE_REQUIRED. If there is no ErrorInfo of this package, a trailer
// www-authenticate with use_dpop_nonce will do. If a call is refused for another
// reason, it is not made again, even if the refusal has a nonce: its method may have
// done its work. A stream is not opened again, because its first messages are gone.
// Once its RecvMsg has returned the refusal, the next call has the nonce.
//
// If a firewall has forgotten a connection, calls on it get no answer. On Linux the
// connection is closed if the kernel gets no acknowledgement of sent data for 8 s.
// Elsewhere, and behind a proxy that acknowledges the data, only a ping without an
// answer shows this soon. If calls are under way, a ping is sent when nothing was
// received for a little more than 5 minutes. By default, a gRPC server disconnects
// clients that ping more often. If you want to find dead connections sooner, give the
// server a [keepalive.EnforcementPolicy] whose MinTime is 10 s. Then give the client
// this option after the returned options, which it overrides:
//
//	grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second})
func DPoPDialOptions(signer *dpop.Signer, token func(context.Context) (string, error)) []grpc.DialOption {
	s := &proofs{signer: signer, token: token}
	return []grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithPerRPCCredentials(s),
		grpc.WithChainUnaryInterceptor(s.callAgain),
		grpc.WithChainStreamInterceptor(s.watch),
	}
}

// pingAfter is the minimum that a gRPC server allows by default, plus 10 s so that
// pings which arrive at unequal intervals are not too frequent. On Linux, gRPC also
// sets the socket option TCP_USER_TIMEOUT (RFC 5482) to pingTimeout.
const (
	pingAfter   = 5*time.Minute + 10*time.Second
	pingTimeout = 8 * time.Second
)

// proofs are the credentials of a connection's calls.
type proofs struct {
	signer *dpop.Signer
	token  func(context.Context) (string, error)
	nonce  atomic.Pointer[string] // the last nonce that keepNonce stored; nil: none yet
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (p *proofs) RequireTransportSecurity() bool { return true }

// GetRequestMetadata implements credentials.PerRPCCredentials. gRPC calls it for each
// attempt, its own retries included, so each attempt has a new proof.
func (p *proofs) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	call, ok := credentials.RequestInfoFromContext(ctx)
	switch {
	case p.signer == nil || p.token == nil:
		return nil, errors.New("grpcauth: DPoPDialOptions needs a Signer and a token function")
	case !ok || len(uri) != 1:
		return nil, errors.New("grpcauth: gRPC did not provide the method and URI of the call, which a proof needs")
	}
	token, err := p.token(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("grpcauth: the token function returned no access token: %w", err)
	case token == "":
		return nil, errors.New("grpcauth: the token function returned an empty access token")
	}
	// The URI has the authority and the service, but not the method.
	target := uri[0] + call.Method[strings.LastIndexByte(call.Method, '/'):]
	proof, err := p.signer.Sign(dpop.Proof{Method: http.MethodPost, URL: target, Token: token, Nonce: p.lastNonce()})
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "DPoP " + token, "dpop": proof}, nil
}

func (p *proofs) lastNonce() string {
	if nonce := p.nonce.Load(); nonce != nil {
		return *nonce
	}
	return ""
}

// callAgain is a grpc.UnaryClientInterceptor. If a call was refused for a missing or
// old nonce, and the refusal has a new nonce, callAgain makes the call once more.
func (p *proofs) callAgain(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	var header, trailer metadata.MD
	options = append(slices.Clip(options), grpc.Header(&header), grpc.Trailer(&trailer))
	err := invoke(ctx, method, request, reply, conn, options...)
	p.keepNonce(header)
	if !p.keepNonce(trailer) || !asksForNonce(err, trailer) {
		return err
	}
	err = invoke(ctx, method, request, reply, conn, options...)
	p.keepNonce(header)
	p.keepNonce(trailer)
	return err
}

// asksForNonce reports whether a refusal says that it is only for the nonce, so that
// the method has not begun. A nonce in the trailer is not enough, because any
// response may bring a nonce (RFC 9449 §8.2). The ErrorInfo of this package decides if
// there is one, and otherwise the challenge: a server behind net/http sends no challenge,
// and a server without this package sends no such ErrorInfo.
func asksForNonce(err error, trailer metadata.MD) bool {
	refused := status.Convert(err)
	if refused.Code() != codes.Unauthenticated {
		return false
	}
	for _, detail := range refused.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return info.GetReason() == string(accesstoken.DPoPNonceRequired)
		}
	}
	hasError := func(challenge string) bool { return strings.Contains(challenge, "use_dpop_nonce") }
	return slices.ContainsFunc(trailer.Get("www-authenticate"), hasError)
}

// mostNonce is the longest nonce that is stored, in bytes. It is limited, because
// each call's header has to hold the nonce.
const mostNonce = 1 << 10

// keepNonce stores the nonce of a header or trailer, and reports whether it has
// stored one. If there are several nonces, or the nonce is longer than mostNonce, it
// stores none.
func (p *proofs) keepNonce(answer metadata.MD) bool {
	nonces := answer.Get("dpop-nonce")
	if len(nonces) != 1 || nonces[0] == "" || len(nonces[0]) > mostNonce {
		return false
	}
	p.nonce.Store(&nonces[0])
	return true
}

// watch is a grpc.StreamClientInterceptor that stores the nonces of the header and
// trailer of streams.
func (p *proofs) watch(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		return nil, err
	}
	return &watched{ClientStream: stream, proofs: p}, nil
}

type watched struct {
	grpc.ClientStream
	proofs *proofs
	begun  bool
}

// RecvMsg implements grpc.ClientStream. A nonce may be in the header, which is there
// once RecvMsg has succeeded, or in the trailer, which is there once it has failed.
func (w *watched) RecvMsg(m any) error {
	err := w.ClientStream.RecvMsg(m)
	switch {
	case err != nil:
		w.proofs.keepNonce(w.Trailer())
	case !w.begun:
		w.begun = true
		if header, err := w.Header(); err == nil {
			w.proofs.keepNonce(header)
		}
	}
	return err
}
