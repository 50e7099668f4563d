package grpcauth_test

import (
	"testing"
	"testing/synctest"
	"time"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

func TestDecisionsAreToldWithTheTransport(t *testing.T) {
	told := new(testkit.Told)
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.OnDecide = told.OnDecide })
	s := new(service)
	auth := newAuth(t, v, grpcauth.Options{Methods: map[string]accesstoken.Policy{testpb.TestService_UnaryCall_FullMethodName: {Scopes: scopes.All("a")}}})
	client := overBufconn.serveTest(t, auth.ServerOptions(), s)
	unary, server := kinds[0], kinds[2]
	if err := unary.call(with(t.Context(), token()), client); err != nil {
		t.Fatal(err)
	}
	told.Want(t, `"alice" by "signature" over "grpc": accepted`)
	if err := server.call(with(t.Context(), token()), client); err == nil {
		t.Error("got no error; want PERMISSION_DENIED")
	}
	told.Want(t, `"" by "" over "grpc": POLICY_DENIED`) // no rule
}

// The looks at an open stream are not told, but its end is, once.
func TestTheEndOfAStreamIsToldOnce(t *testing.T) {
	for reason, end := range map[string]func(b *bubble, opaque string){
		"TOKEN_INACTIVE": func(_ *bubble, opaque string) { as.Revoke(opaque) },
		"TOKEN_EXPIRED":  func(*bubble, string) {},
		"ISSUER_UNKNOWN": func(b *bubble, _ string) {
			_ = b.validator.SetIssuers(accesstoken.Issuer{URL: "https://other.example"})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, now := inBubble(t, grpcauth.Options{StreamCheck: time.Second}), time.Now()
			opaque := as.Opaque(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()})
			stream := b.echoing(t, opaque)
			time.Sleep(10 * time.Second)
			b.told.Want(t, `"alice" by "introspection" over "grpc": accepted`)
			end(b, opaque)
			if _, err := stream.Recv(); err == nil {
				t.Error("got no error; want the end of the stream")
			}
			synctest.Wait()
			b.told.Want(t, `"alice" by "check" over "grpc": ended with `+reason)
		})
	}
}
