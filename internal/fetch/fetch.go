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

// ErrBroken is matched by the error of an exchange that reached the server and then
// failed. The same server may answer another request.
var ErrBroken = errors.New("the exchange broke off")

// ErrTooLarge is matched by the error if an answer is longer than [Request.MaxBytes].
// Every other error of [Client.Do] means that no complete answer came.
var ErrTooLarge = errors.New("the answer is too large")

// liveness closes a dead connection within 4 s. That is less than [DefaultTimeout], so a
// request on that connection can be sent once more in time. The bodies on these
// connections are small, so a ping never waits behind a long body.
var liveness = pool.Liveness{Silence: 2 * time.Second, Ping: 2 * time.Second}

// A Client makes requests. It is safe for concurrent use.
type Client struct {
	http http.Client
	pool *pool.Transport // nil if the RoundTripper is not ours and has its own connections
}

// New returns a client that connects as base does. If base is nil, the client has a
// transport of its own. base is copied, and so is its transport if [pool.Copy] can copy
// the transport; any other RoundTripper is used as it is.
//
// The limits of base hold in addition to the limits of each [Request]: base's Timeout,
// and its transport's limit for the header. If an [http.Transport] sets no limit, it is
// 10 MiB; for another RoundTripper, the header cannot be limited here. If base is nil,
// the limit is 64 KiB.
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

// NewWithCertificate is New(nil) with a certificate for servers that request one.
func NewWithCertificate(certificate tls.Certificate) *Client {
	transport := newTransport()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = new(tls.Config)
	}
	// GetClientCertificate in place of Certificates, because a certificate in
	// Certificates is not sent if the server's list of authorities lacks the
	// certificate's issuer, for example if it is self-signed.
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
	// A redirect could send credentials to a URL that is not configured, or read keys
	// from it. So redirects are not followed, and the 3xx is returned as the answer.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: client, pool: pool}
}

// CannotPing reports whether dead HTTP/2 connections cannot be detected, because the
// RoundTripper is not an [http.Transport] that [pool.Copy] can copy.
func (c *Client) CannotPing() bool { return c.pool == nil }

// newTransport returns a copy of http.DefaultTransport, with its proxy, dialer and
// roots. If a program has set http.DefaultTransport to a value that is not an
// [http.Transport], the proxy comes from the environment, and dialer and roots are Go's
// defaults.
func newTransport() *http.Transport {
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		return standard.Clone()
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}
}

// connectTimeout limits connecting, including name resolution, and separately the TLS
// handshake. So a server that never answers a SYN does not use up the whole time of a
// longer exchange.
const connectTimeout = 5 * time.Second

// bound sets the limits of a transport of our own.
func bound(transport *http.Transport) {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = new(tls.Config)
	}
	transport.TLSClientConfig.MinVersion = max(transport.TLSClientConfig.MinVersion, tls.VersionTLS12) // RFC 9325 §3.1.1
	transport.TLSHandshakeTimeout = connectTimeout
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.MaxIdleConnsPerHost = maxIdle // with net/http's 2, most of 64 concurrent calls would each dial a new connection
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

// Close closes the idle connections of our own pool. If the caller's RoundTripper is
// used as it is, its connections stay open, because they may have other users.
func (c *Client) Close() {
	if c.pool != nil {
		c.pool.CloseIdleConnections()
	}
}

// A Request is sent by [Client.Do].
type Request struct {
	URL      string
	Header   http.Header   // read only; may be nil
	Form     url.Values    // if not nil, sent by POST as application/x-www-form-urlencoded; otherwise a GET is sent
	Timeout  time.Duration // from dialing to the last byte; zero means DefaultTimeout, which it can exceed
	MaxBytes int           // the longest body accepted, decompressed

	// Again returns the request to send in place of this request, once, if a reused
	// connection was closed before any byte of an answer came (RFC 9110 §9.2.2). Set
	// Again only if the form is safe to send twice. Again should renew parts that are
	// valid for one use, for example a client assertion. If Again is nil, a form is not
	// sent again, and a GET is sent again unchanged. The second request gets the rest
	// of this request's time, and its own Again is ignored. If Again fails, Do returns
	// the error of the first exchange.
	Again func(context.Context) (Request, error)
}

// A Response is a complete answer with any status. For example, a 304 (Not Modified) is
// a Response without a Body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes one request. The text of its errors contains no query, credentials or body.
// If an error matches a context error, ctx ended; the request's own Timeout never causes
// such an error. If an error matches [ErrNotPublic], a client of [NewPublic] refused to
// connect. If an answer had begun, its status and header are returned with the error. A
// panic in the caller's transport is returned as an error.
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

// exchange sends a request and reads the answer. unanswered is true if a reused
// connection was closed before an answer came, so that the request can be sent again.
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
		err = ctx.Err() // a truncated body may look complete
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

// read reads one byte more than limit, to detect a longer answer: a truncated answer
// might still parse.
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

// explain returns an error whose text is safe to show. *url.Error would print the query,
// and net/http quotes input that it could not parse. Only the errors that callers can
// test for are wrapped.
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

// isUnconnected reports whether the request failed before it reached the server.
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
	if r.Form != nil && !isLocal(err) {
		return "the exchange failed" // the text may repeat a token or secret from the form
	}
	return strings.Map(printable, text[:min(len(text), 256)])
}

// isLocal reports whether the error arose on this side of the connection, so that the
// server cannot influence its text.
func isLocal(err error) bool {
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

// A StatusError is the error for an answer that is unusable because of its status.
type StatusError struct {
	URL    string
	Status int
	After  time.Duration // the server's Retry-After; zero if it sent none
}

// StatusError returns the error for an answer to r whose status is not 200.
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

// retryAfter reads both forms of the field (RFC 9110 §10.2.3): seconds or a date. The
// result is at most 24 h. If the field is invalid, the result is zero.
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
