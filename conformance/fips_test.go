package conformance

import (
	"context"
	"crypto/fips140"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// inFIPSMode is the environment variable that makes TestMain run verifyInFIPSMode, as a
// program in which all cryptography fails that is not approved.
const inFIPSMode = "CONFORMANCE_FIPS"

// TestTheDefaultsWorkInFIPSMode is OPS-20. It runs this test binary again with
// GODEBUG=fips140=only, because Go reads that only at the start of a program.
func TestTheDefaultsWorkInFIPSMode(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.CommandContext(t.Context(), program)
	again.Env = append(os.Environ(), "GODEBUG=fips140=only", inFIPSMode+"=1")
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("got %v\n%s; want a token of every default algorithm accepted", err, output)
	}
}

// verifyInFIPSMode finds keys over TLS and verifies a token of every default
// algorithm, a good one and a forged one.
func verifyInFIPSMode() error {
	if !fips140.Enabled() {
		return fmt.Errorf("got GODEBUG=%q and no FIPS 140 mode", os.Getenv("GODEBUG"))
	}
	as, err := accesstokentest.Start()
	if err != nil {
		return err
	}
	defer as.Close()
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, HTTPClient: as.Client(), Issuers: []accesstoken.Issuer{{URL: as.URL}}})
	if err != nil {
		return err
	}
	defer v.Close()
	for _, algorithm := range jose.DefaultAlgorithms() {
		token := as.Sign(map[string]any{"alg": algorithm, "typ": "at+jwt"}, as.Claims(accesstokentest.Claims{"aud": resource}))
		if _, err := v.Validate(context.Background(), accesstoken.Bearer(token)); err != nil {
			return fmt.Errorf("%s: got %w; want it accepted", algorithm, err)
		}
		if _, err := v.Validate(context.Background(), accesstoken.Bearer(mutations["flip payload"](token))); err == nil {
			return fmt.Errorf("%s: got a forged token accepted", algorithm)
		}
	}
	return nil
}
