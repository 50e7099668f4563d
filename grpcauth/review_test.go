package grpcauth_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken/grpcauth"
)

// A method has done its work, and the server that it asked refuses it. Any answer may
// bring a nonce (RFC 9449 §8.2); only a refusal for its sake is a reason to call again.
func TestReviewACallThatIsNotRefusedForItsNonceIsNotMadeAgain(t *testing.T) {
	p, signer := serveProven(t, nil), newSigner(t)
	p.service.fail = func(ctx context.Context) error {
		_ = grpc.SetTrailer(ctx, metadata.MD{"dpop-nonce": {"a"}})
		return status.Error(codes.Unauthenticated, "the bank does not know us")
	}
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
	if err := kinds[0].call(t.Context(), client); status.Code(err) != codes.Unauthenticated || len(p.calls()) != 1 {
		t.Errorf("got %v after %d calls; want UNAUTHENTICATED after one", err, len(p.calls()))
	}
}
