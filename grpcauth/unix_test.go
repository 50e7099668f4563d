package grpcauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// forwardedCertificate returns a certificate as a proxy forwards it, and a token that is
// bound to it.
func forwardedCertificate(t *testing.T) (field, token string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(der)
	return ":" + base64.StdEncoding.EncodeToString(der) + ":",
		as.Token(accesstokentest.Claims{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])}})
}

// A listening is one way to serve: gRPC's own transport, or net/http's.
type listening struct {
	name  string
	serve func(*grpc.Server, net.Listener) (stop func())
}

var listenings = []listening{
	{"gRPC", func(server *grpc.Server, listener net.Listener) func() {
		var done sync.WaitGroup
		done.Go(func() { _ = server.Serve(listener) })
		return func() {
			server.Stop()
			done.Wait()
		}
	}},
	{"net/http", func(server *grpc.Server, listener net.Listener) func() {
		front := &http.Server{Handler: server, Protocols: new(http.Protocols)}
		front.Protocols.SetUnencryptedHTTP2(true)
		var done sync.WaitGroup
		done.Go(func() { _ = front.Serve(listener) })
		return func() {
			_ = front.Close()
			server.Stop()
			done.Wait()
		}
	}},
}

func TestAProxyBehindAUnixSocketIsTrustedByASwitchOfItsOwn(t *testing.T) {
	field, token := forwardedCertificate(t)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for _, test := range []struct {
		name    string
		network string
		setting accesstoken.ForwardedCertificate
		want    codes.Code
	}{
		{"a Unix socket, with the switch", "unix", accesstoken.ForwardedCertificate{UnixSocket: true}, codes.OK},
		{"a Unix socket, without the switch", "unix", accesstoken.ForwardedCertificate{Proxies: loopback}, codes.Unauthenticated},
		{"TCP, with the switch", "tcp", accesstoken.ForwardedCertificate{UnixSocket: true}, codes.Unauthenticated},
		{"TCP, with the switch and proxies", "tcp", accesstoken.ForwardedCertificate{UnixSocket: true, Proxies: loopback}, codes.OK},
	} {
		v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
			c.ForwardedCertificate = test.setting
			c.ForwardedCertificate.Format = accesstoken.ClientCertField
		})
		auth := newAuth(t, v, grpcauth.Options{Methods: map[string]accesstoken.Policy{wholeService: {Scopes: scopes.None()}}})
		for _, listening := range listenings {
			t.Run(test.name+", "+listening.name, func(t *testing.T) {
				address, target := "127.0.0.1:0", "passthrough:///"
				if test.network == "unix" {
					address, target = filepath.Join(t.TempDir(), "s"), "unix:"
				}
				listener, err := net.Listen(test.network, address)
				if err != nil {
					t.Fatal(err)
				}
				server := grpc.NewServer(auth.ServerOptions()...)
				testpb.RegisterTestServiceServer(server, new(service))
				t.Cleanup(listening.serve(server, listener))
				conn, err := grpc.NewClient(target+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				client := testpb.NewTestServiceClient(conn)
				for _, kind := range kinds {
					ctx := metadata.AppendToOutgoingContext(with(t.Context(), "Bearer "+token), "client-cert", field)
					wantStatus(t, kind.call(ctx, client), test.want, map[bool]string{true: "", false: "BINDING_MISMATCH"}[test.want == codes.OK])
				}
			})
		}
	}
}
