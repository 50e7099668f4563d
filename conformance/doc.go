// Package conformance holds the cases that say what this library accepts and
// refuses, as data, and the one runner that sends them over real connections to a
// resource server.
//
// The tests here send them through net/http, Echo and gRPC. A module with an adapter
// of its own sends them through that, and compares the answers with those of net/http:
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
//	  "id": "M13/CLAIM-04",                    the matrix row and the requirements it shows
//	  "name": "a token that ended one leeway ago",
//	  "rfc": "RFC 7519 §4.1.4",
//	  "token": {"claims": {"exp": "now-30s"}}, what is wrong with an otherwise good token
//	  "config": {"all": ["read"]},             how the resource server is set up
//	  "issuer": {"jwks": "500"},               what is wrong with the authorization server
//	  "expect": "INVTOK",                      the outcome
//	  "reason": "TOKEN_EXPIRED"                what OnRefuse is told
//	}
//
// What is left out is good: the token, the set-up, the authorization server. The
// clock stands still, so that a second more or less decides.
//
// A case of a token that is bound to its sender has more:
//
//	"token": {"claims": {"cnf": {"jkt": "${jkt}"}}},
//	"proof": {"claims": {"htm": "DELETE"}},  a DPoP proof, and what is wrong with it
//	"proofs": ["${proof}", "${proof}"],      the lines of DPoP, where it is not one
//	"twice": true,                           the same was sent before, and let in
//	"certificate": "thief",                  of the client's end of the TLS connection
//	"config": {"dpop": {}}                   the scheme DPoP is offered
//
// The sender and the thief are two clients, each with keys and a certificate; the
// certificates have the same subject.
//
// The outcomes are OK, ANON (the handler runs, without claims), NOCRED, BADREQ,
// INVTOK, PROOF, NONCE, SCOPE, FORBID, UNAVAIL, CONFIG and DEADLINE (the caller's
// time was up).
//
// In every text of a case these are replaced: ${as}, ${as:upper},
// ${as:bare} (without https://) and ${other}, the URLs of the two authorization servers; ${canary}, a word that must never
// come back; ${now-30s}, seconds since 1970; ${token}; ${header} and ${claims},
// the members of the good header and payload without their braces; ${byte:ff};
// ${repeat:x:9}; ${good} and ${jwk}, public keys of the two servers; ${proof}; what
// the request has, ${htm}, ${htu}, ${path} and ${ath}; ${next}, a text of its own each
// time; ${nonce}, ${nonce:old}, ${nonce:early} and ${nonce:another}; of the sender,
// ${jkt} and ${public}, the thumbprint and the members of the key for ES256, ${x5t},
// ${sha256}, ${der} and ${pem}, the certificate and its thumbprints; of the thief the
// same with :thief, and with :PS256 those of another key. A header
// member or a claim whose text is "now-30s" becomes that number, "raw:…" becomes
// JSON as it stands, and null removes it.
//
// testdata/requirements.json lists the requirements that cases name, and the Go
// tests that show what no case can. CONFORMANCE.md at the root is made of it and
// of the cases, by make conformance; a test fails when it is not current.
//
// testdata/matrix.json is the outcome matrix, row by row. It was written from
// the requirements, not from the library's own table.
package conformance
