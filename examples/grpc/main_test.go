package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/examples/drivepb"
)

func newValidator(t *testing.T) (*accesstokentest.Server, *accesstoken.Validator) {
	t.Helper()
	as := accesstokentest.NewServer(t)
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return as, v
}

// connect runs the server and returns a connection to it.
func connect(t *testing.T, server *grpc.Server) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:///drive", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		done.Wait()
	})
	return conn
}

// Callers need the scopes that drive.proto declares. Health is open, and reflection if the
// flag is set (GRPC-04, GRPC-08).
func TestTheDriveDoesWhatItsProtoSays(t *testing.T) {
	as, v := newValidator(t)
	for _, reflect := range []bool{false, true} {
		server, err := newServer(v, reflect)
		if err != nil {
			t.Fatal(err)
		}
		conn := connect(t, server)
		client := drivepb.NewDriveClient(conn)
		list := func(ctx context.Context) error {
			_, err := client.ListFiles(ctx, &drivepb.ListFilesRequest{})
			return err
		}
		remove := func(ctx context.Context) error {
			_, err := client.DeleteFile(ctx, &drivepb.DeleteFileRequest{Name: "hello.txt"})
			return err
		}
		check := func(ctx context.Context) error {
			_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		}
		ask := func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
			if err == nil {
				_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
				_, err = stream.Recv()
			}
			return err
		}
		for _, test := range []struct {
			name   string
			call   func(context.Context) error
			scope  string // "-" for no token
			want   codes.Code
			reason accesstoken.Reason
		}{
			{"list, without a token", list, "-", codes.Unauthenticated, "CREDENTIALS_MISSING"},
			{"list, without its scope", list, "files:write", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"list", list, "files:read", codes.OK, ""},
			{"delete, without its scope", remove, "files:read", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
			{"delete", remove, "files:write", codes.Unimplemented, ""}, // this example does not implement it
			{"health", check, "-", codes.OK, ""},
			{"reflection", ask, "-", map[bool]codes.Code{true: codes.OK, false: codes.PermissionDenied}[reflect], map[bool]accesstoken.Reason{false: "POLICY_DENIED"}[reflect]},
		} {
			ctx := t.Context()
			if test.scope != "-" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": test.scope}))
			}
			err := test.call(ctx)
			if reason, _ := refusal(err); status.Code(err) != test.want || reason != test.reason {
				t.Errorf("%s, with reflection %v: got %v, %q; want %v, %q", test.name, reflect, err, reason, test.want, test.reason)
			}
		}
	}
}

// refusal returns the Reason of a refused call, and the scopes that the method needs.
func refusal(err error) (reason accesstoken.Reason, scope string) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "github.com/accesstoken/accesstoken" {
			return accesstoken.Reason(info.GetReason()), info.GetMetadata()["scope"]
		}
	}
	return "", ""
}

func TestARefusalTellsAClientWhichScopesItNeeds(t *testing.T) {
	as, v := newValidator(t)
	server, err := newServer(v, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+as.Token(nil))
	_, err = drivepb.NewDriveClient(connect(t, server)).ListFiles(ctx, &drivepb.ListFilesRequest{})
	if reason, scope := refusal(err); reason != accesstoken.ScopeInsufficient || scope != "files:read" {
		t.Errorf("got %q and %q; want SCOPE_INSUFFICIENT and files:read", reason, scope)
	}
}

// If a method has no rule in the .proto, the server does not start, and the error
// names the method (GRPC-04).
func TestAMethodWithoutAPolicyStopsTheStart(t *testing.T) {
	_, v := newValidator(t)
	original := drivepb.Drive_ServiceDesc.ServiceName
	defer func() { drivepb.Drive_ServiceDesc.ServiceName = original }()
	for _, silent := range []string{"ListFiles", "DeleteFile"} {
		drivepb.Drive_ServiceDesc.ServiceName = withoutPolicy(t, silent)
		_, err := newServer(v, false)
		want := "grpcauth: /" + drivepb.Drive_ServiceDesc.ServiceName + "/" + silent + " has no rule"
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v; want one line that begins with %q", err, want)
		}
	}
}

// The same happens if a registered method is not in the .proto.
func TestAMethodThatNoProtoKnowsStopsTheStart(t *testing.T) {
	_, v := newValidator(t)
	original := drivepb.Drive_ServiceDesc.Methods
	defer func() { drivepb.Drive_ServiceDesc.Methods = original }()
	later := original[0]
	later.MethodName = "Later"
	drivepb.Drive_ServiceDesc.Methods = append(slices.Clone(original), later)
	_, err := newServer(v, false)
	want := "grpcauth: /" + drivepb.Drive_ServiceDesc.ServiceName + "/Later is registered and has no rule"
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v; want one line that begins with %q", err, want)
	}
}

// packages counts the packages of withoutPolicy, because names in the registry are unique.
var packages int

// withoutPolicy registers a copy of the Drive in which one method has no
// option, and returns its full name.
func withoutPolicy(t *testing.T, method string) string {
	t.Helper()
	packages++
	name := fmt.Sprintf("silent%d", packages)
	service := protodesc.ToServiceDescriptorProto(drivepb.File_drive_proto.Services().ByName("Drive"))
	for _, m := range service.Method {
		if m.GetName() == method {
			m.Options = nil
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String(name + ".proto"), Package: proto.String(name), Dependency: []string{"drive.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		t.Fatal(err)
	}
	return name + ".Drive"
}
