//go:build !race

// The race detector makes pools forget on purpose, and so allocations of its own:
// these promises are for programs without it.

package dpop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
)

// What a proof costs beside its signature is bounded: the signature of ES256 alone
// is ten allocations of crypto/ecdsa, and some more of golang-jwt.
func TestAVerificationCostsFewAllocations(t *testing.T) {
	digest := sha256.Sum256([]byte("header.payload"))
	signature := must(ecdsa.SignASN1(nil, p256(), digest[:]))
	bare := testing.AllocsPerRun(100, func() { ecdsa.VerifyASN1(&p256().PublicKey, digest[:], signature) })

	v := verifier(t, dpop.Config{})
	check(t, v, request(good(nil)), "accepted")
	requests := make([]dpop.Request, 102)
	for i := range requests {
		requests[i] = request(good(nil))
	}
	next := 0
	got := testing.AllocsPerRun(len(requests)-1, func() { // it runs once more, to warm up
		if err := v.Verify(context.Background(), requests[next]); err != nil {
			t.Fatal(err)
		}
		next++
	})
	t.Logf("%v allocations, %v of them of crypto/ecdsa", got, bare)
	if got > mostAllocations {
		t.Errorf("got %v allocations; want at most %d", got, mostAllocations)
	}
}

func TestANonceCostsNoAllocation(t *testing.T) {
	v := verifier(t, dpop.Config{NonceKey: make([]byte, 32)})
	if got := testing.AllocsPerRun(100, func() { v.Nonce() }); got > 0 {
		t.Errorf("got %v allocations; want 0", got)
	}
}

const mostAllocations = 25
