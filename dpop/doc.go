// Package dpop verifies DPoP proofs (RFC 9449): short-lived JWTs by which the
// sender of an access token shows that it holds the private key that the token is
// bound to. A token that leaks is then of no use without the key.
//
// A [Verifier] is the resource server's side. It is told what the request is, what
// the token is and what key the token is bound to, and either finds that the proof
// fits all three, has not been seen before and is signed, or says which of five
// kinds of fault there is. It takes no part in validating the token: a proof alone
// shows nothing (§4), so the token has to be validated first, by
// [github.com/accesstoken/accesstoken] or anything else that finds out cnf.jkt.
//
// A [Signer] is the client's side: it makes the proofs.
//
// # What a proof is held against
//
// Its htu must be one of Config.URLs, with the path of the request, never the Host
// of the request: a malicious resource server could otherwise collect a proof that
// was made for itself, and play it here under its own name.
//
// Each proof is good once. That is remembered in a [Store]: in this process by a
// [Memory], or in one that instances share. If the store cannot say, the proof is
// not accepted.
//
// Config.NonceKey makes the server demand nonces (§9): a proof must then have been
// made within the last minutes by the server's clock, whatever the client's says.
package dpop
