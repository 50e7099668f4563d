package dpop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
)

// signedOnce is a proof that is good at start, by a key whose private part nobody
// needs: so the seeds stay what they are.
const signedOnce = "eyJhbGciOiJFUzI1NiIsImp3ayI6eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImpsTTdiNkNfZTBZbHV6Qm1mQUg3WUg3NS1MaW9ELTliTUFZb2NER0hzcU0iLCJ5IjoiYy1zZHZlQXpHRFp0QnAtRHB2V1FBRlBITmpQTEJCc2h4VjRhaHNIMEFMUSJ9LCJ0eXAiOiJkcG9wK2p3dCJ9.eyJhdGgiOiJmVUh5TzJyMlozRFo1M0VzTnJXQmIweFdYb2FOeTU5SWlLQ0Fxa3NtUUVvIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9hcGkuZXhhbXBsZS5jb20vb3JkZXJzIiwiaWF0IjoxNzk1NDM1MjAwLCJqdGkiOiJzZWVkIn0.tMwnai3LAmd07ybtnebnc1LGyceug2eyYpJE4rNtpG4Nay_bBjWbDtrqMpWyQeuLM0Gd4uzxrdtOgyw6-4kufQ"

// FuzzProof: nothing is accepted but what was signed, in whatever spelling the
// signature of ECDSA is, and each error is of one kind.
func FuzzProof(f *testing.F) {
	input := signedOnce[:strings.LastIndexByte(signedOnce, '.')]
	parts := strings.Split(signedOnce, ".")
	for _, line := range []string{signedOnce, input + ".", parts[0] + ".e30." + parts[2], "e30.e30.e30", "..", signedOnce + ", " + signedOnce} {
		f.Add(line)
	}
	for _, change := range []members{{"alg": "none"}, {"jwk": members{}}, {"typ": nil}} {
		f.Add(signed(edKey(), header(edKey()).with(members{"alg": "EdDSA"}).with(change), claims()))
	}
	f.Fuzz(func(t *testing.T, line string) {
		v := verifier(t, dpop.Config{Store: new(countingStore)})
		r := request(line)
		r.Thumbprint = jkt(fixedKey())
		err := v.Verify(context.Background(), r)
		if err == nil && !strings.HasPrefix(line, input+".") {
			t.Errorf("%q: accepted; want what was signed only", line)
		}
		if kind := kindOf(err); strings.Contains(kind, " and ") || kind == "" {
			t.Errorf("%q: got %q (%v); want one kind", line, kind, err)
		}
	})
}

// fixedKey is no secret.
func fixedKey() *ecdsa.PrivateKey {
	secret := make([]byte, 32)
	secret[31] = 7
	return must(ecdsa.ParseRawPrivateKey(elliptic.P256(), secret))
}

func TestTheSeedIsGood(t *testing.T) {
	v := verifier(t, dpop.Config{})
	r := request(signedOnce)
	r.Thumbprint = jkt(fixedKey())
	check(t, v, r, "accepted")
}
