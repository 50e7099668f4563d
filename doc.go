// Package accesstoken decides whether a request that carries an OAuth 2.0
// access token may pass, tells the handler who is calling, and tells the caller
// why not. It is the resource server's side of OAuth 2.0 (RFC 6749) and OpenID
// Connect.
//
// One [Validator] is fed by the issuers' published keys and, for opaque tokens,
// by their introspection endpoints. The packages middleware (net/http),
// middleware/echoauth (Echo) and grpcauth (gRPC) stand in front of it:
//
//	validator, err := accesstoken.NewValidator(accesstoken.Config{
//		Resource: "https://api.example.com",
//		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer validator.Close()
//
//	auth := middleware.New(validator, nil)
//	mux.Handle("POST /orders", auth.Require(scopes.All("orders:write")).Wrap(create))
//
// # What is checked
//
// In this order, cheap before dear: the credentials' syntax (RFC 6750), the
// token's size, its form and header, read strictly (RFC 7515, RFC 8725), the
// issuer, the algorithm, which is on the issuer's list and never chosen by the
// token, the key, the signature, the kind of token and its required claims (RFC
// 9068), exp, nbf and iat, the binding to a key (RFC 7800), the audience, and
// the scopes that the route demands. An opaque token is introspected (RFC 7662)
// and goes through the same checks from exp on.
//
// What was verified once is remembered as facts, by the token's digest; the
// clock, the key's being published, the binding, the audience and the policy
// are judged again on every request.
//
// # What the caller is told
//
// Every refusal is an [*Error] with a [Reason]; one table turns it into an HTTP
// status with its challenge, or a gRPC status with its details. A bad token is
// 401, a right that is missing 403, "we could not find out" 503 with
// Retry-After, and our own misconfiguration 500: an issuer's outage logs nobody
// out. What a client is told is coarse. The operator's log is not: a genuine
// token that is refused because the configuration does not fit its issuer leaves
// one warning that says what to set.
//
// # Issuers that depart from RFC 9068
//
// An issuer's [Profile] names what its tokens lack and what is demanded in
// return. For an issuer without a Profile here, [Relax] drops one demand at a
// time.
package accesstoken
