// Package interop tests the validator and the introspection client against real
// authorization servers on loopback: oidc-provider, on Node, and Ory Hydra; and
// grpcurl and ghz against examples/grpc.
//
//	go test -tags interop -count=1 -v .
//
// The first run installs both into a folder of the user's cache, which takes
// minutes; README.md says what it needs, and what the servers answer.
package interop
