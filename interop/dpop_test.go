//go:build interop

package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
)

// TestDPoP makes oidc-provider bind tokens to a client's key (RFC 9449), and presents
// them as the client and as a thief.
func TestDPoP(t *testing.T) {
	s := startOIDCProviderWith(t, map[string]any{"keys": []any{}, "nonces": true})
	t.Run("the token endpoint demands a nonce", func(t *testing.T) { demandedNonces(t, s) })
	for _, kind := range []struct {
		name, client string
		issuer       accesstoken.Issuer
	}{
		{"JWT", "bound", s.jwts()},
		{"opaque", "bound-opaque", s.both(t)},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Run("the client and thieves", func(t *testing.T) { thefts(t, s, kind.issuer, kind.client) })
			t.Run("nonces", func(t *testing.T) { resourceNonces(t, s, kind.issuer, kind.client) })
		})
	}
	t.Run("answers", func(t *testing.T) {
		expectShape(t, "opaque token, bound", s.introspect(t, s.issueBound(t, "bound-opaque", resource, "read")),
			"active:true aud:string client_id:string cnf:object exp:number iat:number iss:string scope:string token_type:string")
	})
	t.Run("oauth4webapi is the client", func(t *testing.T) { clientOfOthers(t, s) })
}

// demandedNonces checks that the token endpoint refuses because the nonce is missing.
func demandedNonces(t *testing.T, s *server) {
	signer := newSigner(t)
	for name, nonce := range map[string]string{"none": "", "one that it has not given": "never-issued"} {
		got := s.askBound(t, signer, "bound", resource, "read", nonce)
		if got.Error != "use_dpop_nonce" || got.nonce == "" || got.Access != "" {
			t.Errorf("%s: got the error %q, a nonce: %t; want use_dpop_nonce and a nonce", name, got.Error, got.nonce != "")
		}
	}
	nonce := s.askBound(t, signer, "bound", resource, "read", "").nonce
	if got := s.askBound(t, signer, "bound", resource, "read", nonce); got.Access == "" {
		t.Errorf("with its nonce: got the error %q; want a token", got.Error)
	}
}

// thefts presents a token in every way that its client would not use.
func thefts(t *testing.T, s *server, issuer accesstoken.Issuer, client string) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	signer, thief := signerOf(t, key), newSigner(t)
	token := s.issueBoundTo(t, signer, client, resource, "read")
	other := s.issueBoundTo(t, signer, client, resource, "read")
	rs := serveBound(t, issuer, dpop.Config{})
	proof := func(signer *dpop.Signer, change func(p *dpop.Proof)) string {
		p := dpop.Proof{Method: http.MethodGet, URL: rs.url + "/", Token: token}
		change(&p)
		return prove(t, signer, p)
	}
	own := func() string { return proof(signer, func(*dpop.Proof) {}) }
	dated := func(name string, from int) string {
		return changedProof(t, key, own(), func(claims object) object { return claims.with(name, moment(from)) })
	}
	used := own()
	for _, test := range []struct {
		name, scheme string
		proofs       []string
		want         verdict
	}{
		{"the client", "DPoP", []string{used}, allowed()},
		{"the client, again", "DPoP", []string{own()}, allowed()},
		{"the client, with the scheme in lower case", "dpop", []string{own()}, allowed()},
		{"the client, whose clock is 5 s ahead", "DPoP", []string{dated("iat", 5)}, allowed()},
		{"the same proof twice", "DPoP", []string{used}, invalid(accesstoken.DPoPProofReplayed)},
		{"no proof", "DPoP", nil, invalid(accesstoken.DPoPProofInvalid)},
		{"two proofs", "DPoP", []string{own(), own()}, invalid(accesstoken.DPoPProofInvalid)},
		{"as a bearer token", "Bearer", nil, invalid(accesstoken.BindingRequired)},
		{"as a bearer token, with a proof", "Bearer", []string{own()}, invalid(accesstoken.BindingRequired)},
		{"another key's proof", "DPoP", []string{proof(thief, func(*dpop.Proof) {})}, invalid(accesstoken.BindingMismatch)},
		{"the thief's signature under the client's header", "DPoP", []string{
			changedProof(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), own(), slices.Clone[object])}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof for another server", "DPoP", []string{proof(signer, func(p *dpop.Proof) { p.URL = otherResource + "/" })}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof for the token endpoint", "DPoP", []string{proof(signer, func(p *dpop.Proof) {
			p.URL, p.Method, p.Token = s.endpoint(t, "token_endpoint"), http.MethodPost, ""
		})}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof for another path", "DPoP", []string{proof(signer, func(p *dpop.Proof) { p.URL = rs.url + "/write" })}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof for another method", "DPoP", []string{proof(signer, func(p *dpop.Proof) { p.Method = http.MethodPost })}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof for another token", "DPoP", []string{proof(signer, func(p *dpop.Proof) { p.Token = other })}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof for no token", "DPoP", []string{proof(signer, func(p *dpop.Proof) { p.Token = "" })}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof of two minutes ago", "DPoP", []string{dated("iat", -120)}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof of in two minutes", "DPoP", []string{dated("iat", 120)}, invalid(accesstoken.DPoPProofInvalid)},
		{"a proof that has expired", "DPoP", []string{dated("exp", -60)}, invalid(accesstoken.DPoPProofInvalid)},
		{"the client, in the end", "DPoP", []string{own()}, allowed()},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs.expectProved(t, test.scheme, token, test.proofs, test.want)
		})
	}
	t.Run("a token that is bound to nothing", func(t *testing.T) {
		unbound := s.issue(t, strings.Replace(strings.Replace(client, "bound-opaque", "opaque", 1), "bound", "jwt", 1), resource, "read")
		rs.expectProved(t, "DPoP", unbound, []string{prove(t, thief, dpop.Proof{Method: http.MethodGet, URL: rs.url + "/", Token: unbound})}, invalid(accesstoken.BindingRequired))
		rs.expectProved(t, "Bearer", unbound, nil, allowed())
	})
	t.Run("a resource server that knows nothing of proofs", func(t *testing.T) {
		serve(t, issuer).expectProved(t, "DPoP", token, []string{own()}, invalid(accesstoken.SchemeUnsupported))
	})
}

