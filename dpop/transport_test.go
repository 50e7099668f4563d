package dpop_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
)

const clientsToken = "canary-token"

// An api is a resource server over TLS with a Verifier, or whatever answer says.
type api struct {
	*httptest.Server
	verifier *dpop.Verifier
	answer   http.HandlerFunc // nil: verify

	mu       sync.Mutex
	arrivals []arrival
}

// An arrival is what a request brought.
type arrival struct {
	method, path, authorization string
	proofs                      []string
	body                        string
}

// newAPI serves until the test ends. It demands nonces if there is a key for them.
func newAPI(t *testing.T, signer *dpop.Signer, nonceKey []byte) *api {
	t.Helper()
	a := &api{}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.arrivals = append(a.arrivals, arrival{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Values("DPoP"), string(body)})
		a.mu.Unlock()
		if a.answer != nil {
			a.answer(w, r)
			return
		}
		a.verify(w, r, signer.Thumbprint())
	}))
	t.Cleanup(a.Close)
	var err error
	if a.verifier, err = dpop.NewVerifier(dpop.Config{URLs: []string{a.URL}, NonceKey: nonceKey}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *api) verify(w http.ResponseWriter, r *http.Request, thumbprint string) {
	scheme, accessToken, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	err := a.verifier.Verify(r.Context(), dpop.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Proofs: r.Header.Values("DPoP"), Token: accessToken, Thumbprint: thumbprint,
	})
	switch {
	case scheme != "DPoP" || accessToken != clientsToken:
		w.WriteHeader(http.StatusForbidden)
	case errors.Is(err, dpop.ErrNonce):
		w.Header().Set("DPoP-Nonce", a.verifier.Nonce())
		w.Header().Set("WWW-Authenticate", `DPoP realm="api", error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, strings.Repeat("refused ", 100))
	case err != nil:
		w.Header().Set("WWW-Authenticate", `DPoP realm="api", error="invalid_dpop_proof"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (a *api) arrived() []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.arrivals
}

func (a *api) wantArrivals(t *testing.T, want int) {
	t.Helper()
	if got := len(a.arrived()); got != want {
		t.Errorf("requests that arrived: got %d; want %d", got, want)
	}
}

// transport returns one for the APIs, which share a certificate.
func transport(signer *dpop.Signer, apis ...*api) *dpop.Transport {
	made := &dpop.Transport{
		Signer: signer,
		Token:  func(context.Context) (string, error) { return clientsToken, nil },
		Base:   apis[0].Client().Transport,
	}
	for _, a := range apis {
		made.Origins = append(made.Origins, a.URL)
	}
	return made
}

func clientsSigner(t testing.TB) *dpop.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func randomKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

func clientsRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expect sends a request and returns the response, of which the body was read.
func expect(t *testing.T, sender http.RoundTripper, r *http.Request, want int) *http.Response {
	t.Helper()
	response, err := (&http.Client{Transport: sender}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Errorf("%s %s: got %d; want %d", r.Method, r.URL.Path, response.StatusCode, want)
	}
	return response
}

func TestEachRequestHasAProofOfItsOwn(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	sender := transport(signer, a)
	for _, path := range []string{"/files", "/files", "/files?after=7#top", "/a%2Fb//c/%7euser", "", "/?"} {
		expect(t, sender, clientsRequest(t, http.MethodGet, a.URL+path, nil), http.StatusOK)
	}
	expect(t, sender, clientsRequest(t, http.MethodDelete, a.URL+"/files", nil), http.StatusOK)
	withUser := strings.Replace(a.URL, "https://", "https://user:secret@", 1)
	expect(t, sender, clientsRequest(t, http.MethodGet, withUser, nil), http.StatusOK)
	unnamed := clientsRequest(t, http.MethodGet, a.URL, nil)
	unnamed.Method = ""
	expect(t, sender, unnamed, http.StatusOK)
	a.wantArrivals(t, 9)
}

func TestTheOriginsArePorts(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	sender := transport(signer, a)
	sender.Origins = []string{strings.Replace(a.URL, "https", "HTTPS", 1) + "/"}
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusOK)
	for _, other := range []string{"https://127.0.0.1", "https://127.0.0.1:1", "https://api.example.com"} {
		sender.Origins = []string{other}
		expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusForbidden)
	}
	for _, got := range a.arrived()[1:] {
		if got.authorization != "" || got.proofs != nil {
			t.Error("a token or a proof went where it must not")
		}
	}
}

