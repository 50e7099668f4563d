package dpop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
)

// A hangup is an api that verifies each proof, and then closes the connection without
// an answer at the requests that are told so: it has seen their proofs.
type hangup struct {
	*api
	silent atomic.Int32 // how many requests it closes the connection at
}

type connKey struct{}

func newHangup(t *testing.T, signer *dpop.Signer, http2 bool) *hangup {
	t.Helper()
	h := &hangup{}
	h.api = newAPI(t, signer, nil)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.arrivals = append(h.arrivals, arrival{r.Method, r.RequestURI, "", r.Header.Values("DPoP"), string(body)})
		h.mu.Unlock()
		if h.silent.Add(-1) < 0 {
			h.verify(w, r, signer.Thumbprint())
			return
		}
		h.verify(httptest.NewRecorder(), r, signer.Thumbprint())
		_ = r.Context().Value(connKey{}).(net.Conn).Close()
	}))
	server.EnableHTTP2 = http2
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	h.Server = server
	var err error
	if h.verifier, err = dpop.NewVerifier(dpop.Config{URLs: []string{server.URL}}); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestARequestOnAConnectionThatWasClosedIsSentAgainWithANewProof(t *testing.T) {
	for _, c := range []struct {
		name, method, key string
		sent              int // of the request; 0: it ends with an error, and was sent once
	}{
		{"GET", "GET", "", 2},
		{"HEAD", "HEAD", "", 2},
		{"POST with an Idempotency-Key", "POST", "8e03978e", 2},
		{"POST", "POST", "", 0},
		{"DELETE", "DELETE", "", 0},
	} {
		for _, http2 := range []bool{false, true} {
			name := c.name + " over HTTP/1.1"
			if http2 {
				name = c.name + " over HTTP/2"
			}
			t.Run(name, func(t *testing.T) {
				signer := must(dpop.NewSigner(p256()))
				server := newHangup(t, signer, http2)
				transport := &dpop.Transport{
					Origins: []string{server.URL}, Signer: signer, Base: server.Client().Transport,
					Token: func(context.Context) (string, error) { return clientsToken, nil },
				}
				t.Cleanup(transport.CloseIdleConnections)
				ask := func() (*http.Response, error) {
					r := must(http.NewRequest(c.method, server.URL+"/orders", strings.NewReader("body")))
					if c.method != "POST" {
						r = must(http.NewRequest(c.method, server.URL+"/orders", nil))
					}
					if c.key != "" {
						r.Header.Set("Idempotency-Key", c.key)
					}
					response, err := transport.RoundTrip(r)
					if err == nil {
						_, _ = io.Copy(io.Discard, response.Body)
						_ = response.Body.Close()
					}
					return response, err
				}
				if response, err := ask(); err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("the first request: got %v, %v; want 200", response, err)
				}
				server.silent.Store(1)
				response, err := ask()
				if c.sent == 0 {
					if err == nil || len(server.seen()) != 2 {
						t.Errorf("got %v after %d requests; want an error after 2", err, len(server.seen()))
					}
					return
				}
				if err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("got %v, %v; want 200", response, err)
				}
				all := server.seen()
				last := all[len(all)-1]
				if first := all[1]; last.proofs[0] == first.proofs[0] || last.body != first.body {
					t.Errorf("got %q and then %q, proof the same: %t; want the same body with a new proof", first.body, last.body, last.proofs[0] == first.proofs[0])
				}
			})
		}
	}
}

func (a *api) seen() []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.arrivals)
}

// A proof that was sent once and refused is not tried again.
func TestARefusedProofThatWasSentOnceIsNotReplaced(t *testing.T) {
	signer := must(dpop.NewSigner(p256()))
	server := newAPI(t, signer, nil)
	server.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	transport := &dpop.Transport{
		Origins: []string{server.URL}, Signer: signer, Base: server.Client().Transport,
		Token: func(context.Context) (string, error) { return clientsToken, nil },
	}
	t.Cleanup(transport.CloseIdleConnections)
	for range 2 { // the second time on a connection that was used
		response, err := transport.RoundTrip(must(http.NewRequest("GET", server.URL+"/orders", nil)))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	if len(server.seen()) != 2 {
		t.Errorf("got %d requests; want each sent once", len(server.seen()))
	}
}

// The connections of a Base belong to the program; those of its copy can be closed.
func TestBaseIsLeftAsItIsAndKeepsItsConnections(t *testing.T) {
	signer := must(dpop.NewSigner(p256()))
	server := newAPI(t, signer, nil)
	base := server.Client().Transport.(*http.Transport)
	transport := &dpop.Transport{
		Origins: []string{server.URL}, Signer: signer, Base: base,
		Token: func(context.Context) (string, error) { return clientsToken, nil },
	}
	for range 2 {
		response, err := transport.RoundTrip(must(http.NewRequest("GET", server.URL+"/orders", nil)))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		transport.CloseIdleConnections()
	}
	if base.HTTP2 != nil || base.IdleConnTimeout != 0 {
		t.Errorf("got HTTP2 %v and an IdleConnTimeout of %v; want neither set", base.HTTP2, base.IdleConnTimeout)
	}
	other := &idler{}
	(&dpop.Transport{Base: other}).CloseIdleConnections()
	if !other.closed {
		t.Error("another RoundTripper: its idle connections were not closed; want CloseIdleConnections handed on")
	}
}

type idler struct {
	http.RoundTripper
	closed bool
}

func (i *idler) CloseIdleConnections() { i.closed = true }

// One request that times out does not end the others: a client listens to events, which
// come now and then, and asks for something else beside that.
func TestARequestThatTimesOutEndsNoOther(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		more := make(chan struct{})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				panic(http.ErrAbortHandler) // or an answer may come while the client is still closing the connection
			}
			_, _ = io.WriteString(w, "1")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-more:
				_, _ = io.WriteString(w, "2")
			case <-r.Context().Done():
			}
		}))
		server.EnableHTTP2 = http2
		server.StartTLS()
		t.Cleanup(server.Close)
		sender := &dpop.Transport{Origins: []string{server.URL}, Signer: clientsSigner(t), Base: server.Client().Transport,
			Token: func(context.Context) (string, error) { return "token", nil }}
		t.Cleanup(sender.CloseIdleConnections)
		events, err := sender.RoundTrip(clientsRequest(t, http.MethodGet, server.URL+"/events", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(events.Body, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for range 7 { // 2.8 s, less than it takes until a connection is pinged
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			_, err := sender.RoundTrip(clientsRequest(t, http.MethodGet, server.URL+"/slow", nil).WithContext(ctx))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v; want a timeout", err)
			}
		}
		close(more)
		rest, err := io.ReadAll(events.Body)
		_ = events.Body.Close()
		if err != nil || string(rest) != "2" {
			t.Errorf("HTTP/2 %t: got %q, %v; want the next event", http2, rest, err)
		}
	}
}
