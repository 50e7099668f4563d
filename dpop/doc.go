// Package dpop verifies and makes DPoP proofs (RFC 9449). A proof is a short-lived
// JWT with which the sender of an access token shows that it holds the private key
// that the token is bound to. A token that leaks is useless without that key.
//
// A [Verifier] is the resource server's side. You give it the request, the token and
// the thumbprint of the key that the token is bound to. It checks that the proof fits
// all three, is signed and has not been used before. If a check fails, the error of
// Verify is one of five kinds. The Verifier does not validate the token, and a proof
// alone shows nothing (RFC 9449 §4). You must therefore validate the token first,
// with [github.com/accesstoken/accesstoken] or other code that finds its cnf.jkt.
//
// A [Signer] is the client's side and makes the proofs. A [Transport] sends them.
//
// # What a proof is checked against
//
// The proof's htu must be one of Config.URLs plus the path of the request. For
// example, if URLs has https://api.example.com, a request for /orders needs the htu
// https://api.example.com/orders. The Host of the request is never used. Otherwise a
// malicious resource server could collect a proof that was made for itself, and
// replay it here with its own name as the Host.
//
// Each proof can be used once. A [Store] remembers the used proofs: a [Memory] in
// this process, or a Store that several instances share. If the Store fails, the
// proof is refused.
//
// If you set Config.NonceKey, the server demands nonces (RFC 9449 §9). A proof must
// then have been made within the last minutes by the server's clock, whatever the
// client's clock says.
package dpop
