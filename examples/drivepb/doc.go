// Package drivepb is the gRPC form of the examples' drive, generated from drive.proto.
package drivepb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative drive.proto