func TestASchemeIsPartOfAnOrigin(t *testing.T) {
	signer := clientsSigner(t)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("DPoP") != "" {
			t.Error("a token or a proof went in the clear")
		}
	}))
	defer plain.Close()
	sender := &dpop.Transport{
		Origins: []string{strings.Replace(plain.URL, "http", "https", 1)},
		Signer:  signer,
		Token:   func(context.Context) (string, error) { return clientsToken, nil },
		Base:    plain.Client().Transport,
	}
	expect(t, sender, clientsRequest(t, http.MethodGet, plain.URL, nil), http.StatusOK)
}

// The connection is what counts for the token, and the Host for the htu.
func TestAHostOfItsOwn(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	var err error
	if a.verifier, err = dpop.NewVerifier(dpop.Config{URLs: []string{"https://api.example.com"}}); err != nil {
		t.Fatal(err)
	}
	r := clientsRequest(t, http.MethodGet, a.URL+"/files", nil)
	r.Host = "api.example.com"
	expect(t, transport(signer, a), r, http.StatusOK)
	elsewhere := transport(signer, a)
	elsewhere.Origins = []string{"https://api.example.com"}
	expect(t, elsewhere, r, http.StatusForbidden)
}

func TestANonceIsGivenWhenItIsAskedFor(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, randomKey())
	counted := &countedBodies{base: a.Client().Transport}
	sender := transport(signer, a)
	sender.Base = counted
	bodies := map[string]func() io.Reader{
		"none":   func() io.Reader { return nil },
		"text":   func() io.Reader { return strings.NewReader("the whole text") },
		"nobody": func() io.Reader { return http.NoBody },
	}
	for name, body := range bodies {
		before := len(a.arrived())
		sender = &dpop.Transport{Origins: sender.Origins, Signer: signer, Token: sender.Token, Base: counted}
		expect(t, sender, clientsRequest(t, http.MethodPost, a.URL+"/files", body()), http.StatusOK)
		a.wantArrivals(t, before+2)
		expect(t, sender, clientsRequest(t, http.MethodPost, a.URL+"/files", body()), http.StatusOK)
		a.wantArrivals(t, before+3)
		for _, got := range a.arrived()[before:] {
			if want := map[string]string{"text": "the whole text"}[name]; got.body != want {
				t.Errorf("%s: got the body %q; want %q", name, got.body, want)
			}
		}
	}
	if open := counted.open.Load(); open != 0 {
		t.Errorf("%d bodies of responses were not closed", open)
	}
}

// countedBodies counts the bodies of responses that nobody has closed.
type countedBodies struct {
	base http.RoundTripper
	open atomic.Int64
}

type countedBody struct {
	io.ReadCloser
	closed func()
}

func (b countedBody) Close() error {
	b.closed()
	return b.ReadCloser.Close()
}

func (c *countedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.base.RoundTrip(r)
	if err == nil {
		c.open.Add(1)
		response.Body = countedBody{response.Body, sync.OnceFunc(func() { c.open.Add(-1) })}
	}
	return response, err
}

// A stream cannot be sent again, but what comes after it has the nonce.
func TestABodyThatCannotBeHadAgainIsSentOnce(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, randomKey())
	sender := transport(signer, a)
	post := func(want int) *http.Response {
		return expect(t, sender, clientsRequest(t, http.MethodPost, a.URL, io.MultiReader(strings.NewReader("a stream"))), want)
	}
	refused := post(http.StatusUnauthorized)
	if refused.Header.Get("DPoP-Nonce") == "" {
		t.Error("the refusal has no nonce")
	}
	a.wantArrivals(t, 1)
	post(http.StatusOK)
	a.wantArrivals(t, 2)

	broken := clientsRequest(t, http.MethodPost, a.URL, strings.NewReader("a text"))
	broken.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	expect(t, transport(signer, a), broken, http.StatusUnauthorized)
	a.wantArrivals(t, 3)
}

func TestAServerThatAsksForEverIsAskedTwice(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	nonce := func() string { return rand.Text() }
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("DPoP-Nonce", nonce())
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	sender := transport(signer, a)
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusUnauthorized)
	a.wantArrivals(t, 2)
	nonce = func() string { return "the-same" }
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusUnauthorized)
	a.wantArrivals(t, 4)
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusUnauthorized) // which it was sent with
	a.wantArrivals(t, 5)
}

