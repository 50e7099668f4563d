// Package policypb is accesstoken/v1/policy.proto in Go: the option with which a
// .proto says who may call a method. The generated code of such a .proto imports
// it, and package grpcauth reads the option; there is nothing here to call.
//
// The .proto is in the directory proto of this module. With protoc:
//
//	protoc -I . -I "$(go list -m -f '{{.Dir}}' github.com/accesstoken/accesstoken)/proto" ...
package policypb

// Needs protoc, and protoc-gen-go of google.golang.org/protobuf in the PATH.
//go:generate protoc -I ../../proto --go_out=. --go_opt=module=github.com/accesstoken/accesstoken/grpcauth/policypb accesstoken/v1/policy.proto
