// Package jwks keeps one issuer's key set fresh.
//
// A [Cache] holds the public keys that an issuer publishes as a JWK Set (RFC
// 7517 §5) and answers one question: which keys may verify a token with this
// kid and alg? With golang-jwt it works alone:
//
//	cache, err := jwks.NewCache(jwks.Config{URL: "https://login.example.com/jwks"})
//	if err != nil {
//		return err
//	}
//	defer cache.Close()
//	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired())
//	token, err := parser.Parse(raw, cache.Keyfunc)
//
// With Issuer in place of URL, the key set is found by discovery (RFC 8414,
// OpenID Connect Discovery).
//
// # The three clocks
//
// When to ask again, how long an old answer may serve, and how often an
// unknown kid may cause a question are three things, and have a clock each:
//
//	good answer
//	|---------- refresh-after ---------->| asked again in the background
//	|------------------------- usable-until ------------------------->| keys dropped
//	         ?  unknown kid: asked now, if the miss budget has one left
//	         |-- miss-cooldown -->| the budget regains one
//
// Their defaults, and why:
//
//   - refresh-after is what the answer says in Cache-Control or Expires, from 5
//     minutes to 24 hours, and 1 hour when it does not say: rotations are
//     announced by publishing the new key ahead, and an hour is soon enough to
//     see it. It is shortened at random by up to a tenth, so that a fleet does
//     not ask at once, and never exceeds three quarters of usable-until, so
//     that an outage finds time left.
//   - usable-until is 24 hours after the last good answer. Until then an
//     unreachable issuer logs nobody out; afterwards a key that the issuer may
//     have withdrawn long ago is no longer believed.
//   - miss-cooldown is 30 seconds, with a burst of 2. Anybody can make up a
//     kid, so kids that are not in the set must not turn into as many requests;
//     yet after a flood of them a new key is seen within one cooldown. A kid
//     that was asked for in vain costs nothing until the budget is whole again:
//     stale tokens do not use up what a rotation needs.
//
// A request that finds its key never waits, takes no lock and reads no clock.
// One that does not shares a single fetch with all others, and may leave it
// without ending it. A fetch takes at most 5 seconds; while no key is held,
// failed ones are repeated as requests come, 250 milliseconds to 5 seconds
// apart; while keys are held, in the background, 1 second to 5 minutes apart. A
// Retry-After of the server is respected within bounds.
//
// # What is a key
//
// An answer replaces the keys held only if it is a key set: status 200, not
// redirected, at most 1 MiB, strict JSON, at most 100 keys and one of them
// usable. Within it, keys that cannot or must not verify are left out, and the
// rest is used (RFC 7517 §5): only RSA of 2048 to 8192 bits, EC on P-256, P-384
// and P-521, and Ed25519; never symmetric ones, nor those that carry private
// members; use absent or "sig", key_ops absent or with "verify". A key with alg
// verifies that algorithm only, one without every algorithm of its type and
// curve. At most 4 keys come back for one question.
//
// Certificates in a set (x5c, x5u) are not looked at: the set is trusted for
// the URL it came from.
package jwks
