package jose_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func begin(t *testing.T, headers *jose.Headers, header string) (jose.Token, error) {
	t.Helper()
	return headers.Begin(part(header) + "." + part(goodPayload) + "." + part("signature"))
}

// A cached header has the values that it had when it was read.
func TestHeadersAreRemembered(t *testing.T) {
	var headers jose.Headers
	const good = `{"alg":"RS256","kid":"1","typ":"at+jwt"}`
	first, err := begin(t, &headers, good)
	if err != nil {
		t.Fatal(err)
	}
	headers.Remember(&first)
	again, err := begin(t, &headers, good)
	if err != nil || *again.Header != *first.Header || again.SigningInput != first.SigningInput {
		t.Errorf("got %+v, %v; want %+v", again.Header, err, first.Header)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = headers.Begin("a." + "b.c") }); n > 2 {
		t.Errorf("a header that is none: got %v allocations; want few", n)
	}
	if err := again.Open(); err != nil || again.Payload != goodPayload || string(again.Signature) != "signature" {
		t.Errorf("got %q, %q, %v; want what the token says", again.Payload, again.Signature, err)
	}
	if other, err := begin(t, &headers, `{"alg":"RS256","kid":"2","typ":"at+jwt"}`); err != nil || other.KeyID != "2" {
		t.Errorf("got %+v, %v; want the other header", other.Header, err)
	}
}

// A header that is not in the cache is read with the same strictness.
func TestHeadersThatAreNotRemembered(t *testing.T) {
	var headers jose.Headers
	first, err := begin(t, &headers, `{"alg":"RS256"}`)
	if err != nil {
		t.Fatal(err)
	}
	headers.Remember(&first)
	for _, bad := range []string{`{"alg":"RS256","alg":"none"}`, `{"alg":"RS256"} x`, `{"alg":"RS256","crit":["x"]}`, ` `, ``} {
		if _, err := begin(t, &headers, bad); err == nil {
			t.Errorf("%q: got nil; want an error", bad)
		}
	}
	if _, err := headers.Begin("e30.e30"); !errors.Is(err, jose.ErrNotJWT) {
		t.Errorf("two parts: got %v; want %v", err, jose.ErrNotJWT)
	}
}

// If an issuer writes a new header into each token, the cache stays small.
func TestFewHeadersAreRemembered(t *testing.T) {
	var headers jose.Headers
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for i := range 100 {
				token, err := headers.Begin(part(fmt.Sprintf(`{"alg":"RS256","kid":"%d-%d"}`, worker, i)) + ".e30.AA")
				if err != nil {
					t.Error(err)
					return
				}
				headers.Remember(&token)
			}
		})
	}
	wait.Wait()
	if got := headers.Len(); got == 0 || got > 64 {
		t.Errorf("got %d headers; want some, and 64 at most", got)
	}
}
