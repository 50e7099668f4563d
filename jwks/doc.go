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
// OpenID Connect Discovery). A program that has a keyfunc keeps it, and stands
// it on [Cache.Storage].
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
//     that an outage finds time left. This is also how long a withdrawn key
//     still works while the issuer answers, to which Config.WithdrawAfter comes.
//   - usable-until is 24 hours after the last good answer. Until then an
//     unreachable issuer logs nobody out; afterwards a key that the issuer may
//     have withdrawn long ago is no longer believed.
//   - miss-cooldown is 30 seconds, with a burst of 2. Every client can make up a
//     kid, so kids that are not in the set must not turn into as many requests;
//     yet after a flood of them a new key is seen within one cooldown. A kid
//     that was asked for in vain, or was withdrawn, may not use the last of the
//     budget: stale tokens that keep coming leave it to a rotation. One that
//     was not there gets a second chance after a cooldown, for issuers that sign
//     with a key a moment before they publish it.
//
// # When a key is not there
//
// A client that is told that its token is bad throws it away, so [Cache.Keys] says
// so only if it is certain: the set was fetched after the request came, or within
// the last miss-cooldown for a kid that was asked for or withdrawn before. Each
// answer lists all keys, so it counts for all of up to 256 kids that are
// remembered. What the budget may not ask for is an error, with the time until the
// next fetch, 30 seconds at most. So two made-up kids can hold up a new key that
// was not published ahead, but not have its tokens refused for good.
//
// # Rotations that no kid announces
//
// An issuer with one key and no kid, or with the same kid for every key, shows a
// rotation only by signatures that fail. [Cache.KeysAfter] has the set fetched for
// one, at most once in a miss-cooldown, and only if the budget is full. During the
// first miss-cooldown after a fetch such a rotation is not seen. While the issuer
// cannot be asked, KeysAfter says that instead of nothing, so that a good token is not
// thrown away; forged ones have the same answer then.
//
// # When a key is withdrawn
//
// One answer without a key that is held does not drop it: servers of an issuer that
// were just started, or have cached the set, serve the previous one for a while.
// The key stays, in doubt, until a second answer lacks it too. The cache fetches
// that one 5 seconds later (Config.WithdrawAfter), past caches and over another
// connection. The same holds for the former key of a kid. These are the bounds:
//
//   - if the second answer has the key again, servers disagree, and either may be the
//     one that is behind. The cache goes on looking until answers 2 minutes apart are
//     the same. The pause doubles with each answer, up to 2 minutes, so that with
//     servers that agree again soon it takes 5 minutes;
//   - when no second answer comes within 5 minutes, the first one counts. An issuer
//     that withdraws a stolen key and then is down has withdrawn it;
//   - usable-until ends keys in doubt like all others, and Config.File never has
//     them.
//
// A negative WithdrawAfter drops keys by the first answer, in exchange for refused
// tokens while a server lags. You want it if a stolen key must stop that much
// earlier.
//
// The clocks are monotonic: setting the machine's time moves none of them. They
// stand still with the machine, where it is suspended.
//
// # Who waits, and for how long
//
// A request that finds its key never waits, takes no lock and reads no clock.
// One that does not shares a single fetch with all others, and may leave it
// without ending it. Two limits keep a slow issuer from being either an outage
// or a pile of hanging requests: one request waits 5 seconds at most, the fetch
// itself goes on for 15. More than 4096 requests do not wait: the rest is
// turned away at once.
//
// While no key is held, failed fetches are repeated as requests come, 250
// milliseconds to 5 seconds apart; while keys are held, in the background, 1
// second to 5 minutes apart, with jitter. A Retry-After of the server is
// respected within bounds. With Config.File, an outage may also span a restart.
//
// Connections are not kept between fetches, unless HTTPClient has a RoundTripper of
// its own: a firewall may forget one that is idle for long, and then the fetch that a
// request waits for would hang.
//
// A refresh is conditional when the answer had an ETag (RFC 9110 §13.1.2). What
// a request waits for is not, neither is a second look at keys in doubt, nor a
// refresh after half of usable-until without a whole answer: an ETag that does not
// change with the keys would hide a rotation, or keep a withdrawn key for ever.
//
// # What is a key
//
// An answer replaces the keys held only if it is a key set: status 200, not
// redirected, at most 1 MiB, JSON with one member keys, at most 500 of them and
// one usable, nested at most 16 deep and of at most 8192 members in all. Within
// it, keys that cannot or must not verify are left out, and the
// rest is used (RFC 7517 §5): only RSA of 2048 to 8192 bits with an exponent up
// to 2^17, EC on P-256, P-384 and P-521, and Ed25519; never symmetric ones, nor
// those that carry private members; use absent, empty or "sig", key_ops absent or
// an array with "verify" and without repetition. Values are base64url without
// padding or white space, and as long as their curve says (RFC 7518 §6.2.1). A key
// with alg verifies that algorithm only, one without every algorithm of its type
// and curve. At most 4 keys come back for one question, and one of them at most is
// an RSA key of more than 4096 bits. Where no key of the set has a kid, those that
// fit the alg are tried for a token with any kid (RFC 7515 §4.1.4). Keys in doubt
// change nothing in that: what is published is tried as if they were not there, and
// they are tried after it for the tokens that they were tried for before.
//
// Certificates in a set (x5c, x5u) are not looked at: the set is trusted for
// the URL it came from.
//
// # Watching it
//
// The log tells when an outage begins and ends, when the keys run out, and when
// keys are dropped because no second answer spoke for them.
// [Cache.State] is a snapshot for a status page or a gauge, Config.OnFetch an
// event for each fetch, [Cache.Ready] an answer for a readiness probe.
package jwks
