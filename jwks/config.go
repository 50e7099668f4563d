package jwks

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

// Config holds where a key set is found and how it is used. Either URL or Issuer is
// required. You can leave every other field zero: its default is a good choice.
type Config struct {
	_ [0]func() // no unkeyed literals, so that fields can be added

	// URL is the URL of the JWK Set document (jwks_uri, RFC 8414 §2). If it is empty,
	// the document is found by discovery from Issuer.
	URL string

	// Issuer is the exact issuer identifier. The issuer in the metadata must be equal
	// to it (RFC 8414 §3.3). If URL is set, Issuer appears only in logs and errors,
	// without its query. If URL or MetadataURL is set, Issuer can be http, because
	// nothing is fetched from it.
	Issuer string

	// MetadataURL is the URL of the metadata. If it is empty, the well-known URLs of
	// Issuer are used (RFC 8414 §3.1, OpenID Connect Discovery §4.1).
	MetadataURL string

	// MetadataKeys, if set, requires signed metadata: the document must have
	// signed_metadata (RFC 8414 §2.1) that one of these keys verifies, and only the signed
	// members are used. If MetadataKeys is nil, signed_metadata is ignored.
	MetadataKeys *Set

	// SameOrigin refuses metadata if its jwks_uri has a different scheme, host or
	// port than Issuer. If an issuer keeps its keys on another host on purpose, you
	// should leave it false.
	SameOrigin bool

	// HTTPClient makes the requests. It is copied, and redirects are refused whatever its
	// CheckRedirect. If HTTPClient is nil, a client with TLS 1.2 or newer is used.
	//
	// If its Transport is an [http.Transport], the Transport is copied as well, and the
	// copy has connections of its own, which Close closes. HTTP/2 connections are pinged
	// after 2 s of silence, and closed if there is no answer within 2 s more. If the
	// Transport sets SendPingTimeout in its HTTP2, its own times hold instead; if
	// SendPingTimeout is negative, no pings are sent. The copy lacks protocols that were
	// registered with RegisterProtocol. Any other RoundTripper is used as it is, and a
	// warning is logged once, because the cache cannot detect that a firewall has dropped
	// one of its connections.
	HTTPClient *http.Client

	// PublicAddressesOnly refuses connections to any address that is not public unicast:
	// loopback, link-local, private, and the addresses of cloud metadata services. The
	// resolved address is checked each time a connection is dialed. It bypasses HTTP
	// proxies, because a proxy would resolve the name itself, and cannot be combined with
	// HTTPClient.
	PublicAddressesOnly bool

	// DangerouslyAllowHTTP accepts plain http on any host. An attacker on the
	// network path can then replace the keys, so you should not set it in production.
	// Loopback hosts do not need it.
	DangerouslyAllowHTTP bool

	// Logger gets one warning when fetches start to fail, one info when they
	// succeed again, and one error when the keys expire. It gets one warning for each
	// of these: keys that are left out, keys that are dropped because no second
	// answer came (see WithdrawAfter), a File that is not used or not written, and an
	// HTTPClient whose dead connections are not detected. If OnFetch panics, that is
	// logged once, as an error. No key material is logged. If Logger is nil,
	// slog.Default() is used.
	Logger *slog.Logger

	// OnFetch, if set, is called after each fetch, on the fetch's own goroutine, so only
	// Close waits for it. Calls are never concurrent: if a fetch ends while a call is
	// running, that fetch is not reported.
	OnFetch func(Fetch)

	// File, if set, stores the keys of the last good answer, so that the cache can
	// restart while the issuer is down: the stored keys are used until usable-until. The
	// first fetch is still tried, for 2 s. The file is replaced atomically, and only
	// its owner can read it. It is used only if it was saved with the same settings of
	// where keys come from. On Unix, its owner must also be this process's user or root,
	// and no other user may be able to write it. You should protect its folder, because
	// a user who can write there decides which tokens are accepted. Each cache needs a
	// file of its own.
	File string

	// RefreshAfter is the time until the set is fetched again if the answer has no
	// freshness lifetime of its own (RFC 9111 §4.2.1), from 100 ms to 24 h. Zero: 1 h,
	// or less if UsableFor is short. The answer's own lifetime is bounded: at least 5
	// minutes, or RefreshAfter if that is less, and at most 24 h.
	RefreshAfter time.Duration

	// UsableFor is how long after the last good answer its keys can still be used,
	// from 100 ms to 7 days. Zero: 24 h.
	UsableFor time.Duration

	// MissCooldown is the time in which unknown kids regain one fetch, up to two, from
	// 100 ms to 1 h. It is also how long an answer proves that a key is missing: see
	// [Cache.Keys]. Zero: 30 s.
	MissCooldown time.Duration

	// WithdrawAfter is the pause before a second fetch if an answer lacks a key that is
	// held, from 100 ms to 1 minute. If the second answer lacks the key too, the key is
	// dropped. Until then it verifies, for at most 5 minutes. If the second answer has the
	// key, the set is fetched a few times more, after pauses that double up to 2 minutes.
	// So if a server of the issuer is out of date for a moment, no good token is rejected.
	// A withdrawal takes effect later by this pause. Zero: 5 s. If WithdrawAfter is
	// negative, the first answer decides, which is better if a key was stolen.
	WithdrawAfter time.Duration

	// FetchTimeout limits a whole fetch, discovery included, from 100 ms to 5 minutes.
	// Zero: 15 s. While no keys are held, two of three attempts are cut off after
	// WaitTimeout, because the next attempt may get a connection that does not hang.
	FetchTimeout time.Duration

	// WaitTimeout is how long one request waits for a running fetch, from
	// 10 ms to 1 minute. The fetch goes on if the request gives up. Zero: 5 s.
	WaitTimeout time.Duration
}

