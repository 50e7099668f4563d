package dpop_test

import (
	"context"
	"errors"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
)

// Each refusal moves the number that tells it, and no other.
func TestStatsOfAVerifier(t *testing.T) {
	v := verifier(t, dpop.Config{Store: dpop.NewMemory(16)})
	once := request(good(nil))
	check(t, v, once, "accepted")
	if got, want := v.Stats(), (dpop.Stats{Accepted: 1, Held: 1, Limit: 16}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	check(t, v, once, "ErrReplayed")
	check(t, v, request(), "ErrProof")
	other := request(good(nil))
	other.Thumbprint = jkt(stranger())
	check(t, v, other, "ErrKey")
	check(t, v, request(good(nil)), "ErrStore") // the client's share of the Memory is one proof
	if got, want := v.Stats(), (dpop.Stats{Accepted: 1, Replayed: 1, Invalid: 1, OtherKey: 1, Unknown: 1, Held: 1, Limit: 16}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}

	demanding := verifier(t, dpop.Config{NonceKey: make([]byte, 32), Store: failingStore(func(context.Context) (bool, error) { return false, errors.New("down") })})
	check(t, demanding, request(good(nil)), "ErrNonce")
	check(t, demanding, request(good(members{"nonce": demanding.Nonce()})), "ErrStore")
	if got, want := demanding.Stats(), (dpop.Stats{NonceRequired: 1, Unknown: 1}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}
