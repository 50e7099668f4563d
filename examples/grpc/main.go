// Command grpc is a resource server over gRPC.
//
//	go run ./grpc -issuer https://login.example.com -resource https://api.example.com
//	grpcurl -plaintext -proto drivepb/drive.proto -H "authorization: Bearer $TOKEN" 127.0.0.1:8090 accesstoken.examples.drive.v1.Drive/ListFiles
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/examples/drivepb"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/scopes"
	"google.golang.org/grpc"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "the authorization server: the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "this resource server: the aud of tokens for it")
	addr := flag.String("addr", "127.0.0.1:8090", "where to listen")
	flag.Parse()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: *resource,
		Issuers:  []accesstoken.Issuer{{URL: *issuer}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(v, *addr))
}

func serve(v *accesstoken.Validator, addr string) error {
	auth, err := grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{
		drivepb.Drive_ListFiles_FullMethodName:  {Scopes: scopes.None()},
		drivepb.Drive_DeleteFile_FullMethodName: {Scopes: scopes.All("files:write")},
	}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := grpc.NewServer(auth.ServerOptions()...)
	drivepb.RegisterDriveServer(server, drive{})
	return server.Serve(l)
}

type drive struct {
	drivepb.UnimplementedDriveServer
}

func (drive) ListFiles(ctx context.Context, _ *drivepb.ListFilesRequest) (*drivepb.ListFilesResponse, error) {
	claims, _ := accesstoken.FromContext(ctx)
	return &drivepb.ListFilesResponse{Owner: claims.Subject, Files: []string{"hello.txt"}}, nil
}
