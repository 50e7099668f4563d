package dpop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken/internal/pool"
)

// A Transport is an [http.RoundTripper] that sends an access token and a new proof
// with each request (RFC 9449 §7.1). Origins and Signer are required. It keeps the
// last nonce of each origin. If a server demands a nonce that the Transport does not
// have, the request is sent a second time (RFC 9449 §9). A request with a body is
// sent again only if it has GetBody, which [http.NewRequest] sets for most bodies.
//
// If a server closes a reused connection before any part of a response has come, some
// requests are sent once more, with a new proof. They are the requests that
// [http.Transport] sends again by itself: GET, HEAD, OPTIONS and TRACE, and requests
// with an Idempotency-Key. Other requests, for example a POST, are not sent again,
// and the caller gets the error.
//
// The Transport does not change the request that it is given, and the response refers
// to that request, so printing either shows no token. A Transport is safe for
// concurrent use if its fields are not changed any more. It must not be copied.
type Transport struct {
	_ [0]func()

	// Origins are the servers that may get the token: scheme, host and port, for
	// example https://api.example.com. They are https, or http on a loopback host. A
	// request to any other origin is sent without token and proof, because a redirect
	// can lead to a server that should not get them.
	Origins []string

	// Signer makes the proofs.
	Signer *Signer

	// Token returns the access token, bound to the Signer's key, for one request. If
	// nil, the proof is sent without a token, as a token endpoint expects (RFC 9449
	// §5).
	Token func(ctx context.Context) (string, error)

	// Base sends the requests; nil means http.DefaultTransport. If Base is an
	// [http.Transport], the first request copies it, and the copy has its own
	// connections. Protocols that were registered with RegisterProtocol are not
	// copied. Over HTTP/2, the copy pings a connection if nothing was received for 3
	// s, and closes it if the ping is not answered within 5 s. If Base sets
	// SendPingTimeout in its HTTP2, that value is used instead; a negative
	// SendPingTimeout turns pings off.
	//
	// An [http.Transport] whose HTTP/2 is that of golang.org/x/net/http2, and any
	// other RoundTripper, is used as it is. Such a RoundTripper should find dead
	// connections by itself. Otherwise a request can wait for minutes on a connection
	// that a firewall has forgotten.
	Base http.RoundTripper

	mu     sync.Mutex
	nonces map[string]string // by origin, so at most as many as Origins
	sender http.RoundTripper // Base or its copy; nil before the first request
}

// liveness closes a dead connection within 8 s. A ping gets more time than in our
// other HTTP clients, because it may have to wait behind a long body that is being
// sent.
var liveness = pool.Liveness{Silence: 3 * time.Second, Ping: 5 * time.Second}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	origins, err := t.origins()
	if err != nil {
		return nil, unsent(r, err)
	}
	origin, err := originOf(r.URL)
	if err != nil || !slices.Contains(origins, origin) {
		return t.base().RoundTrip(r)
	}
	token, err := t.token(r.Context())
	if err != nil {
		return nil, unsent(r, err)
	}
	nonce := t.nonce(origin)
	response, seen, err := t.sendAndRepeat(r, token, nonce)
	if err != nil {
		return nil, err
	}
	next := t.keepNonce(origin, response)
	if !t.wantsNewProof(response, seen, nonce, next) {
		return response, nil
	}
	again, ok := rewound(r)
	if !ok {
		return response, nil
	}
	discard(response.Body)
	if response, _, err = t.send(again, token, cmp.Or(next, nonce)); err != nil {
		return nil, err
	}
	t.keepNonce(origin, response)
	response.Request = r
	return response, nil
}

// wantsNewProof reports whether a request was refused only for its proof. Either the
// proof did not have the nonce that this response brought (next), or the server may
// have seen the proof before, because net/http has sent the request twice.
func (t *Transport) wantsNewProof(response *http.Response, seen *pool.Exchange, nonce, next string) bool {
	if next != "" && next != nonce && t.refusesFor(response, useNonce) {
		return true
	}
	return seen.Sent() > 1 && t.refusesFor(response, invalidProof)
}

// sendAndRepeat sends a request. If its connection was closed before a response came,
// it sends the request once more, unless repeating it could do harm.
func (t *Transport) sendAndRepeat(r *http.Request, token, nonce string) (*http.Response, *pool.Exchange, error) {
	response, seen, err := t.send(r, token, nonce)
	if !seen.Unanswered(err) || !isRepeatable(r) {
		return response, seen, err
	}
	again, ok := rewound(r)
	if !ok {
		return response, seen, err
	}
	if copied, ok := t.base().(*pool.Transport); ok {
		copied.Refresh(seen)
	}
	response, seen, err = t.send(again, token, nonce)
	if err != nil {
		return nil, seen, err
	}
	response.Request = r
	return response, seen, nil
}

// isRepeatable reports whether net/http would send a request with this method and
// header again by itself. It does not check that the body can be read again.
func isRepeatable(r *http.Request) bool {
	switch methodOf(r) {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != ""
}

// CloseIdleConnections closes the connections that no request uses, as
// [http.Client.CloseIdleConnections] does. The connections belong to the copy of
// Base. If Base is not copied, its own method CloseIdleConnections is called, if it
// has one.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// origins returns the normalised Origins, or an error that lists every fault of the
// fields.
func (t *Transport) origins() (origins []string, err error) {
	var faults []error
	if t.Signer == nil {
		faults = append(faults, errors.New("dpop: the Transport has no Signer; make one with NewSigner"))
	}
	if len(t.Origins) == 0 {
		faults = append(faults, errors.New("dpop: Origins is empty; list the servers that may get the token, for example https://api.example.com"))
	}
	for _, text := range t.Origins {
		origin, err := newBase(text)
		if err == nil && strings.Count(origin, "/") != len("//") {
			err = errors.New("the origin has a path; expected only scheme, host and port")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("dpop: Origins: %q: %w", text, err))
		}
		origins = append(origins, origin)
	}
	return origins, errors.Join(faults...)
}

