package drive

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/examples/drivepb"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/scopes"
)

func grpcServer(v *accesstoken.Validator, files *files) (*grpc.Server, error) {
	auth, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{
			drivepb.Drive_ListFiles_FullMethodName:  {Scopes: scopes.All("files:read")},
			drivepb.Drive_DeleteFile_FullMethodName: {Scopes: scopes.All("files:write")},
		},
	})
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(auth.ServerOptions()...)
	drivepb.RegisterDriveServer(server, &service{files: files})
	return server, nil
}

type service struct {
	drivepb.UnimplementedDriveServer
	files *files
}

func (s *service) ListFiles(ctx context.Context, _ *drivepb.ListFilesRequest) (*drivepb.ListFilesResponse, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the interceptors are missing, or the method is Public
		return nil, accesstoken.CredentialsMissing
	}
	return &drivepb.ListFilesResponse{Owner: claims.Subject, Files: s.files.of(claims.Subject)}, nil
}

func (s *service) DeleteFile(ctx context.Context, r *drivepb.DeleteFileRequest) (*drivepb.DeleteFileResponse, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the interceptors are missing, or the method is Public
		return nil, accesstoken.CredentialsMissing
	}
	if !s.files.delete(claims.Subject, r.GetName()) {
		return nil, status.Error(codes.NotFound, "file not found")
	}
	return &drivepb.DeleteFileResponse{}, nil
}
