// Package interop tests the project together with other implementations on loopback:
//
//   - The validator and the introspection client use real authorization servers:
//     oidc-provider on Node, Ory Hydra, Keycloak and ZITADEL's library.
//   - The verdicts of the validator are compared with those of other resource servers:
//     mod_oauth2, express-oauth2-jwt-bearer, oauth4webapi and Spring Security.
//   - NGINX, configured as in docs/dpop.md, runs in front of a service of ours.
//   - grpcurl and ghz call examples/grpc.
//   - MCP clients of four SDKs log in at a server behind integrations/mcpauth, and the MCP
//     conformance suite runs with it.
//
// Run the tests with:
//
//	go test -tags interop -count=1 -v .
//
// The first run installs the programs into a folder of your cache, which takes
// minutes. README.md lists what it needs, and the answers of the servers.
package interop
