package dpop_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
)

func TestFAPI2ErrReportsWhatTheProfileDoesNotAllow(t *testing.T) {
	good := []string{"ES256", "PS256", "EdDSA", "Ed25519"}
	for _, c := range []struct {
		name   string
		config dpop.Config
		want   []string // how the lines begin
	}{
		{"the algorithms of the profile", dpop.Config{Algorithms: good}, nil},
		{"the longest leeway", dpop.Config{Algorithms: good, Leeway: time.Minute}, nil},
		{"the shortest leeway", dpop.Config{Algorithms: good, Leeway: 10 * time.Second}, nil},
		{"an old proof", dpop.Config{Algorithms: good, MaxAge: 10 * time.Minute}, nil},
		{"no leeway", dpop.Config{Algorithms: good, Leeway: -1}, []string{"Leeway is 0s; set it between 10s and 1m0s"}},
		{"a short leeway", dpop.Config{Algorithms: good, Leeway: 9 * time.Second}, []string{"Leeway is 9s"}},
		{"RS256", dpop.Config{Algorithms: []string{"ES256", "RS256"}}, []string{`Algorithms has "RS256"; the profile allows`}},
		{"the defaults", dpop.Config{}, []string{`Algorithms has "ES384"`, `Algorithms has "ES512"`, `Algorithms has "PS384"`, `Algorithms has "PS512"`, `Algorithms has "RS256"`}},
		{"two faults", dpop.Config{Algorithms: []string{"RS256"}, Leeway: -1}, []string{"Algorithms has", "Leeway is"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := verifier(t, c.config).FAPI2Err()
			var lines []string
			if err != nil {
				lines = strings.Split(err.Error(), "\n")
			}
			if len(lines) != len(c.want) {
				t.Fatalf("got %q; want %d faults", lines, len(c.want))
			}
			for n, line := range lines {
				if !strings.HasPrefix(line, c.want[n]) {
					t.Errorf("got %q; want it to begin with %q", line, c.want[n])
				}
			}
		})
	}
}

// A client chooses the key of its proofs. One whose signatures are dear to verify is
// refused before any of them is.
func TestAKeyThatIsDearToVerifyIsRefused(t *testing.T) {
	modulus := func(bits int) string {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return b64(n.Add(n, big.NewInt(1)).Bytes())
	}
	exponent := func(e int64) string { return b64(big.NewInt(e).Bytes()) }
	for _, c := range []struct {
		name, n, e string
		want       string
	}{
		// Of those that are allowed, the key is not the token's.
		{"4096 bits", modulus(4096), exponent(65537), "ErrKey"},
		{"an exponent of 17 bits", modulus(2048), exponent(1<<17 - 1), "ErrKey"},
		{"4097 bits", modulus(4097), exponent(65537), "ErrProof: at most 4096 bits"},
		{"8192 bits", modulus(8192), exponent(65537), "ErrProof: at most 4096 bits"},
		{"an exponent of 18 bits", modulus(2048), exponent(1<<17 + 1), "ErrProof: "},
		{"an exponent of 31 bits", modulus(4096), exponent(1<<31 - 1), "ErrProof: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, alg := range []string{"PS256", "RS256"} {
				head := members{"typ": "dpop+jwt", "alg": alg, "jwk": members{"kty": "RSA", "n": c.n, "e": c.e}}
				proof := signed(rsaKey(), head, claims())
				check(t, verifier(t, dpop.Config{}), request(proof), c.want)
				if strings.Contains(fmt.Sprint(verifier(t, dpop.Config{}).Verify(t.Context(), request(proof))), c.n) {
					t.Error("the error has the key in it; want none of the proof")
				}
			}
		})
	}
}
