// Package interop tests the validator and the introspection client against real
// authorization servers on loopback: oidc-provider, on Node, Ory Hydra, Keycloak
// and ZITADEL's library; holds our verdicts against those of other people's resource
// servers: mod_oauth2, express-oauth2-jwt-bearer, oauth4webapi and Spring Security;
// runs NGINX as docs/dpop.md configures it, in front of ours; and grpcurl and ghz
// against examples/grpc.
//
//	go test -tags interop -count=1 -v .
//
// The first run installs them into a folder of the user's cache, which takes
// minutes; README.md says what it needs, and what the servers answer.
package interop