const (
	defaultRefresh  = time.Hour
	defaultUsable   = 24 * time.Hour
	defaultCooldown = 30 * time.Second
	defaultWithdraw = 5 * time.Second
	defaultFetch    = 15 * time.Second
	defaultWait     = 5 * time.Second

	shortest      = 100 * time.Millisecond // shorter times would flood the issuer
	longestUsable = 7 * 24 * time.Hour     // a withdrawn key must stop working some day
	longestMiss   = time.Hour
	longestDrop   = time.Minute
	longestFetch  = 5 * time.Minute
	shortestWait  = 10 * time.Millisecond
	longestWait   = time.Minute

	minFresh = 5 * time.Minute
	maxFresh = 24 * time.Hour
)

// withDefaults replaces zero fields by their defaults.
func (c Config) withDefaults() Config {
	fill := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	fill(&c.UsableFor, defaultUsable)
	fill(&c.RefreshAfter, min(defaultRefresh, latestRefresh(c.UsableFor)))
	fill(&c.MissCooldown, defaultCooldown)
	fill(&c.WithdrawAfter, defaultWithdraw)
	fill(&c.FetchTimeout, defaultFetch)
	fill(&c.WaitTimeout, defaultWait)
	return c
}

// latestRefresh leaves a quarter of the usable time for an outage.
func latestRefresh(usable time.Duration) time.Duration { return usable / 4 * 3 }

// check reports all faults. The defaults must be filled in already.
func (c Config) check() error {
	faults := c.checkPlace()
	within := func(field string, value, least, most time.Duration) {
		if value < least || value > most {
			faults = append(faults, fmt.Errorf("jwks: %s: got %v; want %v to %v", field, value, least, most))
		}
	}
	within("RefreshAfter", c.RefreshAfter, min(shortest, latestRefresh(c.UsableFor)), maxFresh)
	within("UsableFor", c.UsableFor, shortest, longestUsable)
	within("MissCooldown", c.MissCooldown, shortest, longestMiss)
	within("FetchTimeout", c.FetchTimeout, shortest, longestFetch)
	within("WaitTimeout", c.WaitTimeout, shortestWait, longestWait)
	if c.WithdrawAfter > 0 {
		within("WithdrawAfter", c.WithdrawAfter, shortest, longestDrop)
	}
	if c.RefreshAfter >= c.UsableFor && c.UsableFor >= shortest {
		faults = append(faults, fmt.Errorf("jwks: RefreshAfter (%v) must be less than UsableFor (%v), or the keys expire before they are refreshed", c.RefreshAfter, c.UsableFor))
	}
	if c.PublicAddressesOnly && c.HTTPClient != nil {
		faults = append(faults, errors.New("jwks: PublicAddressesOnly and HTTPClient exclude each other, because HTTPClient makes connections with its own transport; leave one of them unset"))
	}
	return errors.Join(faults...)
}

func (c Config) checkPlace() (faults []error) {
	switch {
	case c.URL == "" && c.Issuer == "":
		return []error{errors.New("jwks: one of URL and Issuer is required, and both are empty")}
	case c.URL == "":
		for _, fault := range c.source().Faults() {
			faults = append(faults, fmt.Errorf("jwks: %w", fault))
		}
		if c.MetadataKeys != nil && c.MetadataKeys.Err() != nil {
			faults = append(faults, fmt.Errorf("jwks: MetadataKeys: %w", c.MetadataKeys.Err()))
		}
		return faults
	}
	if err := fetch.CheckURL(c.URL, c.DangerouslyAllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("jwks: URL: %w", err))
	}
	if c.MetadataURL != "" || c.MetadataKeys != nil || c.SameOrigin {
		faults = append(faults, errors.New("jwks: URL excludes MetadataURL, MetadataKeys and SameOrigin, because with URL set no metadata is read"))
	}
	return faults
}

func (c Config) source() discovery.Source {
	source := discovery.Source{
		Issuer:      c.Issuer,
		MetadataURL: c.MetadataURL,
		AllowHTTP:   c.DangerouslyAllowHTTP,
		SameOrigin:  c.SameOrigin,
		Timeout:     c.FetchTimeout,
	}
	if c.MetadataKeys != nil {
		source.SignedBy = func(kid, alg string) []crypto.PublicKey {
			keys, _, _ := c.MetadataKeys.Keys(context.Background(), kid, alg) // after an error there are no keys
			return keys
		}
	}
	return source
}

func (c Config) newClient() *fetch.Client {
	if c.PublicAddressesOnly {
		return fetch.NewPublic()
	}
	return fetch.New(c.HTTPClient)
}

// name returns the issuer, or else the URL of the key set, for errors and logs.
func (c Config) name() string { return fetch.Redact(cmp.Or(c.Issuer, c.URL)) }
