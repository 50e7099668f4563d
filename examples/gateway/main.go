// Command gateway offers the gRPC server of the example grpc over HTTP, by
// grpc-gateway. It checks no tokens itself. It passes the Authorization field on to
// the server, and the server's refusals back to the client.
//
//	go run ./grpc -issuer https://login.example.com -resource https://api.example.com
//	go run ./gateway -server 127.0.0.1:8090
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8091/files
//
// grpc-gateway turns UNAUTHENTICATED into 401, PERMISSION_DENIED into 403,
// UNAVAILABLE into 503 and INTERNAL into 500, like package middleware. There are two
// differences. If the credentials are malformed, you get a 401 here, but a 400 from
// package middleware. If a deadline passes, you get a 504, but a 503 from package
// middleware.
package main

import (
	"context"
	"flag"
	"log"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/accesstoken/accesstoken/examples/drivepb"
)

func main() {
	target := flag.String("server", "127.0.0.1:8090", "address of the gRPC server; use TLS if it is on a different machine")
	addr := flag.String("addr", "127.0.0.1:8091", "address to listen on")
	flag.Parse()
	conn, err := grpc.NewClient(*target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	mux := runtime.NewServeMux(runtime.WithErrorHandler(writeError))
	if err := register(mux, drivepb.NewDriveClient(conn)); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr: *addr, Handler: mux,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	log.Fatal(server.ListenAndServe())
}

// writeError is grpc-gateway's default error handler, but it also sets the header
// fields of a refusal, which grpcauth sends in the trailer and the status details.
// Without it, the WWW-Authenticate of a 401 would contain the text of the status
// instead of the challenge, and a 403 would have no challenge.
func writeError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	answer, _ := runtime.ServerMetadataFromContext(ctx)
	fields := http.Header{"Cache-Control": {"no-store"}, "Www-Authenticate": answer.TrailerMD.Get("www-authenticate")}
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			fields.Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.RetryDelay.AsDuration().Seconds()))))
		}
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, overlay{w, fields}, r, err)
}

// An overlay sets fields in the header just before the header is written, so they
// replace the fields that the default handler has set.
type overlay struct {
	http.ResponseWriter
	fields http.Header
}

func (o overlay) WriteHeader(status int) {
	maps.Copy(o.Header(), o.fields)
	o.ResponseWriter.WriteHeader(status)
}

// register and forward replace the code that protoc-gen-grpc-gateway would generate.
func register(mux *runtime.ServeMux, drive drivepb.DriveClient) error {
	list := func(map[string]string) *drivepb.ListFilesRequest { return &drivepb.ListFilesRequest{} }
	if err := mux.HandlePath("GET", "/files", forward(mux, drivepb.Drive_ListFiles_FullMethodName, list, drive.ListFiles)); err != nil {
		return err
	}
	remove := func(path map[string]string) *drivepb.DeleteFileRequest {
		return &drivepb.DeleteFileRequest{Name: path["name"]}
	}
	return mux.HandlePath("DELETE", "/files/{name}", forward(mux, drivepb.Drive_DeleteFile_FullMethodName, remove, drive.DeleteFile))
}

func forward[Request, Response proto.Message](
	mux *runtime.ServeMux, method string, request func(path map[string]string) Request,
	call func(context.Context, Request, ...grpc.CallOption) (Response, error),
) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		_, out := runtime.MarshalerForRequest(mux, r)
		ctx, err := runtime.AnnotateContext(r.Context(), mux, r, method) // forwards Authorization
		if err != nil {
			runtime.HTTPError(r.Context(), mux, out, w, r, err)
			return
		}
		var answer runtime.ServerMetadata
		response, err := call(ctx, request(path), grpc.Header(&answer.HeaderMD), grpc.Trailer(&answer.TrailerMD))
		ctx = runtime.NewServerMetadataContext(ctx, answer)
		if err != nil {
			runtime.HTTPError(ctx, mux, out, w, r, err)
			return
		}
		runtime.ForwardResponseMessage(ctx, mux, out, w, r, response)
	}
}