// expectProved presents a token with proofs, and compares.
func (rs *resourceServer) expectProved(t *testing.T, scheme, token string, proofs []string, want verdict) (header http.Header) {
	t.Helper()
	got, _, header := rs.prove(t, scheme, token, proofs...)
	if got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	return header
}

// resourceNonces requires nonces of the resource server (RFC 9449 §9).
func resourceNonces(t *testing.T, s *server, issuer accesstoken.Issuer, client string) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	signer := signerOf(t, key)
	token := s.issueBoundTo(t, signer, client, resource, "read")
	rs := serveBound(t, issuer, dpop.Config{NonceKey: []byte(newSecret())})
	proof := func(nonce string) string {
		return prove(t, signer, dpop.Proof{Method: http.MethodGet, URL: rs.url + "/", Token: token, Nonce: nonce})
	}
	demanded := invalid(accesstoken.DPoPNonceRequired)
	header := rs.expectProved(t, "DPoP", token, []string{proof("")}, demanded)
	nonce := header.Get("DPoP-Nonce")
	if challenge := header.Get("WWW-Authenticate"); nonce == "" || !strings.Contains(challenge, `error="use_dpop_nonce"`) {
		t.Fatalf("got the challenge %q, a nonce: %t; want use_dpop_nonce and a nonce", challenge, nonce != "")
	}
	first := proof(nonce)
	rs.expectProved(t, "DPoP", token, []string{first}, allowed())
	rs.expectProved(t, "DPoP", token, []string{proof(nonce)}, allowed()) // a nonce is good for many
	rs.expectProved(t, "DPoP", token, []string{first}, invalid(accesstoken.DPoPProofReplayed))
	late := changedProof(t, key, proof(nonce), func(claims object) object { return claims.with("iat", moment(-3600)) })
	rs.expectProved(t, "DPoP", token, []string{late}, allowed()) // our clock counts, not the client's (§11.1)
	rs.expectProved(t, "DPoP", token, []string{proof(nonce + "x")}, demanded)
	ofIssuer := s.askBound(t, signer, client, resource, "read", "").nonce
	rs.expectProved(t, "DPoP", token, []string{proof(ofIssuer)}, demanded)
	byThief := prove(t, newSigner(t), dpop.Proof{Method: http.MethodGet, URL: rs.url + "/", Token: token, Nonce: nonce})
	rs.expectProved(t, "DPoP", token, []string{byThief}, invalid(accesstoken.BindingMismatch))
}

// clientOfOthers lets oauth4webapi get a token and use it, with the nonces of both
// servers.
func clientOfOthers(t *testing.T, s *server) {
	for _, kind := range []struct {
		client string
		issuer accesstoken.Issuer
	}{{"bound", s.jwts()}, {"bound-opaque", s.both(t)}} {
		for name, setting := range map[string]dpop.Config{"without nonces": {}, "with nonces": {NonceKey: []byte(newSecret())}} {
			t.Run(kind.client+", "+name, func(t *testing.T) {
				rs := serveBound(t, kind.issuer, setting)
				got := runNodeClient(t, map[string]string{
					"issuer": s.issuer, "client": kind.client, "secret": s.secret, "resource": resource, "url": rs.url + "/?page=2",
				})
				if want := "200 200 " + kind.client; got != want {
					t.Errorf("its two requests: got %q; want %q", got, want)
				}
			})
		}
	}
}