func TestOtherRefusalsAreNotTriedAgain(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"another error": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"another status": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized + 2)
		},
		"a body": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"use_dpop_nonce"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			signer := clientsSigner(t)
			a := newAPI(t, signer, nil)
			a.answer = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("DPoP-Nonce", "a-nonce")
				answer(w, r)
			}
			response, err := (&http.Client{Transport: transport(signer, a)}).Get(a.URL)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			a.wantArrivals(t, 1)
		})
	}
}

func TestNoncesComeWithAnyResponse(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, randomKey())
	sender := transport(signer, a)
	for _, nonces := range [][]string{{a.verifier.Nonce()}, {"first", "second"}, {`"`}, {"a b"}, {strings.Repeat("n", 1025)}, {}, {""}} {
		a.answer = func(w http.ResponseWriter, _ *http.Request) { w.Header()["Dpop-Nonce"] = nonces }
		expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusOK)
	}
	a.answer = nil
	before := len(a.arrived())
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusOK)
	a.wantArrivals(t, before+1)
}

func TestTheSecondResponseMayBringANonceToo(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, randomKey())
	next := a.verifier.Nonce()
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("DPoP-Nonce", next)
		if len(a.arrived()) == 1 {
			w.Header().Set("DPoP-Nonce", "for-once")
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	sender := transport(signer, a)
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusOK)
	a.wantArrivals(t, 2)
	a.answer = nil
	expect(t, sender, clientsRequest(t, http.MethodGet, a.URL, nil), http.StatusOK)
	a.wantArrivals(t, 3)
}

func TestOriginsHaveTheirOwnNonces(t *testing.T) {
	signer := clientsSigner(t)
	one, two := newAPI(t, signer, randomKey()), newAPI(t, signer, randomKey())
	sender := transport(signer, one, two)
	for range 3 {
		expect(t, sender, clientsRequest(t, http.MethodGet, one.URL, nil), http.StatusOK)
		expect(t, sender, clientsRequest(t, http.MethodGet, two.URL, nil), http.StatusOK)
	}
	one.wantArrivals(t, 4)
	two.wantArrivals(t, 4)
}

func TestRedirectsDoNotTakeTheTokenAway(t *testing.T) {
	signer := clientsSigner(t)
	a, other := newAPI(t, signer, nil), newAPI(t, signer, nil)
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/taken", http.StatusTemporaryRedirect)
		case "/around":
			http.Redirect(w, r, "/files", http.StatusTemporaryRedirect)
		default:
			a.verify(w, r, signer.Thumbprint())
		}
	}
	sender := transport(signer, a)
	expect(t, sender, clientsRequest(t, http.MethodPost, a.URL+"/around", strings.NewReader("text")), http.StatusOK)
	expect(t, sender, clientsRequest(t, http.MethodPost, a.URL+"/away", strings.NewReader("text")), http.StatusForbidden)
	other.wantArrivals(t, 1)
	if got := other.arrived()[0]; got.authorization != "" || got.proofs != nil || got.body != "text" {
		t.Errorf("got the authorization %q, the proofs %q and the body %q; want the body alone", got.authorization, got.proofs, got.body)
	}
}

func TestTheRequestIsLeftAsItIs(t *testing.T) {
	signer := clientsSigner(t)
	atOnce, asking := newAPI(t, signer, nil), newAPI(t, signer, randomKey())
	sender := transport(signer, atOnce, asking)
	for _, url := range []string{atOnce.URL, asking.URL} {
		r := clientsRequest(t, http.MethodPost, url, strings.NewReader("text"))
		r.Header.Set("Authorization", "Bearer another")
		headers, sent := r.Header.Clone(), r.Body
		response, err := sender.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if fmt.Sprint(r.Header) != fmt.Sprint(headers) || r.Body != sent {
			t.Errorf("got the header fields %v; want %v, and the same body", r.Header, headers)
		}
		if response.Request != r || response.StatusCode != http.StatusOK {
			t.Errorf("got %d for another request; want 200 for that which was given", response.StatusCode)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, randomKey())
	sender := transport(signer, a)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL, strings.NewReader("text"))
			if err != nil {
				t.Error(err)
				return
			}
			response, err := sender.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("got %d; want 200", response.StatusCode)
			}
		})
	}
	all.Wait()
}

