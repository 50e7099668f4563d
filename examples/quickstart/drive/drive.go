// Package drive is a file drive over net/http, Echo and gRPC, protected by one
// validator. You can copy its configuration from NewValidator.
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
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// Config has the settings of a drive, for example the issuer of its tokens.
type Config struct {
	Resource               string // must be in the aud of every token; the URL of the files over net/http
	Issuer                 string
	ClientID, ClientSecret string // the drive's credentials at the introspection endpoint
	HTTPClient             *http.Client
	Logger                 *slog.Logger                                          // for the operator
	OnRefuse               func(ctx context.Context, refused *accesstoken.Error) // called for every refusal, with its exact reason
}

// NewValidator has all of the configuration. Every transport uses this validator.
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
		Metadata:   &resourcemetadata.Metadata{Name: "Drive", Scopes: []string{"files:read"}},
		HTTPClient: c.HTTPClient,
		Logger:     c.Logger,
		OnRefuse:   c.OnRefuse,
	})
}

// A Drive is three servers, one per transport, with the same files.
type Drive struct {
	HTTP, Echo string // base URLs
	GRPC       string // host:port

	Validator *accesstoken.Validator

	http, echo *loopback.Server
	grpc       *grpc.Server
	grpcDone   chan struct{}
}

// Listeners are the listeners of a drive, one per transport.
type Listeners struct{ HTTP, Echo, GRPC net.Listener }

// Start starts the three servers. You should Close the drive when you are done.
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

// Close stops the three servers and closes their validator. If gRPC calls do not end
// within 2 seconds, they are cut off.
func (d *Drive) Close() error {
	cut := time.AfterFunc(2*time.Second, d.grpc.Stop)
	d.grpc.GracefulStop()
	cut.Stop()
	<-d.grpcDone
	return errors.Join(d.http.Close(), d.echo.Close(), d.Validator.Close())
}
