package dpop

import (
	"bytes"
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
)

// A Transport is an [http.RoundTripper] that sends an access token along with each
// request, and a new proof for it (RFC 9449 §7.1). Origins and Signer have to be set.
// It keeps the last nonce of each origin, and when one is asked for that it does not
// have, it sends the request a second time (§9): with a body only if that can be had
// again, from GetBody of the request, as those of [http.NewRequest] mostly can.
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

	// Base sends the requests; nil is http.DefaultTransport.
	Base http.RoundTripper

	mu     sync.Mutex
	nonces map[string]string // by origin, of which there are no more than Origins
}

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
	response, err := t.send(r, token, nonce)
	if err != nil {
		return nil, err
	}
	next := t.keepNonce(origin, response)
	if next == "" || next == nonce || !t.asksForNonce(response) {
		return response, nil
	}
	again, ok := rewound(r)
	if !ok {
		return response, nil
	}
	discard(response.Body)
	if response, err = t.send(again, token, next); err != nil {
		return nil, err
	}
	t.keepNonce(origin, response)
	response.Request = r
	return response, nil
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
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
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
func (t *Transport) send(r *http.Request, token, nonce string) (*http.Response, error) {
	proof, err := t.Signer.Sign(Proof{Method: methodOf(r), URL: targetOf(r), Token: token, Nonce: nonce})
	if err != nil {
		return nil, unsent(r, err)
	}
	signed := r.Clone(r.Context())
	if signed.Header == nil {
		signed.Header = http.Header{}
	}
	signed.Header.Set("DPoP", proof)
	if token != "" {
		signed.Header.Set("Authorization", "DPoP "+token)
	}
	response, err := t.base().RoundTrip(signed)
	if err != nil {
		return nil, err
	}
	response.Request = r
	return response, nil
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

const useNonce = "use_dpop_nonce"

// asksForNonce reports a refusal for want of a nonce, by a resource server (§9) or
// by an authorization server (§8). Where in the challenges the word stands is not
// looked at: the request was refused, and is sent once more at the most.
func (t *Transport) asksForNonce(response *http.Response) bool {
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		isAsking := func(line string) bool { return strings.Contains(line, useNonce) }
		return slices.ContainsFunc(response.Header.Values("WWW-Authenticate"), isAsking)
	case response.StatusCode == http.StatusBadRequest && t.Token == nil:
		return errorOf(response) == useNonce
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
