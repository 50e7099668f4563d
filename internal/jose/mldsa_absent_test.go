//go:build !go1.27

package jose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// JOSE-24: without crypto/mldsa, a key of the right form is left out with the reason.
func TestMLDSANeedsGo127(t *testing.T) {
	for _, alg := range []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"} {
		if jose.Supported(alg) {
			t.Errorf("%s: got supported; want unsupported", alg)
		}
	}
	if got := jose.Algorithms(); !slices.Equal(got, jose.DefaultAlgorithms()) {
		t.Errorf("got %v; want the default algorithms", got)
	}
	_, err := jose.ReadJWK(`{"kty":"AKP","alg":"ML-DSA-44","pub":"` + part(make([]byte, 1312)) + `"}`)
	if err == nil || !strings.Contains(err.Error(), "Go 1.27") {
		t.Errorf("got %v; want the version of Go that is needed", err)
	}
}
