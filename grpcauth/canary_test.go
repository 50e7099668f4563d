package grpcauth_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/adaptertest"
	"github.com/accesstoken/accesstoken/scopes"
)

// canary begins every text that a request or a token brings.
const canary = "kanarie7x"

// marked returns Authorization lines that are refused, each for another reason,
// with the canary in whatever they can have it in.
func marked() map[string][]string {
	claims := func(more accesstokentest.Claims) accesstokentest.Claims {
		all := accesstokentest.Claims{"sub": canary + "-sub", "client_id": canary + "-client", "jti": canary, "scope": canary, canary: map[string]any{canary: canary}}
		maps.Copy(all, more)
		return as.Claims(all)
	}
	header := func(more map[string]any) map[string]any {
		all := map[string]any{"typ": "at+jwt", "jku": "https://" + canary + ".example", "x5u": canary, canary: canary}
		maps.Copy(all, more)
		return all
	}
	good := "Bearer " + as.Sign(header(nil), claims(nil))
	return map[string][]string{
		"two lines":               {good, good},
		"another scheme":          {canary + " " + canary},
		"malformed":               {"Bearer " + canary + " " + canary},
		"opaque":                  {"Bearer " + canary},
		"a key that is not there": {"Bearer " + as.Sign(header(map[string]any{"kid": canary}), claims(nil))},
		"another kind":            {"Bearer " + as.Sign(header(map[string]any{"typ": canary}), claims(nil))},
		"another issuer":          {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"iss": "https://" + canary + ".example"}))},
		"for somebody else":       {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"aud": canary}))},
		"expired":                 {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"exp": 1}))},
		"bound":                   {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"cnf": map[string]any{"jkt": canary}}))},
		"tampered with":           {good[:len(good)-12] + "AAAAAAAAAAAA"},
		"without the scope":       {good},
	}
}

// wantNoCanary fails the test if the canary is in a text: as it is, in hex, in
// base64 wherever it begins in a group of three bytes, or as a part of the lines.
func wantNoCanary(t *testing.T, where, text string, lines []string) {
	t.Helper()
	forms := []string{canary, hex.EncodeToString([]byte(canary))}
	for before := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", before) + canary + "xxx"))
		forms = append(forms, encoded[(before*8+5)/6:(before+len(canary))*8/6])
	}
	for _, line := range lines {
		for part := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == '.' || r == ' ' }) {
			if len(part) >= 20 {
				forms = append(forms, part[:20], part[len(part)-20:])
			}
		}
	}
	for _, form := range forms {
		if strings.Contains(text, form) || strings.Contains(strings.ToLower(text), form) {
			t.Errorf("%s: got %q; want nothing of %q in it", where, text, form)
		}
	}
}

// told makes a call and says all that the client can see of it: the status with
// its details, byte for byte, the header and the trailer.
func told(t *testing.T, ctx context.Context, client testpb.TestServiceClient, k kind) string {
	t.Helper()
	var header, trailer metadata.MD
	err := k.call(ctx, client, grpc.Header(&header), grpc.Trailer(&trailer))
	if status.Code(err) == codes.OK || status.Code(err) == codes.Unknown {
		t.Errorf("%s: got %v; want a refusal", k.name, err)
	}
	return fmt.Sprint(err, status.Convert(err).Proto(), status.Convert(err).Details(), header, trailer)
}

// canaryClient asks a server whose methods demand the policy.
func canaryClient(t *testing.T, s *service, policy accesstoken.Policy, wrap ...grpc.ServerOption) testpb.TestServiceClient {
	t.Helper()
	auth, err := grpcauth.New(adaptertest.NewValidator(t, as, nil), &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/grpc.testing.TestService/*": policy}})
	if err != nil {
		t.Fatal(err)
	}
	return overTLS.serveTest(t, append(wrap, auth.ServerOptions()...), s)
}

func TestARefusalTellsNothingOfTheCall(t *testing.T) {
	s := new(service)
	client := canaryClient(t, s, accesstoken.Policy{Scopes: scopes.All("orders:write")})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "cookie", canary, "x-access-token", canary)
	for name, lines := range marked() {
		for _, k := range kinds {
			wantNoCanary(t, name+", "+k.name, told(t, with(ctx, lines...), client, k), lines)
		}
	}
	if len(s.subjects) != 0 {
		t.Errorf("got %d calls that arrived; want none", len(s.subjects))
	}
}

// A method that nobody has heard of is not repeated to who made it up.
func TestAMethodWithoutARuleIsNotRepeated(t *testing.T) {
	var refused []string
	v := adaptertest.NewValidator(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(_ context.Context, e *accesstoken.Error) { refused = append(refused, string(e.Reason)) }
	})
	auth, err := grpcauth.New(v, &grpcauth.Options{Public: []string{"/a.B/C"}})
	if err != nil {
		t.Fatal(err)
	}
	var trailer metadata.MD
	conn := overBufconn.serve(t, auth.ServerOptions(), func(*grpc.Server) {})
	err = conn.Invoke(with(t.Context(), bearer(canary)), "/"+canary+".Service/"+canary, &testpb.Empty{}, &testpb.Empty{}, grpc.Trailer(&trailer))
	wantNoCanary(t, "a method without a rule", fmt.Sprint(err, status.Convert(err).Proto(), trailer), nil)
	if fmt.Sprint(refused) != "[POLICY_DENIED]" {
		t.Errorf("got %v; want POLICY_DENIED", refused)
	}
}

// What a method denies a call for is for the log.
func TestWhatAMethodDeniesIsNotTold(t *testing.T) {
	for _, said := range []error{
		accesstoken.Deny("CLOSED", errors.New(canary)), fmt.Errorf("%s: %w", canary, accesstoken.Deny(accesstoken.Reason(canary), nil)),
		&accesstoken.Error{Reason: accesstoken.Reason(canary)}, fmt.Errorf("%s: %w", canary, &accesstoken.Error{Reason: accesstoken.TokenExpired}),
	} {
		s := &service{fail: func(context.Context) error { return said }}
		client := canaryClient(t, s, accesstoken.Policy{Scopes: scopes.None()})
		lines := []string{bearer("a")}
		for _, k := range kinds {
			wantNoCanary(t, fmt.Sprint(said, ", ", k.name), told(t, with(t.Context(), lines...), client, k), lines)
		}
	}
}

// An interceptor that recovers prints the panic of a method, whatever its value.
func TestAPanicWithClaimsTellsNothing(t *testing.T) {
	var printed string
	recovering := grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
		defer func() {
			printed = fmt.Sprintf("%v %+v", recover(), ctx)
			err = status.Error(codes.Internal, printed)
		}()
		return handler(ctx, request)
	})
	s := &service{fail: func(ctx context.Context) error {
		claims, _ := accesstoken.FromContext(ctx)
		panic([]any{claims, &claims, ctx})
	}}
	lines := []string{"Bearer " + as.Token(accesstokentest.Claims{"sub": canary, "jti": canary, canary: canary})}
	client := canaryClient(t, s, accesstoken.Policy{Scopes: scopes.None()}, recovering)
	text := told(t, with(t.Context(), lines...), client, kinds[0])
	if !strings.Contains(text, "accesstoken.Claims(issuer") {
		t.Errorf("got %q; want the panic in it", text)
	}
	wantNoCanary(t, "the status", text, lines)
}
