// Command refresh is the resource server of the example grpc over TLS. If you set -tokens,
// it is a client instead, whose token source gets a new token before the old one expires.
//
//	go run ./refresh -issuer https://login.example.com -resource https://api.example.com -pem server.pem
//	go run ./refresh -tokens https://login.example.com/token -addr drive.example.com:8090
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"log"
	"net"
	"os"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/examples/drivepb"
	"github.com/accesstoken/accesstoken/grpcauth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/oauth"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "URL of the authorization server; must equal the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "identifier of this resource server; its tokens must have it in aud")
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on; with -tokens, address of the server to call")
	pem := flag.String("pem", "", "PEM file with the server's certificate and private key")
	tokens := flag.String("tokens", "", "URL of the token endpoint; if set, the program runs as the client")
	flag.Parse()
	if *tokens != "" {
		log.Fatal(call(*addr, *tokens))
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: *resource,
		Issuers:  []accesstoken.Issuer{{URL: *issuer}},
	})
	if err != nil {
		log.Fatal(err)
	}
	transport, err := credentials.NewServerTLSFromFile(*pem, *pem)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(v, l, transport))
}

func serve(v *accesstoken.Validator, l net.Listener, transport credentials.TransportCredentials) error {
	auth, err := grpcauth.New(v, &grpcauth.Options{Services: []string{drivepb.Drive_ServiceDesc.ServiceName}})
	if err != nil {
		return err
	}
	server := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(transport))...)
	drivepb.RegisterDriveServer(server, drive{})
	return server.Serve(l)
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

func call(addr, tokens string) error {
	client := clientcredentials.Config{
		ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET"), TokenURL: tokens, Scopes: []string{"files:read"},
	}
	conn, err := dial(addr, client.TokenSource(context.Background()), nil)
	if err != nil {
		return err
	}
	files, err := drivepb.NewDriveClient(conn).ListFiles(context.Background(), &drivepb.ListFilesRequest{})
	log.Print(files)
	return err
}

func dial(addr string, source oauth2.TokenSource, config *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: source}),
		grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.1s",
			"maxBackoff": "2s", "backoffMultiplier": 4, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
}
