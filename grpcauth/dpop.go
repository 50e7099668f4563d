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

// DPoPDialOptions returns what a client needs to send an access token along with
// each call, and a new proof for it (RFC 9449). They are for one connection, which
// has to be one over TLS: no call is made over another.
//
//	conn, err := grpc.NewClient("api.example.com:443",
//		append(grpcauth.DPoPDialOptions(signer, token), grpc.WithTransportCredentials(tls))...)
//
// token returns the access token, bound to the signer's key, for one call. What a
// proof is about is the method POST and https, the authority of the call and the
// full method; the server's dpop.Config.URLs has to have that authority.
//
// When a server asks for a nonce, a unary call is made once more with it: a nonce comes
// in the trailer dpop-nonce of an UNAUTHENTICATED call, whose ErrorInfo, from this
// package, is DPOP_NONCE_REQUIRED, or whose trailer www-authenticate has the error
// use_dpop_nonce. No other refusal that brings a nonce has a call made again: its method
// may have done its work. A stream is not opened again: its first messages are gone. It
// ends with UNAUTHENTICATED and DPOP_NONCE_REQUIRED, and one that is opened after that
// has the nonce.
//
// A connection that a firewall has forgotten swallows calls. On Linux it is closed
// when the kernel has had no acknowledgement of what was sent for 8 s; elsewhere, and
// behind a proxy that does acknowledge it, only when a ping has no answer. Pings are
// sent while calls are under way and nothing has come for 5 minutes, since a gRPC
// server by default disconnects clients that ping more often. To find out sooner, give
// the server a [keepalive.EnforcementPolicy] whose MinTime is 10 s, and the client, after
// these options, which it then overrides,
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

// pingAfter is what a server allows that sets no policy of its own, and 10 s more, so
// that pings which arrive at unequal intervals do not offend it. gRPC makes pingTimeout
// the TCP_USER_TIMEOUT of the socket (RFC 5482) where there is one.
const (
	pingAfter   = 5*time.Minute + 10*time.Second
	pingTimeout = 8 * time.Second
)

// proofs are the credentials of a connection's calls.
type proofs struct {
	signer *dpop.Signer
	token  func(context.Context) (string, error)
	nonce  atomic.Pointer[string] // the last one that the server gave; nil: none
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (p *proofs) RequireTransportSecurity() bool { return true }

// GetRequestMetadata implements credentials.PerRPCCredentials. gRPC calls it for
// each attempt, those that it makes by itself too, so none has an old proof.
func (p *proofs) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	call, ok := credentials.RequestInfoFromContext(ctx)
	switch {
	case p.signer == nil || p.token == nil:
		return nil, errors.New("grpcauth: DPoPDialOptions needs a Signer and a token function")
	case !ok || len(uri) != 1:
		return nil, errors.New("grpcauth: gRPC does not say which call a proof is for")
	}
	token, err := p.token(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("grpcauth: there is no access token to send: %w", err)
	case token == "":
		return nil, errors.New("grpcauth: the token function returned an empty access token")
	}
	// The URI has the authority and the service, and no method.
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

// callAgain is a grpc.UnaryClientInterceptor that makes a call once more if it was
// refused for its nonce, and another came with the refusal.
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

// asksForNonce reports that a call was refused for its nonce alone, before its method
// began. Any answer may bring a nonce (RFC 9449 §8.2). A server of net/http sends no
// challenge, and one that is not of this package no ErrorInfo of it.
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

// mostNonce is room for what servers make, and leaves most of a header's for the rest.
const mostNonce = 1 << 10

// keepNonce keeps the nonce that the header of an accepted call has, or the trailer of
// a refused one, and reports whether there is one.
func (p *proofs) keepNonce(answer metadata.MD) bool {
	nonces := answer.Get("dpop-nonce")
	if len(nonces) != 1 || nonces[0] == "" || len(nonces[0]) > mostNonce {
		return false
	}
	p.nonce.Store(&nonces[0])
	return true
}

// watch is a grpc.StreamClientInterceptor that keeps the nonces that streams bring.
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

// RecvMsg implements grpc.ClientStream. There is a header once it has succeeded, and
// a trailer once it has failed.
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
