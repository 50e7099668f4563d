package verify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	auth0v3 "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/validator"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// provers are the libraries that verify DPoP proofs (RFC 9449). auth0-v3 does not check
// jti, so it accepts a proof any number of times.
var provers = []struct {
	name string
	wrap func(testing.TB, *issuer) (wrap func(http.Handler) http.Handler, who func(context.Context, *handler))
}{
	{"accesstoken", func(tb testing.TB, i *issuer) (func(http.Handler) http.Handler, func(context.Context, *handler)) {
		proofs, err := dpop.NewVerifier(dpop.Config{URLs: []string{audience}})
		must(tb, err)
		v, err := accesstoken.NewValidator(accesstoken.Config{
			Resource: audience,
			Issuers:  []accesstoken.Issuer{{URL: issuerURL, Keys: keysOf(tb, i), Algorithms: []string{i.alg}}},
			DPoP:     proofs,
		})
		must(tb, err)
		tb.Cleanup(func() { _ = v.Close() })
		return middleware.New(v, nil).Require(scopes.All(writing)).Wrap, ours
	}},
	{"auth0-v3", func(tb testing.TB, i *issuer) (func(http.Handler) http.Handler, func(context.Context, *handler)) {
		auth, err := auth0v3.New(auth0v3.WithValidator(newAuth0v3(tb, i)))
		must(tb, err)
		return auth.CheckJWT, func(ctx context.Context, h *handler) {
			if claims, err := auth0v3.GetClaims[*validator.ValidatedClaims](ctx); err == nil {
				h.admit(auth0v3Caller(claims))
			}
		}
	}},
}

// BenchmarkDPoP measures requests of a client that was seen before. The RS256 token is
// bound to a P-256 key, and each request has a new proof.
func BenchmarkDPoP(b *testing.B) {
	b.Run("alg=RS256/by=raw", func(b *testing.B) {
		verify, next := bareProofs(b, lap), 0
		b.ReportAllocs()
		for b.Loop() {
			if !verify[next%lap]() {
				b.Fatal("the signature is wrong")
			}
			next++
		}
	})
	for _, p := range provers {
		b.Run("alg=RS256/by="+p.name, func(b *testing.B) {
			i := issuerOf(b, "RS256")
			requests := boundRequests(b, i, lap)
			var send func(*http.Request)
			next := lap
			for b.Loop() {
				if next == lap {
					b.StopTimer()
					send, next = proving(b, i, p.wrap, requests[lap]), 0
					b.StartTimer()
				}
				send(requests[next])
				next++
			}
			b.ReportAllocs()
		})
	}
}

// bareProofs verify only the signatures of n proofs.
func bareProofs(tb testing.TB, n int) (verify []func() bool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	signer, err := dpop.NewSigner(key)
	must(tb, err)
	for range n {
		proof, err := signer.Sign(dpop.Proof{Method: http.MethodPost, URL: audience + "/orders", Token: "token"})
		must(tb, err)
		dot := strings.LastIndexByte(proof, '.')
		signature, err := base64.RawURLEncoding.DecodeString(proof[dot+1:])
		must(tb, err)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		verify = append(verify, func() bool {
			digest := sha256.Sum256([]byte(proof[:dot]))
			return ecdsa.Verify(&key.PublicKey, digest[:], r, s)
		})
	}
	return verify
}

// proving returns a function that serves a request, and has served one already.
func proving(tb testing.TB, i *issuer, wrap func(testing.TB, *issuer) (func(http.Handler) http.Handler, func(context.Context, *handler)), first *http.Request) func(*http.Request) {
	tb.Helper()
	protect, who := wrap(tb, i)
	h := &handler{}
	wrapped := protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { who(r.Context(), h) }))
	w := nowhere{http.Header{}}
	send := func(r *http.Request) {
		h.subject = ""
		wrapped.ServeHTTP(w, r)
		if h.subject == "" {
			tb.Fatal(errRefused)
		}
	}
	send(first)
	return send
}

// boundRequests makes n+1 requests, each with a proof of its own.
func boundRequests(tb testing.TB, i *issuer, n int) (requests []*http.Request) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	signer, err := dpop.NewSigner(key)
	must(tb, err)
	token := i.sign(tb, 0, nil, map[string]any{"cnf": map[string]string{"jkt": signer.Thumbprint()}})
	for range n + 1 {
		r := httptest.NewRequest(http.MethodPost, audience+"/orders", nil)
		r.TLS = &tls.ConnectionState{} // for libraries that read the scheme from the request
		proof, err := signer.Sign(dpop.Proof{Method: r.Method, URL: audience + "/orders", Token: token})
		must(tb, err)
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", proof)
		requests = append(requests, r)
	}
	return requests
}

// TestProversRefuseTheftOfAToken checks that all rows do the same work.
func TestProversRefuseTheftOfAToken(t *testing.T) {
	i := issuerOf(t, "RS256")
	mine, another := boundRequests(t, i, 1), boundRequests(t, i, 1)
	for _, p := range provers {
		send := proving(t, i, p.wrap, mine[0])
		send(mine[1])
		protect, _ := p.wrap(t, i)
		for name, header := range map[string]http.Header{
			"another key":    {"Authorization": mine[0].Header["Authorization"], "Dpop": another[0].Header["Dpop"]},
			"as Bearer":      {"Authorization": {"Bearer" + mine[0].Header.Get("Authorization")[4:]}, "Dpop": mine[0].Header["Dpop"]},
			"without proof":  {"Authorization": mine[0].Header["Authorization"]},
			"another method": nil,
		} {
			r := mine[0].Clone(t.Context())
			if header == nil {
				r.Method = http.MethodPut
			} else {
				r.Header = header
			}
			w := httptest.NewRecorder()
			protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: %s: let in", p.name, name) })).ServeHTTP(w, r)
		}
	}
}