// watchedBody tells whether it was closed.
type watchedBody struct {
	io.Reader
	closed bool
}

func (b *watchedBody) Close() error {
	b.closed = true
	return nil
}

func TestNothingIsSentWithoutWhatItTakes(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	errDown := errors.New("the token endpoint is down")
	for name, c := range map[string]struct {
		change func(*dpop.Transport)
		want   string
	}{
		"no signer":           {func(s *dpop.Transport) { s.Signer = nil }, "has no Signer"},
		"no origins":          {func(s *dpop.Transport) { s.Origins = nil }, "Origins is empty"},
		"a path":              {func(s *dpop.Transport) { s.Origins = []string{a.URL + "/v1"} }, "the origin has a path"},
		"http":                {func(s *dpop.Transport) { s.Origins = []string{"http://api.example.com"} }, `Origins: "http://api.example.com"`},
		"one of two is wrong": {func(s *dpop.Transport) { s.Origins = []string{a.URL, "api.example.com"} }, `Origins: "api.example.com"`},
		"no token": {func(s *dpop.Transport) {
			s.Token = func(context.Context) (string, error) { return "", errDown }
		}, errDown.Error()},
		"an empty token": {func(s *dpop.Transport) {
			s.Token = func(context.Context) (string, error) { return "", nil }
		}, "an empty access token"},
	} {
		t.Run(name, func(t *testing.T) {
			sender := transport(signer, a)
			c.change(sender)
			body := &watchedBody{Reader: strings.NewReader("text")}
			response, err := sender.RoundTrip(clientsRequest(t, http.MethodPost, a.URL, body))
			if err == nil {
				response.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, errDown) != (name == "no token") {
				t.Errorf("got %v; want an error with %q", err, c.want)
			}
			if !body.closed {
				t.Error("the body of the request was not closed")
			}
		})
	}
	a.wantArrivals(t, 0)
}

// A token endpoint gets the proof alone, and asks for a nonce in its own way.
func TestATokenEndpoint(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		if len(a.arrived()) == 1 {
			w.Header().Set("DPoP-Nonce", "of-the-authorization-server")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"use_dpop_nonce"}`)
		}
	}
	sender := transport(signer, a)
	sender.Token = nil
	r := clientsRequest(t, http.MethodPost, a.URL+"/token", strings.NewReader("grant_type=client_credentials"))
	r.SetBasicAuth("client", "secret")
	expect(t, sender, r, http.StatusOK)
	a.wantArrivals(t, 2)
	for _, got := range a.arrived() {
		if !strings.HasPrefix(got.authorization, "Basic ") || len(got.proofs) != 1 || got.body != "grant_type=client_credentials" {
			t.Errorf("got the scheme of %.6q, %d proofs and the body %q", got.authorization, len(got.proofs), got.body)
		}
	}
}

func TestAnErrorOfATokenEndpointIsHandedOnWhole(t *testing.T) {
	signer := clientsSigner(t)
	a := newAPI(t, signer, nil)
	for _, want := range []string{"", `{"error":"invalid_grant"}`, "no JSON", strings.Repeat("long ", 20_000)} {
		a.answer = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("DPoP-Nonce", rand.Text())
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, want)
		}
		sender := transport(signer, a)
		sender.Token = nil
		response, err := sender.RoundTrip(clientsRequest(t, http.MethodPost, a.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("got %d bytes and %v; want %d", len(got), err, len(want))
		}
	}
}

func ExampleTransport() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	var api *httptest.Server
	api = httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{api.URL}})
		if err != nil {
			fmt.Println(err)
			return
		}
		scheme, accessToken, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		fmt.Println(scheme, verifier.Verify(r.Context(), dpop.Request{
			Method: r.Method, Path: r.URL.EscapedPath(), Proofs: r.Header["Dpop"],
			Token: accessToken, Thumbprint: signer.Thumbprint(),
		}))
	}))
	defer api.Close()

	client := &http.Client{Transport: &dpop.Transport{
		Origins: []string{api.URL},
		Signer:  signer,
		Token:   func(context.Context) (string, error) { return "the-access-token", nil },
		Base:    api.Client().Transport,
	}}
	response, err := client.Get(api.URL + "/files?after=7")
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
	// Output: DPoP <nil>
}
