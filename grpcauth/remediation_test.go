package grpcauth_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// RAR-16: what a client should request is in the ErrorInfo and in the trailer, for a policy
// and for a method, for every kind of call, and up to its full size.
func TestTheRemediationOfACall(t *testing.T) {
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.DetailTypes, config.DraftRARMetadataRemediation = map[string]accesstoken.DetailType{"payment": {}}, true
	})
	const rest = len(`{"authorization_details":[{"identifier":"","type":"payment"}]}`)
	largest := strings.Repeat("x", 3<<10-rest)
	wanted := `{"authorization_details":[{"identifier":"` + largest + `","type":"payment"}]}`
	byPolicy := accesstoken.Policy{Scopes: scopes.None(), Details: []accesstoken.DetailRequirement{{Type: "payment", Identifier: largest}}}
	byMethod := func(context.Context) error {
		return accesstoken.DetailsInsufficient(map[string]string{"type": "payment", "identifier": largest})
	}
	for name, test := range map[string]struct {
		policy accesstoken.Policy
		fail   func(context.Context) error
	}{
		"the policy": {byPolicy, nil},
		"the method": {accesstoken.Policy{Scopes: scopes.None()}, byMethod},
	} {
		auth := newAuth(t, v, grpcauth.Options{Methods: map[string]accesstoken.Policy{wholeService: test.policy}})
		client := overBufconn.serveTest(t, auth.ServerOptions(), &service{fail: test.fail})
		for _, kind := range kinds {
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				var trailer metadata.MD
				err := kind.call(with(t.Context(), bearer("a")), client, grpc.Trailer(&trailer))
				wantStatus(t, err, codes.Unauthenticated, "AUTHORIZATION_DETAILS_INSUFFICIENT")
				var told map[string]string
				for _, detail := range status.Convert(err).Details() {
					if info, ok := detail.(*errdetails.ErrorInfo); ok {
						told = info.GetMetadata()
					}
				}
				text, _ := base64.RawURLEncoding.DecodeString(told["authorization_remediation"])
				if string(text) != wanted || told["error"] != "insufficient_authorization" {
					t.Errorf("got the metadata %q with %.80s…; want %.80s…", told["error"], text, wanted)
				}
				if got := trailer.Get("www-authenticate"); len(got) != 1 || !strings.Contains(got[0], `authorization_remediation="`+told["authorization_remediation"]+`"`) {
					t.Errorf("got the trailer %.200q…; want what the metadata have", got)
				}
			})
		}
	}
}

// RAR-12: a public method has no caller, also behind other interceptors that have accepted
// the call.
func TestAPublicMethodHasNoRemediation(t *testing.T) {
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.DetailTypes, config.DraftRARMetadataRemediation = map[string]accesstoken.DetailType{"payment": {}}, true
		config.OnRefuse = func(ctx context.Context, _ *accesstoken.Error) {
			if caller, ok := accesstoken.FromContext(ctx); ok {
				t.Errorf("OnRefuse: got the caller %q; want none", caller.Subject)
			}
		}
	})
	outer := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	public := grpcauth.Options{}
	for _, kind := range kinds {
		public.Public = append(public.Public, kind.method)
	}
	inner := newAuth(t, v, public)
	fail := func(context.Context) error {
		return accesstoken.DetailsInsufficient(map[string]string{"type": "payment"})
	}
	client := overBufconn.serveTest(t, []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(outer.UnaryInterceptor, inner.UnaryInterceptor), grpc.ChainStreamInterceptor(outer.StreamInterceptor, inner.StreamInterceptor),
	}, &service{fail: fail})
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			var trailer metadata.MD
			err := kind.call(with(t.Context(), bearer("a")), client, grpc.Trailer(&trailer))
			wantStatus(t, err, codes.Unauthenticated, "AUTHORIZATION_DETAILS_INSUFFICIENT")
			if got := trailer.Get("www-authenticate"); len(got) != 1 || strings.Contains(got[0], "authorization_remediation") {
				t.Errorf("got %q; want no remediation", got)
			}
		})
	}
}
