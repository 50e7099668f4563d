package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// ErrNotPublic is what a client of [NewPublic] refuses an address with. Asking
// again helps only once the name leads elsewhere.
var ErrNotPublic = errors.New("not a public address")

// NewPublic returns a client that connects to public unicast addresses only, for
// URLs which somebody else may choose (RFC 8725 §3.10, RFC 9728 §7.7). Loopback,
// link-local, private, shared, multicast, documentation and reserved addresses
// are refused with [ErrNotPublic], and so are those in which an IPv4 address is
// embedded: NAT64, 6to4, Teredo. So a program that has nothing but IPv6 reaches
// no IPv4 server with this client; and a NAT64 prefix that an operator took from
// addresses of their own (RFC 6052 §2.2) is not told from other public ones.
//
// The address is judged at each connection, after the name was resolved: a name
// that leads elsewhere the second time (DNS rebinding) is of no help. That is
// why the client knows no proxy, not even one from the environment: a proxy
// would resolve the name, and nothing would be left to judge here. Neither does
// it take anything else from http.DefaultTransport.
func NewPublic() *Client {
	return newPublic(net.Dialer{})
}

// newPublic gets the dialer from outside so that a test can bring a resolver.
func newPublic(dialer net.Dialer) *Client {
	dialer.ControlContext = refuseNotPublic
	return newOwn(&http.Transport{
		DialContext:       dialer.DialContext,
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   90 * time.Second,
	})
}

// public knows the special-purpose registries of IANA: of IPv4, everything but
// what they list is public; of IPv6, nothing outside 2000::/3 is.
var public = ssrf.New(
	ssrf.WithAnyPort(),
	ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")), // the platform of Azure, inside every virtual network
)

// refuseNotPublic runs between the making of a socket and its connect.
func refuseNotPublic(_ context.Context, network, address string, socket syscall.RawConn) error {
	if public.Safe(network, address, socket) != nil {
		return &notPublicError{address}
	}
	return nil
}

// A notPublicError finds its way through the errors of net and net/http.
type notPublicError struct{ address string }

func (e *notPublicError) Error() string {
	host, _, err := net.SplitHostPort(e.address)
	if err != nil {
		host = e.address
	}
	return fmt.Sprintf("the host leads to %s, which is %v; a server inside your own network cannot be asked this way", host, ErrNotPublic)
}

func (e *notPublicError) Unwrap() error { return ErrNotPublic }
