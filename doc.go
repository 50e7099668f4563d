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
// These, in this order, cheap before dear; the first check that fails refuses:
//
//  1. the syntax and the scheme of the credentials; with the scheme DPoP, one proof
//  2. the size of the token
//  3. the header, read strictly, and its algorithm, which some issuer must have
//  4. the payload, read strictly
//  5. the issuer, and the algorithm again, which must be on its list
//  6. the key, which the issuer has published
//  7. the signature
//  8. the kind of token, and the claims that it must have
//  9. what the issuer's Tenants, Clients and Demand list
//  10. the clock: exp, nbf and iat, then MaxAge and MaxLifetime
//  11. the key again, which must still be published
//  12. the scheme, which must go with what the token is bound to
//  13. the audience
//  14. the issuer's own word, with AlwaysIntrospect
//  15. the sender: the client certificate, then the proof of possession
//  16. Accept
//  17. the policy of the route: SenderConstrained, then the scopes
//
// Header and payload are read by RFC 7515 and RFC 8725, the algorithm is never
// chosen by the token, and 8 is RFC 9068, or what the issuer's Profile has in its
// place. An opaque token is introspected (RFC 7662) in place of 3 to 8; of 9,
// Clients and Demand hold for it. With AlwaysIntrospect, the answer completes the
// JWT: what the JWT leaves out of 8 to 13 is judged once the issuer has answered.
//
// What was verified is remembered as facts, by the token's digest, and never as a
// verdict: of a token that comes again, 3 to 9 are not checked once more, and all
// the others are.
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
