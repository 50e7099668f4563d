// Package jwks keeps one issuer's key set fresh.
//
// A [Cache] holds the public keys that an issuer publishes as a JWK Set (RFC
// 7517 §5) and answers one question: which keys may verify a token with this
// kid and alg? You can use it with golang-jwt alone:
//
//	cache, err := jwks.NewCache(jwks.Config{URL: "https://login.example.com/jwks"})
//	if err != nil {
//		return err
//	}
//	defer cache.Close()
//	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired())
//	token, err := parser.Parse(raw, cache.Keyfunc)
//
// If you set Issuer instead of URL, the key set is found by discovery (RFC 8414,
// OpenID Connect Discovery). If your program has a keyfunc already, keep it and
// build it on [Cache.Storage].
//
// # The three clocks
//
// Three questions have a clock each: when to fetch the set again, how long an old
// answer can be used, and how often an unknown kid can cause a fetch:
//
//	good answer
//	|---------- refresh-after ---------->| fetched again in the background
//	|------------------------- usable-until ------------------------->| keys dropped
//	         ?  unknown kid: fetched now, if the miss budget has one left
//	         |-- miss-cooldown -->| the budget regains one
//
// Their defaults, and the reasons:
//
//   - refresh-after is what the answer says in Cache-Control or Expires, from 5 minutes to
//     18 hours, or 1 hour if it says nothing. Issuers announce a rotation by publishing
//     the new key ahead, and an hour is soon enough to see it. The time is shortened at
//     random by up to a tenth, so that a fleet does not fetch all at once. It never
//     exceeds three quarters of usable-until, so that time is left for an outage. If the
//     issuer's answers are up to date, a withdrawn key works for about refresh-after plus
//     Config.WithdrawAfter at most.
//   - usable-until is 24 hours after the last good answer. Until then, tokens are
//     still verified if the issuer is unreachable. Afterwards the keys are dropped,
//     because the issuer may have withdrawn them long ago.
//   - miss-cooldown is 30 seconds, with a burst of 2. Any client can make up a kid, so
//     unknown kids must not cause a request each. Even after a flood of them, a new key
//     is seen within one cooldown. If a kid was looked up without success, or was
//     withdrawn, it cannot spend the last unit of the budget: that unit is reserved for
//     a rotation. For example, a client that keeps sending a stale token never delays a
//     new key. A kid that was missing once gets a second chance after a cooldown,
//     because some issuers sign with a key a moment before they publish it.
//
// # If a key is missing
//
// A client that is told that its token is bad throws the token away. So [Cache.Keys]
// reports a key as missing only if that is certain: the set was fetched for this kid or
// after the request came, or, for a kid that was looked up or withdrawn before, within the
// last miss-cooldown (or the kid is longer than 256 bytes). Each answer lists all keys, so
// it counts for all of the up to 256 kids that are remembered. If the key may exist and
// the budget does not allow a fetch, you get an error. Unless fetches fail, it asks you to
// try again after at most 30 seconds. For example, two made-up kids can delay a new key
// that was not published ahead, but its tokens are not rejected for good.
//
// # Rotations without a new kid
//
// If an issuer has one key without a kid, or the same kid for every key, a rotation shows
// only in signatures that fail. [Cache.KeysAfter] then fetches the set, at most once in a
// miss-cooldown, and only if the budget is full. During the first miss-cooldown after a
// fetch such a rotation is not seen. After that, while fetches fail, KeysAfter returns an
// error, so that a good token is not thrown away. Forged tokens get the same error then.
//
// # If a key is withdrawn
//
// If one answer lacks a key that is held, the key is not dropped yet: a server of the
// issuer that was just started, or that has cached the set, serves the previous set for a
// while. The key stays, in doubt, until a second answer lacks it too. The cache fetches
// that answer 5 seconds later (Config.WithdrawAfter), past caches and, if HTTPClient
// allows it, over another connection. If a kid gets a new key, the same holds for its
// former key. The bounds are:
//
//   - if the second answer has the key again, the servers disagree, and either server may
//     be out of date. The cache then goes on fetching until answers 2 minutes apart are
//     the same. The pause doubles with each answer, up to 2 minutes, so this takes about 5
//     minutes if the servers soon agree again;
//   - if no second answer comes within 5 minutes, the first answer counts. So an issuer
//     that withdraws a stolen key and is then down has withdrawn it;
//   - usable-until ends keys in doubt like all others, and Config.File never holds
//     them.
//
// If WithdrawAfter is negative, the first answer drops a key. Good tokens are then
// rejected while a server is out of date, so you should set it only if a stolen key
// must stop that much earlier.
//
// The clocks are monotonic: setting the machine's time does not move them. On some systems
// they stop while the machine is suspended.
//
// # Waiting for a fetch
//
// A request that finds its key never waits, takes no lock and reads no clock. Requests
// that do not find their key share a single fetch; if a request gives up, the fetch goes
// on. Two limits keep a slow issuer from causing an outage or a pile of hanging requests:
// a request waits at most 5 seconds, and a fetch takes at most 15. If 4096 requests are
// waiting, any further request that would wait fails at once.
//
// While no keys are held, failed fetches are repeated as requests come, about 250
// milliseconds to 5 seconds apart. While keys are held, failed fetches are repeated in the
// background, about 1 second to 5 minutes apart. A Retry-After of the server is respected
// within bounds. If you set Config.File, an outage can also span a restart.
//
// Connections are not kept between fetches, unless the Transport of HTTPClient cannot be
// copied. A firewall may forget a connection that is idle for long, and then the fetch
// that a request waits for would hang.
//
// A background refresh can be conditional on an ETag (RFC 9110 §13.1.2). Three kinds of
// fetch are not conditional: one that a request starts, one while keys are in doubt or
// servers disagree, and a refresh if the last whole answer is older than half of
// usable-until. Otherwise an ETag that does not change with the keys would hide a
// rotation, or keep a withdrawn key for ever.
//
// # Which keys are used
//
// An answer replaces the keys held only if it is a key set: status 200, not redirected, at
// most 1 MiB, JSON nested at most 16 deep and of about 8192 members in all, with one
// member "keys" that lists at most 500 keys, of which at least one is usable. Keys that
// cannot or must not verify are left out, and the rest is used (RFC 7517 §5). A usable key
// meets these conditions:
//
//   - it is RSA of 2048 to 8192 bits with an odd exponent from 3 to 2^17, EC on P-256,
//     P-384 or P-521, Ed25519 but not of small order or, in a program built with Go 1.27
//     or later, ML-DSA; symmetric keys, and keys that carry private members, are never
//     used;
//   - use is absent, empty or "sig", and key_ops is absent or an array with "verify"
//     and without repetition;
//   - its kid has at most 256 bytes, and its alg, which only ML-DSA keys must have (RFC
//     9964), fits its type and curve;
//   - its values are base64url without padding or white space, and as long as its
//     curve demands (RFC 7518 §6.2.1).
//
// If a key has an alg, it verifies that algorithm only. Otherwise it verifies every
// algorithm of its type and curve. One lookup returns at most 4 keys, of which at most one
// is an RSA key of more than 4096 bits. If no key of the set has a kid, the keys that fit
// the alg are tried for a token with any kid (RFC 7515 §4.1.4). Keys in doubt do not
// change this: published keys are tried as if the keys in doubt were not there. Keys in
// doubt are tried after the published keys, for the tokens that they were tried for before
// the doubt.
//
// Certificates in a set (x5c, x5u) are ignored, because the set is trusted for
// the URL that it came from.
//
// # Monitoring
//
// The log reports when an outage begins and ends, when the keys expire, and when keys are
// dropped because no second answer came. Use [Cache.State] as a snapshot for a status page
// or a gauge, Config.OnFetch as an event after a fetch, and [Cache.Ready] for a readiness
// probe.
package jwks
