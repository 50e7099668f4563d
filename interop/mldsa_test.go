//go:build interop

package interop_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// mldsaAlgorithms are those of RFC 9964.
var mldsaAlgorithms = []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}

// TestMLDSA makes oidc-provider sign JWT access tokens with ML-DSA. With a Go that has no
// crypto/mldsa it tests only that the other keys are used, and says so in its log.
func TestMLDSA(t *testing.T) {
	s := startOIDCProviderWith(t, map[string]any{"keys": []any{}, "algorithms": slices.Concat(algorithms, mldsaAlgorithms)})
	usual := serve(t, accesstoken.Issuer{URL: s.issuer})
	usual.expect(t, "/", s.issue(t, "jwt-ES256", resource, "read"), allowed())
	usual.expect(t, "/", s.issue(t, "jwt-ML-DSA-65", resource, "read"), invalid(accesstoken.AlgorithmNotAllowed))

	issuer := accesstoken.Issuer{URL: s.issuer, Algorithms: slices.Concat([]string{"ES256"}, mldsaAlgorithms)}
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{issuer}})
	if err != nil {
		t.Logf("NOT TESTED: tokens signed with ML-DSA. They need Go 1.27, and this is %s: %v", runtime.Version(), err)
		return
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range mldsaAlgorithms {
		t.Run(algorithm, func(t *testing.T) {
			rs := serve(t, issuer)
			token := s.issue(t, "jwt-"+algorithm, resource, "read")
			t.Logf("a token of %d bytes", len(token))
			rs.expect(t, "/", token, allowed())
			rs.expect(t, "/", s.issue(t, "jwt-"+algorithm, otherResource, "read"), invalid(accesstoken.AudienceMismatch))
			other := s.issue(t, "jwt-"+algorithm, resource, "write")
			mixed := token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
			rs.expect(t, "/", mixed, invalid(accesstoken.SignatureInvalid))
			s.rotate(t)
			rs.expect(t, "/", s.issue(t, "jwt-"+algorithm, resource, "read"), allowed())
			rs.expect(t, "/", s.issue(t, "jwt-ES256", resource, "read"), allowed())
		})
	}
}
