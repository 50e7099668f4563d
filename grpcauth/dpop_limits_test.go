package grpcauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/grpcauth"
)

// The bound of a nonce is where it is said to be.
func TestTheLongestNonceIsKept(t *testing.T) {
	for length, want := range map[int]int{1024: 2, 1025: 1} {
		p, signer := serveProven(t, nil), newSigner(t)
		p.service.fail = func(ctx context.Context) error { return askFor(ctx, strings.Repeat("n", length)) }
		client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
		_ = kinds[0].call(t.Context(), client)
		if got := len(p.calls()); got != want {
			t.Errorf("a nonce of %d bytes: got %d calls; want %d", length, got, want)
		}
	}
}

// A brokenKey is in a key service that is out of reach.
type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the key service is down")
}

// What cannot be proven is not sent, whatever the kind of call.
func TestNoCallOfAnyKindWithoutAProof(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := dpop.NewSigner(brokenKey{key})
	if err != nil {
		t.Fatal(err)
	}
	p := serveProven(t, nil)
	down := func(context.Context) (string, error) { return "", errors.New("the token endpoint is down") }
	for want, options := range map[string][]grpc.DialOption{
		"the key service is down":    grpcauth.DPoPDialOptions(broken, always("token")),
		"the token endpoint is down": grpcauth.DPoPDialOptions(newSigner(t), down),
	} {
		for _, kind := range kinds {
			err := kind.call(t.Context(), p.client(t, options...))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v; want an error with %q", kind.name, err, want)
			}
		}
	}
	p.wantRefusals(t)
}