// originOf returns the origin that the request is sent to, whatever its Host field
// says.
func originOf(u *url.URL) (string, error) {
	if u == nil {
		return "", errURI
	}
	return newBase(u.Scheme + "://" + u.Host)
}

// unsent closes the body of a request that is not sent, as a RoundTripper must.
func unsent(r *http.Request, err error) error {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return err
}

func (t *Transport) base() http.RoundTripper {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sender == nil {
		t.sender = senderOf(t.Base)
	}
	return t.sender
}

func senderOf(base http.RoundTripper) http.RoundTripper {
	if copied, ok := pool.Copy(base, liveness); ok {
		return copied
	}
	if base == nil {
		return http.DefaultTransport
	}
	return base
}

func (t *Transport) token(ctx context.Context) (string, error) {
	if t.Token == nil {
		return "", nil
	}
	token, err := t.Token(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("dpop: the Token function returned no access token: %w", err)
	case token == "":
		return "", errors.New("dpop: the Token function returned an empty access token")
	}
	return token, nil
}

func (t *Transport) nonce(origin string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nonces[origin]
}

// send sends a copy of the request with a new proof.
func (t *Transport) send(r *http.Request, token, nonce string) (*http.Response, *pool.Exchange, error) {
	ctx, seen := pool.Watch(r.Context())
	proof, err := t.Signer.Sign(Proof{Method: methodOf(r), URL: targetOf(r), Token: token, Nonce: nonce})
	if err != nil {
		return nil, seen, unsent(r, err)
	}
	signed := r.Clone(ctx)
	if signed.Header == nil {
		signed.Header = http.Header{}
	}
	signed.Header.Set("DPoP", proof)
	if token != "" {
		signed.Header.Set("Authorization", "DPoP "+token)
	}
	response, err := t.base().RoundTrip(signed)
	if err != nil {
		return nil, seen, err
	}
	response.Request = r
	return response, seen, nil
}

func methodOf(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet // the default of net/http
	}
	return r.Method
}

// targetOf returns the URL as the server sees it, which includes the Host field (RFC
// 9110 §7.1). User information is removed, because it is not part of what is sent.
func targetOf(r *http.Request) string {
	target := *r.URL
	target.User = nil
	if r.Host != "" {
		target.Host = r.Host
	}
	return target.String()
}

// keepNonce stores the nonce of a response, and returns it. If the response does not
// have exactly one DPoP-Nonce line with a valid nonce, keepNonce returns "" and the
// old nonce stays. Any response may carry a nonce (RFC 9449 §8.2).
func (t *Transport) keepNonce(origin string, response *http.Response) string {
	lines := response.Header.Values("DPoP-Nonce")
	if len(lines) != 1 || !isNonce(lines[0]) {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nonces == nil {
		t.nonces = map[string]string{}
	}
	t.nonces[origin] = lines[0]
	return lines[0]
}

// mostNonce is the longest nonce that is stored, in bytes. It is limited, because
// each request's header has to hold the nonce. The nonces that servers send are
// shorter.
const mostNonce = 1 << 10

// isNonce checks the syntax of a nonce (RFC 9449 §8.1), and its length.
func isNonce(text string) bool {
	isOther := func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }
	return text != "" && len(text) <= mostNonce && !strings.ContainsFunc(text, isOther)
}

const (
	useNonce     = "use_dpop_nonce"
	invalidProof = "invalid_dpop_proof"
)

// refusesFor reports whether the response is a refusal with this error code, by a
// resource server (RFC 9449 §7.1, §9) or, if Token is nil, by an authorization server
// (RFC 9449 §5, §8). The code may stand anywhere in the challenges: the request was
// refused in any case, and is sent once more at most.
func (t *Transport) refusesFor(response *http.Response, code string) bool {
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		has := func(line string) bool { return strings.Contains(line, code) }
		return slices.ContainsFunc(response.Header.Values("WWW-Authenticate"), has)
	case response.StatusCode == http.StatusBadRequest && t.Token == nil:
		return errorOf(response) == code
	}
	return false
}

// errorOf returns the error of a token endpoint's response (RFC 6749 §5.2).
// Afterwards the body can still be read from its start.
func errorOf(response *http.Response) string {
	start, err := io.ReadAll(io.LimitReader(response.Body, mostDiscarded))
	response.Body = &resumed{io.MultiReader(bytes.NewReader(start), failing{err}, response.Body), response.Body}
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(start, &answer) != nil {
		return ""
	}
	return answer.Error
}

// A resumed body begins with the bytes that were already read.
type resumed struct {
	io.Reader
	io.Closer
}

// failing is a reader without bytes. Read returns the error with which errorOf
// stopped reading the response's body or, if there was no error, io.EOF.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// rewound returns the request with its body from the start. It returns false if the
// body cannot be read again.
func rewound(r *http.Request) (*http.Request, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	again := r.WithContext(r.Context())
	again.Body = body
	return again, true
}

// mostDiscarded limits how much of a refusal's body is read so that its connection
// can be used again.
const mostDiscarded = 8 << 10

func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, mostDiscarded)
	_ = body.Close()
}
