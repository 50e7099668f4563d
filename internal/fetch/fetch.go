// Package fetch makes outbound HTTP requests that are bounded in time and size
// and are never redirected.
package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/internal/pool"
)

// DefaultTimeout is how long a whole exchange may take when [Request.Timeout]
// is zero.
const DefaultTimeout = 5 * time.Second

const maxIdle = 64

// ErrBroken is what an exchange fails with that began and did not end well: the
// same server may answer another request.
var ErrBroken = errors.New("the exchange broke off")

// ErrTooLarge is what an answer longer than [Request.MaxBytes] is refused with.
// Every other error of [Client.Do] means that no whole answer came.
var ErrTooLarge = errors.New("the answer is too large")

// liveness has a dead connection closed within 4 s, which is less than
// [DefaultTimeout], so that what was asked on it can be asked once more in time.
// What goes over these connections is small: a ping never waits behind a long body.
var liveness = pool.Liveness{Silence: 2 * time.Second, Ping: 2 * time.Second}

// A Client makes requests. It is safe for concurrent use.
type Client struct {
	http http.Client
	pool *pool.Transport // nil when the connections are those of another's RoundTripper
}

// New returns a client that goes the way of base, or one with a transport of
// its own when base is nil. base is copied, and so is its transport, as
// [pool.Copy] does; another kind of RoundTripper is used as it is.
//
// Of a base, its own limits hold beside those of each [Request]: its Timeout,
// and the header size of its transport, 10 MiB for an [http.Transport] that sets
// none. Nothing here can bound the header that another transport reads. One of
// our own takes 64 KiB.
func New(base *http.Client) *Client {
	if base == nil {
		return newOwn(newTransport())
	}
	client := *base
	copied, ok := pool.Copy(base.Transport, liveness)
	if ok {
		client.Transport = copied
	}
	return newClient(client, copied)
}

// NewWithCertificate is New(nil) with a certificate for servers that ask for one.
func NewWithCertificate(certificate tls.Certificate) *Client {
	transport := newTransport()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = new(tls.Config)
	}
	// In Certificates, it would be held back from a server whose list of
	// authorities does not have its issuer, as that of a self-signed one.
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &certificate, nil
	}
	return newOwn(transport)
}

func newOwn(transport *http.Transport) *Client {
	bound(transport)
	own := pool.New(transport, liveness)
	return newClient(http.Client{Transport: own}, own)
}

func newClient(client http.Client, pool *pool.Transport) *Client {
	// A redirect would carry credentials to, or take keys from, a place that
	// nobody configured, so its 3xx is returned as the answer that it is.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: client, pool: pool}
}

// CannotPing reports that nothing here finds out when an HTTP/2 connection is dead:
// the connections are those of a RoundTripper that is no [http.Transport].
func (c *Client) CannotPing() bool { return c.pool == nil }

// newTransport returns one that goes out as the rest of the program does: its
// proxy, its dialer, its roots.
func newTransport() *http.Transport {
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		return standard.Clone()
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}
}

// connectTimeout is for a connection, name resolution included, and again for
// its TLS handshake. A server that never answers a SYN must not take the whole
// time of a longer exchange.
const connectTimeout = 5 * time.Second

// bound sets the limits of a transport of our own.
func bound(transport *http.Transport) {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = new(tls.Config)
	}
	transport.TLSClientConfig.MinVersion = max(transport.TLSClientConfig.MinVersion, tls.VersionTLS12) // RFC 9325 §3.1.1
	transport.TLSHandshakeTimeout = connectTimeout
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.MaxIdleConnsPerHost = maxIdle // of net/http's 2, the rest of 64 calls at a time would dial anew each time
	//lint:ignore SA1019 a program may still set it on http.DefaultTransport
	if transport.DialContext == nil && transport.Dial == nil {
		transport.DialContext = new(net.Dialer).DialContext
	}
	if dial := transport.DialContext; dial != nil {
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return dial(ctx, network, address)
		}
	}
}

// Close closes the idle connections of our own pool. Those of a RoundTripper that
// the caller gave may have other users.
func (c *Client) Close() {
	if c.pool != nil {
		c.pool.CloseIdleConnections()
	}
}

// A Request is what [Client.Do] asks.
type Request struct {
	URL      string
	Header   http.Header   // read only; may be nil
	Form     url.Values    // not nil: sent by POST as application/x-www-form-urlencoded; nil: GET
	Timeout  time.Duration // for everything from dialing to the last byte, longer than DefaultTimeout or not; zero: DefaultTimeout
	MaxBytes int           // the longest body accepted, decompressed

	// Again returns what to ask in place of this, once, if the connection, which
	// was an older one, was closed before anything of an answer came (RFC 9110
	// §9.2.2). It is for a form that is safe to send twice; what is good for one
	// use, such as a client assertion, it makes anew. If it is nil, a form is not
	// sent again, and a GET is, as it is. What it returns has the rest of this
	// request's time, and no Again of its own. If it fails, the error is that of
	// the first exchange.
	Again func(context.Context) (Request, error)
}

