// Package drivepb is the gRPC form of the examples' drive, generated from
// drive.proto, which says who may call what.
package drivepb

// Needs protoc, and protoc-gen-go and protoc-gen-go-grpc in the PATH.
//go:generate protoc -I . -I ../../proto --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative drive.proto
