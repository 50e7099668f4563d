// Package drive is a person's drive: the same files over net/http, over Echo
// and over gRPC, protected by one validator.
package drive

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/examples/quickstart/loopback"
	"github.com/accesstoken/accesstoken/introspection"
)

// Config says whose tokens the drive takes, and how it may ask about opaque ones.
type Config struct {
	Resource               string // what a token must be for
	Issuer                 string
	ClientID, ClientSecret string // the drive's own, at the introspection endpoint
	HTTPClient             *http.Client
	Logger                 *slog.Logger                                          // what the operator reads
	OnRefuse               func(ctx context.Context, refused *accesstoken.Error) // told every refusal, with its fine reason
}

// NewValidator is all there is to configure. It serves every carrier.
func NewValidator(c Config) (*accesstoken.Validator, error) {
	introspect, err := introspection.NewClient(introspection.Config{
		Endpoint:     c.Issuer + "/oauth/introspect",
		ClientID:     c.ClientID,
		ClientSecret: c.ClientSecret,
		HTTPClient:   c.HTTPClient,
	})
	if err != nil {
		return nil, err
	}
	return accesstoken.NewValidator(accesstoken.Config{
		Resource: c.Resource,
		Issuers: []accesstoken.Issuer{{
			URL:           c.Issuer,
			Profile:       accesstoken.Zitadel,
			Introspection: introspect,
		}},
		HTTPClient: c.HTTPClient,
		Logger:     c.Logger,
		OnRefuse:   c.OnRefuse,
	})
}

// A Drive is three resource servers over one store of files.
type Drive struct {
	HTTP, Echo string // base URLs
	GRPC       string // host:port

	Validator *accesstoken.Validator

	http, echo *loopback.Server
	grpc       *grpc.Server
	grpcDone   chan struct{}
}

// Listeners are where a drive is served.
type Listeners struct{ HTTP, Echo, GRPC net.Listener }

// Start serves a drive.
func Start(host string, l Listeners, c Config) (*Drive, error) {
	v, err := NewValidator(c)
	if err != nil {
		return nil, err
	}
	files := newFiles()
	server, err := grpcServer(v, files)
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	d := &Drive{
		HTTP: loopback.URL(host, l.HTTP), Echo: loopback.URL(host, l.Echo), GRPC: l.GRPC.Addr().String(),
		Validator: v,
		http:      loopback.Serve(l.HTTP, httpHandler(v, files)),
		echo:      loopback.Serve(l.Echo, echoHandler(v, files)),
		grpc:      server,
		grpcDone:  make(chan struct{}),
	}
	go func() {
		defer close(d.grpcDone)
		server.Serve(l.GRPC)
	}()
	return d, nil
}

// Close ends the three servers and their validator.
func (d *Drive) Close() error {
	cut := time.AfterFunc(2*time.Second, d.grpc.Stop)
	d.grpc.GracefulStop()
	cut.Stop()
	<-d.grpcDone
	return errors.Join(d.http.Close(), d.echo.Close(), d.Validator.Close())
}
