//go:build go1.27

package introspection_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
)

// JOSE-24: an answer signed by ML-DSA is accepted only if Algorithms lists it.
func TestAnswersSignedByMLDSA(t *testing.T) {
	as := accesstokentest.NewServer(t)
	key, _ := testkit.NewMLDSA("ML-DSA-87")
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(testkit.Must(json.Marshal(v))) }
	input := part(object{"typ": "token-introspection+jwt", "alg": "ML-DSA-87"}) + "." + part(envelope(as, object{"active": true, "sub": "alice"}, nil))
	signature := testkit.Must(jose.Sign(key, "ML-DSA-87", input))
	as.Handle(accesstokentest.IntrospectionPath, answers(200, signedType, input+"."+base64.RawURLEncoding.EncodeToString(signature)))
	for _, c := range []struct {
		name       string
		algorithms []string
		good       bool
	}{
		{"the default", nil, false},
		{"another", []string{"ML-DSA-65"}, false},
		{"listed", []string{"ES256", "ML-DSA-87"}, true},
	} {
		client := newDemanding(t, as, func(config *introspection.Config) {
			config.Algorithms = c.algorithms
			config.Keys = keySource(func(context.Context, string, string) ([]crypto.PublicKey, error) {
				return []crypto.PublicKey{key.Public()}, nil
			})
		})
		response, err := client.IntrospectWith(t.Context(), token, introspection.Options{Now: func() time.Time { return noon }})
		if c.good && (err != nil || response.Subject != "alice") {
			t.Errorf("%s: got %+v, %v; want alice", c.name, response, err)
		}
		if !c.good {
			wantBroken(t, response, err)
		}
	}
}
