// Command grpc is a resource server over gRPC. drivepb/drive.proto declares the
// scopes that each method requires.
//
//	go run ./grpc -issuer https://login.example.com -resource https://api.example.com
//	grpcurl -plaintext -import-path drivepb -import-path ../proto -proto drive.proto -H "authorization: Bearer $TOKEN" 127.0.0.1:8090 accesstoken.examples.drive.v1.Drive/ListFiles
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
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "URL of the authorization server; must equal the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "identifier of this resource server; its tokens must have it in aud")
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	reflect := flag.Bool("reflection", false, "offer server reflection, without a token")
	flag.Parse()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: *resource,
		Issuers:  []accesstoken.Issuer{{URL: *issuer}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(v, *addr, *reflect))
}

func serve(v *accesstoken.Validator, addr string, reflect bool) error {
	server, err := newServer(v, reflect)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return server.Serve(l)
}

// newServer returns an error if, for example, a registered method has no rule.
func newServer(v *accesstoken.Validator, reflect bool) (*grpc.Server, error) {
	options := &grpcauth.Options{
		Services: []string{drivepb.Drive_ServiceDesc.ServiceName},
		Public:   grpcauth.Health(),
	}
	if reflect {
		options.Public = append(options.Public, grpcauth.Reflection()...)
	}
	auth, err := grpcauth.New(v, options)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(auth.ServerOptions()...)
	drivepb.RegisterDriveServer(server, drive{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	if reflect {
		reflection.Register(server)
	}
	return server, auth.Covers(server.GetServiceInfo())
}

type drive struct {
	drivepb.UnimplementedDriveServer
}

func (drive) ListFiles(ctx context.Context, _ *drivepb.ListFilesRequest) (*drivepb.ListFilesResponse, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the interceptors are missing, or the method is Public
		return nil, accesstoken.CredentialsMissing
	}
	return &drivepb.ListFilesResponse{Owner: claims.Subject, Files: []string{"hello.txt"}}, nil
}
