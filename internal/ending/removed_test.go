package ending_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

// If SetIssuers removes the issuer, the context ends at once, with the refusal as cause.
func TestAResponseEndsWithItsIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, claims := admit(t, nil)
		w, before := newWriter(), time.Now()
		serve(w, v, claims, func(ctx context.Context) {
			if err := v.SetIssuers(accesstoken.Issuer{URL: "https://other.example", Keys: jwks.Static(as.Keys()...)}); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			if err := context.Cause(ctx); !errors.Is(err, accesstoken.IssuerUnknown) {
				t.Errorf("got the cause %v; want ISSUER_UNKNOWN", err)
			}
		})
		if took := time.Since(before); took > time.Second {
			t.Errorf("got the end after %v; want at once", took)
		}
		time.Sleep(time.Hour)
		w.want(t)
	})
}

// The same holds for a token without an end.
func TestAResponseWithoutAnEndEndsWithItsIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, claims := admit(t, nil)
		claims.Expiry = time.Time{}
		serve(newWriter(), v, claims, func(ctx context.Context) {
			if err := v.SetIssuers(accesstoken.Issuer{URL: "https://other.example", Keys: jwks.Static(as.Keys()...)}); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
		})
	})
}
