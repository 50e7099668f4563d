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

// A Transport is an [http.RoundTripper] that sends an access token along with each
// request, and a new proof for it (RFC 9449 §7.1). Origins and Signer have to be set.
// It keeps the last nonce of each origin, and when one is asked for that it does not
// have, it sends the request a second time (§9): with a body only if that can be had
// again, from GetBody of the request, as those of [http.NewRequest] mostly can.
//
// If a server closes a connection that was used before, and nothing of an answer has
// come, a request that [http.Transport] sends again by itself is sent once more, with
// a new proof: one by GET, HEAD, OPTIONS or TRACE, or with an Idempotency-Key. A POST
// is not; its caller gets the error.
//
// It leaves the request that it is given as it was, and the response names that one:
// who prints either finds no token in it. It is safe for concurrent use, if its
// fields are not changed any more, and must not be copied.
type Transport struct {
	_ [0]func()

	// Origins are where the token may go: scheme, host and port, such as
	// https://api.example.com. They are https, or http on a loopback host. A request
	// to anywhere else is sent as it is, without token and proof: redirects lead
	// there, and not every one is to be trusted with them.
	Origins []string

	// Signer makes the proofs.
	Signer *Signer

	// Token returns the access token, bound to the Signer's key, for one request. Nil
	// sends the proof alone, which is what a token endpoint wants (§5).
	Token func(ctx context.Context) (string, error)

	// Base sends the requests; nil is http.DefaultTransport. An [http.Transport] is
	// copied at the first request, and the copy has connections of its own. Over
	// HTTP/2 it pings a connection on which nothing has come for 3 s, and closes it
	// when the ping has no answer for 5 s, unless Base has its own SendPingTimeout in
	// its HTTP2; a negative one sends no pings. Protocols that were registered with
	// RegisterProtocol are not in the copy. Any other RoundTripper is used as it is:
	// it has to find dead connections by itself, or it waits for minutes on one that a
	// firewall has forgotten.
	Base http.RoundTripper

	mu     sync.Mutex
	nonces map[string]string // by origin, of which there are no more than Origins
	sender http.RoundTripper // Base, or its copy; nil before the first request
}

// liveness has a dead connection closed within 8 s. A ping may have to wait behind a
// long body that is being sent, so that it has more time than that of other requests
// of ours.
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
	if !t.wantsAnother(response, seen, nonce, next) {
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

// wantsAnother reports that a request was refused for its proof alone: it has no
// nonce, or not the one that came now, or net/http has sent it twice, so that the
// server may have seen the proof before.
func (t *Transport) wantsAnother(response *http.Response, seen *pool.Exchange, nonce, next string) bool {
	if next != "" && next != nonce && t.refusesFor(response, useNonce) {
		return true
	}
	return seen.Sent() > 1 && t.refusesFor(response, invalidProof)
}

// sendAndRepeat sends a request, and once more if its connection was closed before an
// answer came, and if sending it twice does no harm.
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

// isRepeatable reports what net/http sends again by itself, if there is no body that
// is gone.
func isRepeatable(r *http.Request) bool {
	switch methodOf(r) {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != ""
}

// CloseIdleConnections closes the connections that no request uses, as
// [http.Client.CloseIdleConnections] does: those of the copy of Base, or those of a
// Base of another kind, if it has such a method.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// origins reports every fault of the fields.
func (t *Transport) origins() (origins []string, err error) {
	var faults []error
	if t.Signer == nil {
		faults = append(faults, errors.New("dpop: the Transport has no Signer; make one with NewSigner"))
	}
	if len(t.Origins) == 0 {
		faults = append(faults, errors.New("dpop: Origins is empty; name where the token may go, such as https://api.example.com"))
	}
	for _, text := range t.Origins {
		origin, err := newBase(text)
		if err == nil && strings.Count(origin, "/") != len("//") {
			err = errors.New("it has a path; name scheme, host and port only")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("dpop: Origins: %q: %w", text, err))
		}
		origins = append(origins, origin)
	}
	return origins, errors.Join(faults...)
}

// originOf is of the place that the request is sent to, whatever its Host says.
func originOf(u *url.URL) (string, error) {
	if u == nil {
		return "", errURI
	}
	return newBase(u.Scheme + "://" + u.Host)
}

// unsent closes the body of a request that is not sent, as a RoundTripper has to.
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
		return "", fmt.Errorf("dpop: there is no access token to send: %w", err)
	case token == "":
		return "", errors.New("dpop: Token returned an empty access token")
	}
	return token, nil
}

func (t *Transport) nonce(origin string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nonces[origin]
}

// send sends a copy of the request, with a proof of its own.
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
		return http.MethodGet // as net/http has it
	}
	return r.Method
}

// targetOf is the URL as the server sees it, to which the Host belongs (RFC 9110
// §7.1). User information is not part of what is sent.
func targetOf(r *http.Request) string {
	target := *r.URL
	target.User = nil
	if r.Host != "" {
		target.Host = r.Host
	}
	return target.String()
}

// keepNonce keeps the nonce that a response brought, and returns it. Any response
// may bring one (§8.2).
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

// mostNonce is room for what servers make, and leaves most of a header's for the rest.
const mostNonce = 1 << 10

// isNonce is RFC 9449 §8.1.
func isNonce(text string) bool {
	isOther := func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }
	return text != "" && len(text) <= mostNonce && !strings.ContainsFunc(text, isOther)
}

const (
	useNonce     = "use_dpop_nonce"
	invalidProof = "invalid_dpop_proof"
)

// refusesFor reports a refusal with that error code, by a resource server (§7.1, §9) or
// by an authorization server (§5, §8). Where in the challenges the word stands is not
// looked at: the request was refused, and is sent once more at the most.
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

// errorOf returns the error of a token endpoint's answer (RFC 6749 §5.2), and leaves
// the body as it was.
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

// A resumed body begins with what was read before.
type resumed struct {
	io.Reader
	io.Closer
}

// failing repeats the error that reading ended with, if there was one.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// rewound returns the request with its body from the start.
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

// mostDiscarded is as much as is read of a refusal so that its connection can be
// used again.
const mostDiscarded = 8 << 10

func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, mostDiscarded)
	_ = body.Close()
}