// A Response is a whole answer, whatever its status: a 304 (Not Modified) comes
// back as one, without a Body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes one request. Its errors are sentences without query, credentials or
// body. One that matches a context error means that ctx ended, never that the
// request's own Timeout did; one that matches [ErrNotPublic], that a client of
// [NewPublic] went nowhere. If an answer had begun, its status and header are
// returned beside the error. A panic in a caller's transport comes back as an
// error.
func (c *Client) Do(ctx context.Context, r Request) (response Response, err error) {
	bounded, cancel := context.WithTimeout(ctx, timeout(r))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			response, err = Response{}, fmt.Errorf("the HTTP client panicked: %s", panics.Describe(p))
		}
		if err != nil {
			err = r.explain(ctx, bounded, err)
		}
	}()
	response, unanswered, err := c.exchange(bounded, r)
	if !unanswered {
		return response, err
	}
	again, ok := r.again(bounded)
	if !ok {
		return response, err
	}
	response, _, err = c.exchange(bounded, again)
	return response, err
}

// exchange sends a request and reads the answer. It reports whether there was none
// because the connection was closed, so that the request may be sent again.
func (c *Client) exchange(ctx context.Context, r Request) (response Response, unanswered bool, err error) {
	ctx, seen := pool.Watch(ctx)
	request, err := r.build(ctx)
	if err != nil {
		return Response{}, false, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		unanswered = seen.Unanswered(err)
		if unanswered && c.pool != nil {
			c.pool.Refresh(seen)
		}
		return Response{}, unanswered, err
	}
	defer answer.Body.Close()
	body, err := read(answer.Body, r.MaxBytes)
	if err == nil {
		err = ctx.Err() // a body that was cut off may look whole
	}
	return Response{answer.StatusCode, answer.Header, body}, false, err
}

func (r Request) again(ctx context.Context) (Request, bool) {
	if r.Again == nil {
		return r, r.Form == nil
	}
	again, err := r.Again(ctx)
	return again, err == nil
}

func timeout(r Request) time.Duration {
	if r.Timeout > 0 {
		return r.Timeout
	}
	return DefaultTimeout
}

func (r Request) build(ctx context.Context) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if r.Form != nil {
		method, body = http.MethodPost, strings.NewReader(r.Form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, r.URL, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	if r.Form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return request, nil
}

// read reads one byte more than it may keep: a cut-off answer could still parse.
func read(body io.Reader, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return data, nil
}

// explain makes an error that may be shown: *url.Error prints the query, and
// net/http quotes what it could not parse. Only the errors that callers may
// test are wrapped.
func (r Request) explain(ctx, bounded context.Context, err error) error {
	method := http.MethodGet
	if r.Form != nil {
		method = http.MethodPost
	}
	where := method + " " + Redact(r.URL)
	switch {
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%s: %w", where, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", where, ctx.Err())
	case bounded.Err() != nil:
		return fmt.Errorf("%s: no answer within %v", where, timeout(r))
	}
	if refused := (*notPublicError)(nil); errors.As(err, &refused) {
		return fmt.Errorf("%s: %w", where, refused)
	}
	if isUnconnected(err) {
		return fmt.Errorf("%s: %s", where, r.cause(err))
	}
	return &brokenError{where + ": " + r.cause(err)}
}

// isUnconnected reports that the server was never spoken to.
func isUnconnected(err error) bool {
	dial := (*net.OpError)(nil)
	certificate := (*tls.CertificateVerificationError)(nil)
	return errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &certificate)
}

// A brokenError matches [ErrBroken].
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }
func (e *brokenError) Unwrap() error { return ErrBroken }

func (r Request) cause(err error) string {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	text := err.Error()
	if u, parseErr := url.Parse(r.URL); parseErr != nil || u.RawQuery != "" && strings.Contains(text, u.RawQuery) {
		return "the request could not be made"
	}
	if strings.Contains(text, "malformed HTTP") || strings.Contains(text, "malformed MIME") {
		return "the answer is not HTTP"
	}
	if r.Form != nil && !isOurs(err) {
		return "the exchange failed" // the text may echo what was sent: a token, a secret
	}
	return strings.Map(printable, text[:min(len(text), 256)])
}

// isOurs reports an error of this side of the connection, whose text the server
// has no part in.
func isOurs(err error) bool {
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &dial) || errors.As(err, &certificate)
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// A StatusError is an answer whose status makes it useless.
type StatusError struct {
	URL    string
	Status int
	After  time.Duration // how long the server asks to be left alone; zero when it does not
}

// StatusError returns the error for an answer to r that should have been a 200.
func (r Request) StatusError(response Response) *StatusError {
	e := &StatusError{URL: Redact(r.URL), Status: response.Status}
	// RFC 9110 §10.2.3, RFC 6585 §4.
	if e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests {
		e.After = retryAfter(response.Header.Get("Retry-After"), time.Now())
	}
	return e
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered with status %d", e.URL, e.Status)
}

// RetryAfter returns After.
func (e *StatusError) RetryAfter() time.Duration { return e.After }

// retryAfter reads both forms of the field (RFC 9110 §10.2.3): seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	const most = 24 * time.Hour
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, most)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), most)
}
