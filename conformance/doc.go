// Package conformance holds the cases that define what this library accepts and
// refuses, as data, and a runner that sends them over real connections to a resource
// server.
//
// The tests here send them through net/http, Echo and gRPC. If your module has an
// adapter of its own, its tests should send the cases through that adapter too, and
// compare the answers with the answers of net/http:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.NetHTTP(), conformance.HTTP("Mine", protect))
//	}
//
// The package is for the modules of this repository. Its API may change with any
// release.
//
// Each file of testdata/cases is a group of cases:
//
//	{
//	  "id": "M13/CLAIM-04",                    the matrix row and the requirements that it tests
//	  "name": "a token that ended one leeway ago",
//	  "rfc": "RFC 7519 §4.1.4",
//	  "token": {"claims": {"exp": "now-30s"}}, what is wrong with an otherwise good token
//	  "config": {"all": ["read"]},             how the resource server is set up
//	  "issuer": {"jwks": "500"},               what is wrong with the authorization server
//	  "expect": "INVTOK",                      the outcome
//	  "reason": "TOKEN_EXPIRED"                the reason that OnRefuse gets
//	}
//
// If a case leaves something out, that part is good: the token, the configuration,
// the authorization server. The clock is stopped, so a case can test a limit to the
// second.
//
// If the token is bound to its sender, the case has more:
//
//	"token": {"claims": {"cnf": {"jkt": "${jkt}"}}},
//	"proof": {"claims": {"htm": "DELETE"}},  a DPoP proof, and what is wrong with it
//	"proofs": ["${proof}", "${proof}"],      the DPoP header lines, if not exactly one
//	"twice": true,                           the same request was sent before, and accepted
//	"certificate": "thief",                  the client certificate of the TLS connection
//	"config": {"dpop": {}}                   the server offers the scheme DPoP
//
// If the application authenticates callers by itself, a case has:
//
//	"lines": [], "headers": {"X-Api-Key": "k"}, no token, but a key
//	"config": {"own": {"scope": "read"}},       Config.Authenticate, and what it returns
//	"vouched": true,                            the handler finds its caller
//	"untouched": ["own"]                        it must not be called
//
// The sender and the thief are two clients, each with keys and a certificate. The
// certificates have the same subject.
//
// The outcomes are OK, ANON (the handler runs, without claims), NOCRED, BADREQ,
// INVTOK, PROOF, NONCE, SCOPE, STEPUP, DETAILS, REMEDY (DETAILS, by the draft), FORBID,
// UNAVAIL, CONFIG and DEADLINE (the caller's deadline has passed).
//
// You can use these variables in the texts that make up the requests, the tokens and
// the keys of a case, and in some others:
//
//	${as}, ${as:upper}, ${as:bare}, ${other}  the URLs of the two authorization servers; bare is without https://
//	${canary}                                 a word that must never come back
//	${now-30s}                                seconds since 1970
//	${token}, ${proof}                        the token and the DPoP proof of the case
//	${header}, ${claims}                      the members of the good header and payload, without braces
//	${byte:ff}, ${repeat:x:9}                 one byte; a repeated text
//	${good}, ${jwk}                           public keys of the two servers
//	${htm}, ${htu}, ${path}, ${ath}           the values for this request
//	${next}                                   a different text each time
//	${nonce}, ${nonce:old}, ${nonce:early}, ${nonce:another}
//	${jkt}, ${public}                         the thumbprint and the members of the sender's key for ES256
//	${x5t}, ${sha256}, ${der}, ${pem}         the sender's certificate and its thumbprints
//
// With :thief the last six stand for the thief's values. ${jkt:PS256} and
// ${public:PS256} stand for the sender's key for PS256. If the text of a header
// member or claim is "now-30s", it becomes that time as a number, "raw:…" becomes the
// JSON after the colon, and null removes the member.
//
// testdata/requirements.json lists the requirements that cases name, and the Go
// tests that cover what a case cannot. CONFORMANCE.md at the root and REQUIREMENTS.md
// here are generated from it and from the cases by make conformance. A test fails if
// they are not current.
//
// testdata/matrix.json is the outcome matrix, row by row. It was written from
// the requirements, not from the library's own table.
package conformance
