package grpcauth

import (
	"context"
	"crypto"
	"errors"
	"net"
	"net/http"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth/policypb"
	"github.com/accesstoken/accesstoken/scopes"
)

// A call over TCP pays for no copy of its request.
func TestOnlyACallOverAUnixSocketGetsAMarkedRequest(t *testing.T) {
	request := &http.Request{Method: http.MethodPost}
	for _, test := range []struct {
		name   string
		ctx    context.Context
		marked bool
	}{
		{"no peer", t.Context(), false},
		{"no local address", peer.NewContext(t.Context(), &peer.Peer{}), false},
		{"TCP", peer.NewContext(t.Context(), &peer.Peer{LocalAddr: &net.TCPAddr{}}), false},
		{"a Unix socket", peer.NewContext(t.Context(), &peer.Peer{LocalAddr: &net.UnixAddr{Name: "/run/api", Net: "unix"}}), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := withSocket(test.ctx, request); (got != request) != test.marked {
				t.Errorf("a request of its own: got %v; want %v", got != request, test.marked)
			}
		})
	}
}

// noKeys is a key source that has no keys.
type noKeys struct{}

func (noKeys) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, nil
}

// newChecked returns a stream that no credentials came with, and how often its Validator
// has refused.
func newChecked(t *testing.T) (s *authorizedStream, refusals *int) {
	t.Helper()
	refusals = new(int)
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com", Keys: noKeys{}}},
		OnRefuse: func(context.Context, *accesstoken.Error) { *refusals++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	a, err := New(v, &Options{Methods: map[string]accesstoken.Policy{"/orders.Orders/Watch": {Scopes: scopes.None()}}, StreamCheck: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return &authorizedStream{ctx: t.Context(), interceptors: a}, refusals
}

// calledAs is the transport's stream of a call, by which grpc.Method knows its name.
type calledAs struct {
	grpc.ServerTransportStream
	method string
}

func (c calledAs) Method() string { return c.method }

// The timer of a check may fire while the method returns.
func TestAStreamWhoseMethodHasReturnedIsNotChecked(t *testing.T) {
	s, refusals := newChecked(t)
	s.ctx = grpc.NewContextWithServerTransportStream(s.ctx, calledAs{method: "/orders.Orders/Watch"})
	s.leave()
	s.check()
	if *refusals != 0 {
		t.Errorf("got %d checks; want none", *refusals)
	}
	if err := s.checkToken(); !errors.Is(err, accesstoken.CredentialsMissing) {
		t.Errorf("checkToken: got %v; want CREDENTIALS_MISSING, or this test shows nothing", err)
	}
}

// Nothing is known of the policy of a stream whose method has no rule.
func TestAnOpenStreamWithoutARuleIsEnded(t *testing.T) {
	s, _ := newChecked(t)
	if err := s.checkToken(); !errors.Is(err, accesstoken.PolicyDenied) {
		t.Errorf("got %v; want POLICY_DENIED", err)
	}
}

// The timer and SetIssuers may each cause a check, and the method of a stream that was
// ended may run on.
func TestAStreamThatWasEndedIsNotCheckedAgain(t *testing.T) {
	s, refusals := newChecked(t)
	apart := &apartStream{over: make(chan struct{})}
	s.ServerStream = apart
	s.timer = time.AfterFunc(time.Hour, s.check)
	s.timer.Stop() // as if it had fired
	s.check()
	select {
	case <-apart.over:
	default:
		t.Fatal("the first check did not end the stream; this test shows nothing")
	}
	if s.timer.Stop() {
		t.Error("the timer of the ended stream is set; want no further check")
	}
	before := *refusals
	s.check() // a second status would panic
	if got := *refusals - before; got != 0 {
		t.Errorf("got %d refusals of the ended stream; want none", got)
	}
}

// SetIssuers may cause a check after an outer adapter has ended the claims. If the token
// has no end, and StreamCheck is not set, the stream has no timer.
func TestACheckWithoutATimerSetsNone(t *testing.T) {
	s, _ := newChecked(t)
	s.interceptors.again = 0
	s.check()
	if s.timer != nil || s.ended.Load() != nil {
		t.Errorf("got the timer %v and the end %v; want neither", s.timer, s.ended.Load())
	}
}

// The option has every demand that a Policy has, under the name of Go or of the RFC.
func TestThePolicyOfTheProtoHasEveryDemand(t *testing.T) {
	got := policyOf(&policypb.Policy{
		AllScopes: []string{"a"}, FreshIntrospection: true, SenderConstrained: true, SpiffeIds: []string{"s"},
		RefuseDelegated: true, Actors: []*policypb.Policy_Actor{{Iss: "i", Sub: "s", ClientId: "c"}},
		AcrValues: []string{"a"}, MaxAge: proto.Uint32(60), Amr: []string{"m"},
		AuthorizationDetails: []*policypb.Policy_Detail{{Type: "t", Actions: []string{"a"}, Datatypes: []string{"d"}, Privileges: []string{"p"}, Location: "l", Identifier: "i"}},
	})
	want := accesstoken.Policy{
		Scopes: scopes.All("a"), FreshIntrospection: true, SenderConstrained: true, SPIFFEIDs: []string{"s"},
		RefuseDelegated: true, Actors: []accesstoken.Actor{{Issuer: "i", Subject: "s", ClientID: "c"}},
		ACR: []string{"a"}, MaxAuthAge: time.Minute, AMR: []string{"m"},
		Details: []accesstoken.DetailRequirement{{Type: "t", Actions: []string{"a"}, DataTypes: []string{"d"}, Privileges: []string{"p"}, Location: "l", Identifier: "i"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	for _, message := range []any{got, got.Actors[0], got.Details[0]} {
		of := reflect.ValueOf(message)
		for i := range of.NumField() {
			if field := of.Type().Field(i); field.IsExported() && of.Field(i).IsZero() {
				t.Errorf("the option does not set %s of %T; add a field to policy.proto", field.Name, message)
			}
		}
	}
	if got := policyOf(&policypb.Policy{AnyToken: true}); !reflect.DeepEqual(got, accesstoken.Policy{Scopes: scopes.None()}) {
		t.Errorf("any_token alone: got %+v; want no other demand", got)
	}
}
