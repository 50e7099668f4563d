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

// ErrNotPublic is matched by the error if a client of [NewPublic] refuses an address. A
// retry can succeed only if the name then resolves to another address.
var ErrNotPublic = errors.New("not a public address")

// NewPublic returns a client that connects only to public unicast addresses, for URLs
// that an outside party can choose (RFC 8725 §3.10, RFC 9728 §7.7). Loopback,
// link-local, private, shared, multicast, documentation and reserved addresses are
// refused with [ErrNotPublic], and so are IPv6 addresses that embed an IPv4 address:
// NAT64, 6to4, Teredo. So if a program has only IPv6, it cannot reach IPv4 servers with
// this client. If an operator uses a NAT64 prefix from their own public addresses (RFC
// 6052 §2.2), the prefix cannot be recognized, and its addresses count as public.
//
// The address is checked at each connection, after the name was resolved, so a name
// that resolves differently the second time (DNS rebinding) does not get around the
// check. The client uses no proxy, not even one from the environment, because a proxy
// would resolve the name itself. Nor does the client take other settings from
// http.DefaultTransport.
func NewPublic() *Client {
	return newPublic(net.Dialer{})
}

// newPublic takes the dialer as a parameter, so that a test can set its resolver.
func newPublic(dialer net.Dialer) *Client {
	dialer.ControlContext = refuseNotPublic
	return newOwn(&http.Transport{
		DialContext:       dialer.DialContext,
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   90 * time.Second,
	})
}

// public applies IANA's special-purpose address registries. An IPv4 address is public
// if the registries do not list it. An IPv6 address must also be in 2000::/3.
var public = ssrf.New(
	ssrf.WithAnyPort(),
	ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")), // the platform of Azure, inside every virtual network
)

// refuseNotPublic runs after a socket is created and before it connects.
func refuseNotPublic(_ context.Context, network, address string, socket syscall.RawConn) error {
	if public.Safe(network, address, socket) != nil {
		return &notPublicError{address}
	}
	return nil
}

// A notPublicError can be found with errors.As in the errors of net and net/http.
type notPublicError struct{ address string }

func (e *notPublicError) Error() string {
	host, _, err := net.SplitHostPort(e.address)
	if err != nil {
		host = e.address
	}
	return fmt.Sprintf("the host resolves to %s, which is %v; PublicAddressesOnly refuses servers inside your own network", host, ErrNotPublic)
}

func (e *notPublicError) Unwrap() error { return ErrNotPublic }
