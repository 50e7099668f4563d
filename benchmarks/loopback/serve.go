package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/labstack/echo/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

const path = "/orders"

// The commands to the server's process, one per line. The server answers each one
// with the processor time that it has used so far, in nanoseconds.
const (
	tell   = "tell"
	forget = "forget" // replace the validator of the setting uncached with a new one
)

// serveFlag is followed by the public key of the tokens.
const serveFlag = "-serve"

// isServer reports whether this process was started as the server.
func isServer() bool { return len(os.Args) == 3 && os.Args[1] == serveFlag }

// serve runs the server's process. It prints its addresses, and returns when the
// commands end, which also happens if the parent process ends.
func serve(key string, orders io.Reader, answers io.Writer) error {
	pin(serverCore)
	remembering, err := newValidator(key)
	if err != nil {
		return err
	}
	forgetting := &forgetful{key: key}
	if err := forgetting.renew(); err != nil {
		return err
	}
	addresses, err := listen(remembering, forgetting)
	if err != nil {
		return err
	}
	out := json.NewEncoder(answers)
	if err := out.Encode(addresses); err != nil {
		return err
	}
	for lines := bufio.NewScanner(orders); lines.Scan(); {
		if lines.Text() == forget {
			if err := forgetting.renew(); err != nil {
				return err
			}
		}
		if err := out.Encode(used()); err != nil {
			return err
		}
	}
	return nil
}

// listen starts a server for each of the settings, and returns their addresses
// in the same order. They run until the process ends.
func listen(remembering *accesstoken.Validator, forgetting http.Handler) (addresses []string, err error) {
	for _, way := range settings {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, listener.Addr().String())
		var v *accesstoken.Validator
		if way.auth == with {
			v = remembering
		}
		switch {
		case way.auth == uncached:
			go serveHTTP(listener, forgetting)
		case way.transport == netHTTP:
			go serveHTTP(listener, handlerOfNetHTTP(v))
		case way.transport == echoV4:
			go serveHTTP(listener, handlerOfEcho(v))
		default:
			server, err := serverOfGRPC(v)
			if err != nil {
				return nil, err
			}
			go func() { exitOn(server.Serve(listener)) }()
		}
	}
	return addresses, nil
}

func serveHTTP(listener net.Listener, handler http.Handler) {
	exitOn((&http.Server{Handler: handler}).Serve(listener))
}

// A profile is the answer of the handlers.
type profile struct {
	Subject string `json:"subject"`
}

var errNoClaims = errors.New("the handler found no claims")

// callerOf returns the caller of a request. If there is no validator, it is always the
// same caller.
func callerOf(ctx context.Context, v *accesstoken.Validator) (profile, error) {
	if v == nil {
		return profile{subject}, nil
	}
	claims, ok := accesstoken.FromContext(ctx)
	if !ok {
		return profile{}, errNoClaims
	}
	return profile{claims.Subject}, nil
}

// handlerOfNetHTTP returns the handler for net/http. If there is no validator, it
// accepts every request; so do handlerOfEcho and serverOfGRPC.
func handlerOfNetHTTP(v *accesstoken.Validator) http.Handler {
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := callerOf(r.Context(), v)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(caller) // the client notices an incomplete answer
	})
	if v != nil {
		handler = middleware.New(v, nil).Require(scopes.All(writing)).Wrap(handler)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+path, handler)
	return mux
}

func handlerOfEcho(v *accesstoken.Validator) http.Handler {
	var before []echo.MiddlewareFunc
	if v != nil {
		before = append(before, echoauth.New(v, nil).Require(scopes.All(writing)).Wrap)
	}
	e := echo.New()
	e.GET(path, func(c echo.Context) error {
		caller, err := callerOf(c.Request().Context(), v)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, caller)
	}, before...)
	return e
}

func serverOfGRPC(v *accesstoken.Validator) (*grpc.Server, error) {
	var options []grpc.ServerOption
	if v != nil {
		auth, err := grpcauth.New(v, &grpcauth.Options{
			Methods: map[string]accesstoken.Policy{grpc_health_v1.Health_Check_FullMethodName: {Scopes: scopes.All(writing)}},
		})
		if err != nil {
			return nil, err
		}
		options = auth.ServerOptions()
	}
	server := grpc.NewServer(options...)
	grpc_health_v1.RegisterHealthServer(server, health{validator: v})
	return server, nil
}

// health is used as an example of a service, because its messages exist already and
// are tiny.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	validator *accesstoken.Validator
}

func (h health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	caller, err := callerOf(ctx, h.validator)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if caller.Subject != subject {
		return nil, status.Error(codes.Internal, fmt.Sprintf("the subject is %q; want %q", caller.Subject, subject))
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

// A forgetful handler is the net/http handler of this benchmark. Its validator can be
// replaced by a new one with an empty cache.
type forgetful struct {
	key     string
	current atomic.Pointer[guarded]
}

type guarded struct {
	validator *accesstoken.Validator
	handler   http.Handler
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.current.Load().handler.ServeHTTP(w, r)
}

// renew replaces the validator. It should be called only between measurements.
func (f *forgetful) renew() error {
	v, err := newValidator(f.key)
	if err != nil {
		return err
	}
	before := f.current.Swap(&guarded{v, handlerOfNetHTTP(v)})
	if before == nil {
		return nil
	}
	return before.validator.Close()
}
