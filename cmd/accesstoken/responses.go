package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/middleware"
)

// responses returns a refusal as clients see it, over HTTP and over gRPC. The adapters
// themselves make it.
func responses(v *accesstoken.Validator, refused *accesstoken.Error) (string, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil)
	if err != nil {
		return "", err
	}
	over := &response{header: http.Header{}}
	middleware.New(v, nil).Refuse(over, request, refused)
	text := fmt.Sprintf("\nOver HTTP the client would get:\n\n%s", indented(over.String()))
	call, err := overGRPC(v, refused)
	return text + fmt.Sprintf("\nOver gRPC the client would get:\n\n%s", indented(call)), err
}

// method is a gRPC method that needs no token, and that returns the refusal.
const method = "/accesstoken.Explained/Call"

func overGRPC(v *accesstoken.Validator, refused *accesstoken.Error) (string, error) {
	auth, err := grpcauth.New(v, &grpcauth.Options{Public: []string{method}})
	if err != nil {
		return "", err
	}
	stream := new(call)
	ctx := grpc.NewContextWithServerTransportStream(context.Background(), stream)
	_, err = auth.UnaryInterceptor(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, refused })
	details, failure := prototext.MarshalOptions{Multiline: true}.Marshal(status.Convert(err).Proto())
	if failure != nil {
		return "", failure
	}
	text := strings.ReplaceAll(string(details), ":  ", ": ") // prototext varies its spaces on purpose
	for name, lines := range stream.trailer {
		text += fmt.Sprintf("trailer %s: %s\n", name, strings.Join(lines, "\n"))
	}
	return text, nil
}

// A call is the part of a gRPC call that gets the trailer.
type call struct{ trailer metadata.MD }

func (c *call) Method() string                  { return method }
func (c *call) SetHeader(metadata.MD) error     { return nil }
func (c *call) SendHeader(metadata.MD) error    { return nil }
func (c *call) SetTrailer(md metadata.MD) error { c.trailer = metadata.Join(c.trailer, md); return nil }

// A response is one that is printed.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(status int)      { r.status = status }
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }

// String returns the response as HTTP/1.1 has it.
func (r *response) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP/1.1 %d %s\n", r.status, http.StatusText(r.status))
	var header bytes.Buffer
	_ = r.header.Write(&header) // a buffer takes everything
	return text.String() + strings.ReplaceAll(header.String(), "\r\n", "\n") + "\n" + r.body.String()
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
