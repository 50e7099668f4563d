package benchmarks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
	"github.com/accesstoken/accesstoken/dpop"
)

// A boundClient has a token that is bound to its key, and signs proofs with that key.
type boundClient struct {
	key    *ecdsa.PrivateKey
	signer *dpop.Signer
	token  string
}

func newBoundClient(tb testing.TB, i *issuer) *boundClient {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	signer, err := dpop.NewSigner(key)
	must(tb, err)
	return &boundClient{key, signer, i.sign(tb, 0, map[string]any{"cnf": map[string]string{"jkt": signer.Thumbprint()}})}
}

// requests returns n requests, each with a proof of its own, because a proof is good
// only once.
func (c *boundClient) requests(tb testing.TB, n int) (requests []*http.Request) {
	tb.Helper()
	for range n {
		r, err := http.NewRequest(http.MethodGet, resource+"/orders?from=1", nil)
		must(tb, err)
		r.RequestURI = "/orders?from=1"
		proof, err := c.signer.Sign(dpop.Proof{Method: http.MethodGet, URL: resource + "/orders", Token: c.token})
		must(tb, err)
		r.Header["Authorization"] = []string{"DPoP " + c.token}
		r.Header["Dpop"] = []string{proof}
		requests = append(requests, r)
	}
	return requests
}

// proving returns a validator that has seen the client before, so that token and key
// are cached.
func proving(tb testing.TB, i *issuer, c *boundClient) func(r *http.Request) error {
	tb.Helper()
	proofs, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}})
	must(tb, err)
	v := newValidator(tb, accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: issuerURL, Keys: i.keys}},
		DPoP:     proofs,
	})
	serve := func(r *http.Request) error {
		_, err := v.Authorize(context.Background(), accesstoken.CredentialsOf(r), accesstoken.Policy{})
		return err
	}
	must(tb, serve(c.requests(tb, 1)[0]))
	return serve
}

// rawProof is the minimum work for a proof: its SHA-256, and ECDSA.
func (c *boundClient) rawProof(tb testing.TB, r *http.Request) func() bool {
	tb.Helper()
	proof := r.Header["Dpop"][0]
	dot := strings.LastIndexByte(proof, '.')
	signature, err := base64.RawURLEncoding.DecodeString(proof[dot+1:])
	must(tb, err)
	x, y := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return func() bool {
		digest := sha256.Sum256([]byte(proof[:dot]))
		return ecdsa.Verify(&c.key.PublicKey, digest[:], x, y)
	}
}

// BenchmarkDPoP measures a request with a cached token and a new proof (RFC 9449), and
// the raw verification of that proof, alternating as in BenchmarkOverRaw.
func BenchmarkDPoP(b *testing.B) {
	i := issuerOf(b, "RS256")
	c := newBoundClient(b, i)
	requests := c.requests(b, lap)
	var raw []func() bool
	for _, r := range requests {
		raw = append(raw, c.rawProof(b, r))
	}
	const turn = 16
	var serve func(*http.Request) error
	var ratios, times, over []float64
	good, next := true, lap
	for b.Loop() {
		if next == lap {
			serve, next = proving(b, i, c), 0
		}
		rawTime := each(turn, func(n int) { good = raw[next+n]() && good })
		time := each(turn, func(n int) { must(b, serve(requests[next+n])) })
		next += turn
		ratios, times, over = append(ratios, time/rawTime), append(times, time), append(over, time-rawTime)
	}
	if !good {
		b.Fatal("the signature is wrong")
	}
	b.ReportMetric(report.Median(times), "ns/op")
	b.ReportMetric(report.Median(ratios), "×raw")
	b.ReportMetric(report.Median(over), "ns-over-raw")
}
