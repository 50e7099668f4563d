package spiffeauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/accesstoken/accesstoken"
)

// A Peer demands that the client certificate of the connection is an X509-SVID of the
// workload that the token names, so that a stolen JWT-SVID is of no use elsewhere. Make
// one with [MatchPeer]. It is safe for concurrent use.
type Peer struct {
	bundles x509bundle.Source
	proxies []spiffeid.ID
}

// MatchPeer makes a Peer. bundles verify the certificates; a go-spiffe
// workloadapi.X509Source or BundleSource is one. proxies are the SPIFFE IDs of proxies
// that pass on the tokens of others. Each of them can use every token that it sees.
//
// Set [Peer.Accept] as the issuer's Accept. For net/http and Echo, set [Peer.ConnContext]
// as http.Server.ConnContext as well; without it every token is refused. The server must
// demand a client certificate, as tls.RequireAnyClientCert and go-spiffe's tlsconfig do.
func MatchPeer(bundles x509bundle.Source, proxies ...string) (*Peer, error) {
	if bundles == nil {
		return nil, errors.New("spiffeauth: bundles is nil; no certificate could be verified")
	}
	p := &Peer{bundles: bundles}
	for _, proxy := range proxies {
		id, err := spiffeid.FromString(proxy)
		if err != nil || id.Path() == "" {
			return nil, fmt.Errorf("spiffeauth: %q is not the SPIFFE ID of a workload; name the proxy", proxy)
		}
		p.proxies = append(p.proxies, id)
	}
	return p, nil
}

type connKey struct{}

// ConnContext keeps the connection for Accept. It is for http.Server.ConnContext.
func (p *Peer) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// Accept is for accesstoken.Issuer.Accept. It verifies the certificate on every request,
// because the handshake may not have done so. If the certificate is missing, not trusted
// or another workload's, the token is refused with BindingMismatch.
func (p *Peer) Accept(ctx context.Context, claims accesstoken.Claims) error {
	state := stateOf(ctx)
	if state == nil || len(state.PeerCertificates) == 0 {
		return mismatch("the connection has no client certificate")
	}
	id, _, err := x509svid.Verify(state.PeerCertificates, p.bundles)
	switch {
	case err != nil:
		return mismatch("the client certificate is not a trusted X509-SVID")
	case id.String() == claims.Subject, slices.Contains(p.proxies, id):
		return nil
	}
	return mismatch("the client certificate belongs to neither the workload in the token nor a listed proxy")
}

func mismatch(why string) error {
	return fmt.Errorf("spiffeauth: %s: %w", why, accesstoken.BindingMismatch)
}

// stateOf returns the TLS state of a gRPC call or, by ConnContext, of an HTTP request.
func stateOf(ctx context.Context) *tls.ConnectionState {
	if from, ok := peer.FromContext(ctx); ok {
		if info, ok := from.AuthInfo.(credentials.TLSInfo); ok {
			return &info.State
		}
	}
	conn, ok := ctx.Value(connKey{}).(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := conn.ConnectionState()
	return &state
}
