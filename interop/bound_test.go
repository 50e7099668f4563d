//go:build interop

package interop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
)

// newSigner makes proofs with a key of its own.
func newSigner(t *testing.T) *dpop.Signer {
	t.Helper()
	return signerOf(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
}

func signerOf(t *testing.T, key crypto.Signer) *dpop.Signer {
	t.Helper()
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// prove signs a proof.
func prove(t *testing.T, signer *dpop.Signer, proof dpop.Proof) string {
	t.Helper()
	signed, err := signer.Sign(proof)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// issueBound gets a token that is bound to a key, and discards the key.
func (s *server) issueBound(t *testing.T, client, audience, scope string) string {
	t.Helper()
	return s.issueBoundTo(t, newSigner(t), client, audience, scope)
}

// issueBoundTo gets a token that is bound to a key (RFC 9449 §5). If the server requires
// a nonce, it asks again with one (§8).
func (s *server) issueBoundTo(t *testing.T, signer *dpop.Signer, client, audience, scope string) string {
	t.Helper()
	got := s.askBound(t, signer, client, audience, scope, "")
	if got.Error == "use_dpop_nonce" {
		got = s.askBound(t, signer, client, audience, scope, got.nonce)
	}
	if got.Access == "" || !strings.EqualFold(got.Type, "DPoP") {
		t.Fatalf("the token endpoint gave %s a token of type %q, error %q; want a DPoP token", client, got.Type, got.Error)
	}
	return got.Access
}

// A boundAnswer is the answer of a token endpoint to a client with a proof.
type boundAnswer struct {
	Access string `json:"access_token"`
	Type   string `json:"token_type"`
	Error  string `json:"error"`
	nonce  string
}

func (s *server) askBound(t *testing.T, signer *dpop.Signer, client, audience, scope, nonce string) (got boundAnswer) {
	t.Helper()
	endpoint := s.endpoint(t, "token_endpoint")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(s.asksFor(audience, scope).Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("DPoP", prove(t, signer, dpop.Proof{Method: http.MethodPost, URL: endpoint, Nonce: nonce}))
	request.SetBasicAuth(client, s.secret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Fatalf("the token endpoint answers %s: %v", response.Status, err)
	}
	got.nonce = response.Header.Get("DPoP-Nonce")
	return got
}

// serveBound starts a resource server that accepts DPoP. Its URL replaces those of the
// setting.
func serveBound(t *testing.T, issuer accesstoken.Issuer, setting dpop.Config) *resourceServer {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	setting.URLs = []string{"http://" + web.Listener.Addr().String()}
	verifier, err := dpop.NewVerifier(setting)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, web, accesstoken.Config{Issuers: []accesstoken.Issuer{issuer}, DPoP: verifier}, routes)
}

// presentBound starts a resource server, and presents a token to it with a proof.
func presentBound(t *testing.T, issuer accesstoken.Issuer, token string, signer *dpop.Signer) string {
	t.Helper()
	rs := serveBound(t, issuer, dpop.Config{})
	got, _, _ := rs.prove(t, "DPoP", token, prove(t, signer, dpop.Proof{Method: http.MethodGet, URL: rs.url + "/", Token: token}))
	return got.String()
}

// prove presents a token with these proofs.
func (rs *resourceServer) prove(t *testing.T, scheme, token string, proofs ...string) (got verdict, found caller, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rs.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", scheme+" "+token)
	request.Header["Dpop"] = proofs
	return rs.answers(t, http.DefaultClient, request)
}

// changedProof changes the claims of a proof, and signs it again.
func changedProof(t *testing.T, key *ecdsa.PrivateKey, proof string, change func(claims object) object) string {
	t.Helper()
	parts := strings.Split(proof, ".")
	input := parts[0] + "." + encode([]byte(change(readObject(t, parts[1])).String()))
	return input + "." + encode(seal("ES256", key, input))
}

// runNodeClient runs testdata/oracles/client.mjs to its end, and returns its output.
func runNodeClient(t *testing.T, setting map[string]string) string {
	t.Helper()
	script, err := os.Open("testdata/oracles/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	ctx, cancel := context.WithTimeout(t.Context(), starting)
	defer cancel()
	cmd := exec.CommandContext(ctx, installNode(t), "--input-type=module", "-", string(must(json.Marshal(setting))))
	cmd.Dir, cmd.Stdin = installNodeOracles(t), script
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("client.mjs: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
