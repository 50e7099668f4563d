package accesstoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// A party makes requests to a server, with its default settings. It keeps a connection.
type party struct {
	name string
	as   *accesstokentest.Server
	ask  func(context.Context) error // one request of a caller; it is bounded

	keepsNone bool // between requests: there is nothing to forget, and nothing is refused
}

const (
	oneTimeout = 5 * time.Second  // of an introspection, of a wait for keys, and of the client of dpop.Transport here
	healing    = 10 * time.Second // is over by then
)

// When a firewall or a balancer forgets an HTTP/2 connection, whatever is sent on it is
// swallowed. A client that keeps connections finds that out and makes a new one: within
// 10 s, and what is refused meanwhile began within one timeout.
func TestAForgottenConnectionIsHealedWithinATimeout(t *testing.T) {
	var parties []party
	for _, client := range []string{"our client", "a caller's client"} {
		parties = append(parties, introspectionParty(t, client), keysParty(t, client), transportParty(t, client))
	}
	for _, p := range parties {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.expectHealing(t)
		})
	}
}

func (p party) expectHealing(t *testing.T) {
	if forgotten := p.as.ForgetConnections(); (forgotten == 0) != p.keepsNone {
		t.Fatalf("got %d connections to forget; want some: %v", forgotten, !p.keepsNone)
	}
	began := time.Now()
	var (
		mu             sync.Mutex
		all            sync.WaitGroup
		total, refused int
		healed, last   time.Duration // when the first was answered, and the last began that was refused
		stall          time.Duration // the longest time for which this machine stood still
	)
	ask := func() {
		started := time.Since(began)
		err := p.ask(t.Context())
		mu.Lock()
		defer mu.Unlock()
		total++
		switch {
		case err != nil:
			refused++
			last = max(last, started)
		case healed == 0:
			healed = time.Since(began)
		}
	}
	isHealed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return healed != 0
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	before := began
	for after := 0; after < 10 && time.Since(began) < healing; <-tick.C { // the tenth after the first answer is the last
		stall = max(stall, time.Since(before)-100*time.Millisecond)
		before = time.Now()
		all.Go(ask)
		if isHealed() {
			after++
		}
	}
	all.Wait()
	t.Logf("%s: %d of %d refused, healed after %v", p.name, refused, total, healed.Round(10*time.Millisecond))
	if healed == 0 || healed > healing+stall {
		t.Errorf("healed after %v (0: never); want within %v", healed, healing)
	}
	if p.keepsNone && refused > 0 {
		t.Errorf("%d requests were refused; want none", refused)
	}
	if last > oneTimeout+stall {
		t.Errorf("a request was refused that began after %v; want none after one timeout, which is %v", last, oneTimeout)
	}
}

// httpClient returns nil for our own client, which then trusts the server as well: it
// goes out as the rest of the program does.
func httpClient(t *testing.T, which string, as *accesstokentest.Server) *http.Client {
	t.Helper()
	if which == "a caller's client" {
		return as.Client()
	}
	standard := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = standard })
	trusting := standard.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{RootCAs: as.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	http.DefaultTransport = trusting
	return nil
}

// A party has its connection before the tests run side by side.
func newParty(t *testing.T, name string, as *accesstokentest.Server, warm, ask func(context.Context) error) party {
	t.Helper()
	if err := warm(t.Context()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return party{name: name, as: as, ask: ask}
}

func introspectionParty(t *testing.T, which string) party {
	as := accesstokentest.NewHTTP2Server(t)
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret,
		HTTPClient: httpClient(t, which, as),
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context) error {
		response, err := client.Introspect(ctx, as.Opaque(nil))
		if err == nil && !response.Active {
			err = errors.New("the token is not active")
		}
		return err
	}
	return newParty(t, "introspection, "+which, as, ask, ask)
}

// keysParty asks for the key that the issuer has rotated to in the meantime.
func keysParty(t *testing.T, which string) party {
	as := accesstokentest.NewHTTP2Server(t)
	cache, err := jwks.NewCache(jwks.Config{URL: as.JWKSURI(), HTTPClient: httpClient(t, which, as), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	warm := func(ctx context.Context) error {
		err := cache.Warm(ctx)
		as.Rotate()
		return err
	}
	p := newParty(t, "keys, "+which, as, warm, func(ctx context.Context) error {
		var keys []crypto.PublicKey
		keys, _, err := cache.Keys(ctx, as.KeyID("ES256"), "ES256")
		if err == nil && len(keys) == 0 {
			err = errors.New("the key is not there")
		}
		return err
	})
	p.keepsNone = true // a fetch an hour is worth a handshake
	return p
}

func transportParty(t *testing.T, which string) party {
	as := accesstokentest.NewHTTP2Server(t)
	as.Handle("/orders", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	transport := &dpop.Transport{
		Origins: []string{as.URL}, Signer: signer,
		Token: func(context.Context) (string, error) { return "token", nil },
	}
	if client := httpClient(t, which, as); client != nil {
		transport.Base = client.Transport
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: oneTimeout}
	ask := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, as.URL+"/orders", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d, %w", response.StatusCode, err)
		}
		return nil
	}
	return newParty(t, "dpop.Transport, "+which, as, ask, ask)
}
