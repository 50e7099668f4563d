package grpcauth

import (
	"context"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
)

// domain is the ErrorInfo domain of every refusal.
const domain = "github.com/accesstoken/accesstoken"

// refuse turns an error into the status of the call, and sets the trailer. by is the
// validator for new calls, or the one for open streams.
func (a *Interceptors) refuse(ctx context.Context, by *accesstoken.Validator, err error, setTrailer func(metadata.MD)) error {
	refused := by.Refuse(ctx, err)
	served := ctx.Value(http.ServerContextKey) != nil // served by net/http, which logs and drops a trailer of this name
	header := refused.Header()
	if challenge := header["Www-Authenticate"]; challenge != nil && !served {
		setTrailer(metadata.MD{"www-authenticate": challenge})
	}
	if nonce := header["Dpop-Nonce"]; nonce != nil {
		setTrailer(metadata.MD{"dpop-nonce": nonce})
	}
	return statusOf(refused)
}

// refuseDenied turns the error that a gRPC method returned into a refusal, if
// [adapter.IsRefusal] reports that the error is one. Every other error is returned
// unchanged.
func (a *Interceptors) refuseDenied(ctx context.Context, err error, setTrailer func(metadata.MD)) error {
	if !adapter.IsRefusal(err) {
		return err
	}
	return a.refuse(ctx, a.validator, err, setTrailer)
}

// statusOf returns the refusal as google.rpc.Status. The details have only what
// clients may know, see [accesstoken.Error.Public], and when to try again.
func statusOf(refused *accesstoken.Error) error {
	public := refused.Public()
	bare := status.New(codes.Code(refused.GRPCCode()), public.Text)
	var details []protoadapt.MessageV1
	if public.Reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: string(public.Reason), Domain: domain, Metadata: public.Params})
	}
	if bare.Code() == codes.Unavailable {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(refused.RetryAfter())})
	}
	detailed, err := bare.WithDetails(details...)
	if err != nil {
		return bare.Err() // if the details cannot be encoded, the refusal is sent without them
	}
	return detailed.Err()
}
