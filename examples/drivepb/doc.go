// Package drivepb is the drive of the examples as a gRPC service. It is generated
// from drive.proto, which also declares the scopes that each method requires.
package drivepb

// To run go generate, you need protoc, protoc-gen-go and protoc-gen-go-grpc in your PATH.
//go:generate protoc -I . -I ../../proto --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative drive.proto
