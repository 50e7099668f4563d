// Package accesstoken lets in the requests that have a good OAuth 2.0 access token and
// tells your handler who is calling ([FromContext]). It is the resource server's side
// of OAuth 2.0 (RFC 6749) and OpenID Connect.
//
// Make one [Validator] and put an adapter in front of your handlers: middleware for
// net/http, middleware/echoauth for Echo or grpcauth for gRPC.
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
// These, in this order, cheap ones first; the first check that fails refuses:
//
//  1. the syntax and scheme of the credentials; with the scheme DPoP, one proof
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
//  17. the policy: SenderConstrained, SPIFFEIDs, actors, scopes, login, details
//
// A token never chooses its own algorithm (RFC 8725 §3.1). Check 8 is RFC 9068. If your
// issuer departs from it, you should set its [Profile], such as [Keycloak], or its Dialect.
// If a token is opaque, introspection (RFC 7662) replaces 3 to 8, and of 9 only Clients and
// Demand apply. With AlwaysIntrospect, the answer can supply what the JWT leaves out of 8
// to 13, which is checked after 14. The verified facts of a JWT are cached by its digest;
// then 3 to 9 are skipped and all other checks run. For a caller without a token
// ([Identity]), only 10 and 17 run. A refusal is an [*Error] with a [Reason]: 400 or 401 if
// the credentials are bad, 403 if a right is missing, 503 if we could not find out, 500 if
// this server is at fault. The client learns a coarse reason, your log the exact one.
package accesstoken
