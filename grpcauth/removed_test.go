package grpcauth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/jwks"
)

// If SetIssuers removes an issuer, its open streams end within a second, and those of an
// issuer that stays go on. The tokens of neither have an end that is near.
func TestTheStreamsOfARemovedIssuerEnd(t *testing.T) {
	other := accesstokentest.NewServer(t)
	for _, apart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var more []grpc.ServerOption
			if apart {
				more = append(more, grpc.ChainStreamInterceptor(withoutWriteStatus))
			}
			b := inBubble(t, grpcauth.Options{}, more...)
			kept := accesstoken.Issuer{URL: as.URL, Keys: jwks.Static(as.Keys()...)}
			removed := accesstoken.Issuer{URL: other.URL, Keys: jwks.Static(other.Keys()...)}
			if err := b.validator.SetIssuers(kept, removed); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			claims := accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix()}
			var stay, end []testpb.TestService_FullDuplexCallClient
			for range 100 {
				stay = append(stay, b.echoing(t, as.Token(claims)))
				end = append(end, b.echoing(t, other.Token(claims)))
			}
			before := time.Now()
			if err := b.validator.SetIssuers(kept); err != nil {
				t.Fatal(err)
			}
			for _, stream := range end {
				_, err := stream.Recv()
				wantStatus(t, err, codes.Unauthenticated, "TOKEN_INVALID")
			}
			if took := time.Since(before); took > time.Second {
				t.Errorf("the streams of the removed issuer ended after %v; want a second at most", took)
			}
			if got := b.heard.Load(); got != 100 {
				t.Errorf("OnRefuse heard of %d refusals; want 100", got)
			}
			for _, stream := range stay {
				if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatalf("a stream of the issuer that stays: got %v; want its echo", err)
				}
			}
		})
	}
}

// A removed issuer ends a stream once, even if its token ends at that very moment.
func TestAStreamThatEndsTwiceEndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{}, grpc.ChainStreamInterceptor(withoutWriteStatus))
		stream := b.echoing(t, token()[len("Bearer "):])
		time.Sleep(time.Until(b.ended))
		if err := b.validator.SetIssuers(accesstoken.Issuer{URL: "https://other.example", Keys: jwks.Static(as.Keys()...)}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err == nil {
			t.Error("got no error; want the end of the stream")
		}
		synctest.Wait()
		if got := b.heard.Load(); got != 1 {
			t.Errorf("OnRefuse heard of %d refusals; want 1", got)
		}
	})
}

// A check of an open stream may hang, because an issuer does not answer. If SetIssuers
// removes that issuer, the stream does not wait for it.
func TestARemovedIssuerEndsAStreamWhoseCheckHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute})
		now := time.Now()
		opaque := as.Opaque(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()})
		asked := make(chan struct{}, 1)
		b.asked = func() {
			if time.Since(now) > time.Second { // it is a check of the open stream
				asked <- struct{}{}
				time.Sleep(4 * time.Second)
			}
		}
		stream := b.echoing(t, opaque)
		<-asked
		before := time.Now()
		if err := b.validator.SetIssuers(accesstoken.Issuer{URL: "https://other.example", Keys: jwks.Static(as.Keys()...)}); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		wantStatus(t, err, codes.Unauthenticated, "TOKEN_INVALID")
		if took := time.Since(before); took > time.Second {
			t.Errorf("the stream ended after %v; want a second at most", took)
		}
		time.Sleep(5 * time.Second) // the call has its own end
	})
}
