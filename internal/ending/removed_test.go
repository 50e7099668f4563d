package ending_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/ending"
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

// A request inside another one may have the token of another issuer, which ends in the same
// second. It ends with its own issuer.
func TestAServeInsideThatOfAnotherIssuerEndsWithItsOwn(t *testing.T) {
	other := accesstokentest.NewServer(t)
	synctest.Test(t, func(t *testing.T) {
		kept := accesstoken.Issuer{URL: as.URL, Keys: jwks.Static(as.Keys()...)}
		v, _ := admit(t, nil)
		if err := v.SetIssuers(kept, accesstoken.Issuer{URL: other.URL, Keys: jwks.Static(other.Keys()...)}); err != nil {
			t.Fatal(err)
		}
		claims := claimsFor(t, v, time.Hour)
		inner, err := v.Validate(t.Context(), accesstoken.Bearer(other.Token(accesstokentest.Claims{"exp": claims.Expiry.Unix()})))
		if err != nil {
			t.Fatal(err)
		}
		serve(newWriter(), v, claims, func(ctx context.Context) {
			before := time.Now()
			ending.Serve(ctx, newWriter(), v, inner, func(ctx context.Context) {
				if err := v.SetIssuers(kept); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
			})
			if took := time.Since(before); took > time.Second || ctx.Err() != nil {
				t.Errorf("got the end of the inner one after %v, of the outer one: %v; want it at once, and nil", took, ctx.Err())
			}
		})
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
