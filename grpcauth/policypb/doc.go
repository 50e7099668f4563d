// Package policypb is the Go code of accesstoken/v1/policy.proto, the option with
// which a .proto sets the rule of a method. The generated code of your .proto imports
// it, and package grpcauth reads the option, so you call nothing here.
//
// The .proto is in the directory proto of this module. To use it with protoc:
//
//	protoc -I . -I "$(go list -m -f '{{.Dir}}' github.com/accesstoken/accesstoken)/proto" ...
package policypb

// This needs protoc, and protoc-gen-go of google.golang.org/protobuf, in the PATH.
//go:generate protoc -I ../../proto --go_out=. --go_opt=module=github.com/accesstoken/accesstoken/grpcauth/policypb accesstoken/v1/policy.proto
