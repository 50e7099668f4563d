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

// Config says where a key set is and how to treat it. Either URL or Issuer is
// required; the zero value of every other field is a good choice.
type Config struct {
	_ [0]func() // no unkeyed literals, so that fields can be added

	// URL is the JWK Set document (jwks_uri, RFC 8414 §2). Empty: it is found
	// by discovery from Issuer.
	URL string

	// Issuer is the exact issuer identifier. The metadata must name it (RFC
	// 8414 §3.3). With URL set it only serves the log, without its query; with URL
	// or MetadataURL it may be http, because nothing is fetched from it.
	Issuer string

	// MetadataURL is where the metadata is read. Empty: the well-known places
	// of Issuer (RFC 8414 §3.1, OpenID Connect Discovery §4.1).
	MetadataURL string

	// MetadataKeys, if set, makes signed metadata a must: the document has to
	// carry signed_metadata (RFC 8414 §2.1) under one of these keys, and only
	// what is signed is used. Nil: signed_metadata is not looked at.
	MetadataKeys *Set

	// SameOrigin refuses metadata whose jwks_uri is of another scheme, host or
	// port than Issuer. Some issuers keep their keys elsewhere on purpose.
	SameOrigin bool

	// HTTPClient makes the requests. It is copied; redirects are refused
	// whatever it says. Nil: a client of our own, TLS 1.2 or newer.
	//
	// An [http.Transport] is copied as well, and the copy has connections of its own,
	// which Close closes. Those of HTTP/2 are pinged after 2 s of silence and closed 2 s
	// later, unless the transport sets its own SendPingTimeout in HTTP2; a negative one
	// sends no pings. Protocols that were registered with RegisterProtocol are not in
	// the copy. Any other RoundTripper is used as it is, which the log says
	// once: a connection that a firewall has forgotten is not found out here.
	HTTPClient *http.Client

	// PublicAddressesOnly refuses connections to addresses that are not public
	// unicast ones: loopback, link-local, private, those of cloud metadata
	// services. It looks at what a name resolved to, each time one is dialed,
	// and uses no proxy, which would resolve the name itself. It excludes
	// HTTPClient.
	PublicAddressesOnly bool

	// DangerouslyAllowHTTP accepts plain http on any host. Whoever is on the
	// way can then replace the keys. Loopback hosts do not need it.
	DangerouslyAllowHTTP bool

	// Logger gets one warning when a refresh starts failing, one info when it
	// recovers, one error when the keys have run out, and one warning for each
	// of these: keys that are left out, keys that are dropped because no second
	// answer came (see WithdrawAfter), a File that is not used or not written, an
	// OnFetch that panics. There is no key material in it. Nil:
	// slog.Default().
	Logger *slog.Logger

	// OnFetch is called after each fetch, on the goroutine that made it: nobody
	// waits for it but Close. Until one call returns there is no other, and the
	// fetches in between are not told. Nil: none.
	OnFetch func(Fetch)

	// File keeps the keys of the last good answer, so that after a restart an
	// issuer that is down is no outage: they serve until usable-until. The
	// first fetch is tried all the same, for 2 s. The file is replaced
	// atomically and readable by its owner only. It is believed if it belongs
	// to us or root, nobody else may write it, and it was saved under the same
	// settings of where keys are taken from; but whoever can write its folder
	// decides who gets in. One file is for one cache. Empty: none is kept.
	File string

	// RefreshAfter is when an answer is asked for again that does not say it
	// itself, from 100 ms to 24 h. Zero: 1 h, or less if UsableFor is short.
	// What the answer says (RFC 9111 §4.2.1) is taken from 5 minutes, or
	// RefreshAfter if that is less, to 24 h.
	RefreshAfter time.Duration

	// UsableFor is how long after the last good answer its keys still serve,
	// from 100 ms to 7 days. Zero: 24 h.
	UsableFor time.Duration

	// MissCooldown is the time in which unknown kids regain the right to one
	// fetch, up to two, from 100 ms to 1 h. It is also how long an answer counts
	// for what it lacks: see [Cache.Keys]. Zero: 30 s.
	MissCooldown time.Duration

	// WithdrawAfter is how long after an answer that lacks a key which is held the
	// set is fetched again. If the second answer lacks the key too, the key is dropped;
	// until then it verifies, for 5 minutes at most. If it has the key, the set is
	// fetched a few times more, at pauses that double up to 2 minutes. So a
	// server of the issuer that is behind for a moment costs no good token. It adds to
	// the time in which a revocation is noticed. From 100 ms to 1 minute. Zero: 5 s. Negative: the first
	// answer decides, which is better when a key was stolen.
	WithdrawAfter time.Duration

	// FetchTimeout is for a whole fetch, discovery included, from 100 ms to
	// 5 minutes. Zero: 15 s. While no keys are held, two attempts of three get
	// no more than WaitTimeout: the next may find a connection that does not
	// hang.
	FetchTimeout time.Duration

	// WaitTimeout is how long one request waits for a fetch under way, from
	// 10 ms to 1 minute; the fetch goes on without it. Zero: 5 s.
	WaitTimeout time.Duration
}

const (
	defaultRefresh  = time.Hour
	defaultUsable   = 24 * time.Hour
	defaultCooldown = 30 * time.Second
	defaultWithdraw = 5 * time.Second
	defaultFetch    = 15 * time.Second
	defaultWait     = 5 * time.Second

	shortest      = 100 * time.Millisecond // below this, waiting would be a flood of our own
	longestUsable = 7 * 24 * time.Hour     // a withdrawn key must stop working some day
	longestMiss   = time.Hour
	longestDrop   = time.Minute
	longestFetch  = 5 * time.Minute
	shortestWait  = 10 * time.Millisecond
	longestWait   = time.Minute

	minFresh = 5 * time.Minute
	maxFresh = 24 * time.Hour
)

// withDefaults fills in what is zero.
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

// latestRefresh leaves a quarter of the usable time to an outage.
func latestRefresh(usable time.Duration) time.Duration { return usable / 4 * 3 }

// check expects the defaults to be filled in.
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
		faults = append(faults, fmt.Errorf("jwks: RefreshAfter (%v) must be less than UsableFor (%v), or keys end before they are renewed", c.RefreshAfter, c.UsableFor))
	}
	if c.PublicAddressesOnly && c.HTTPClient != nil {
		faults = append(faults, errors.New("jwks: PublicAddressesOnly and HTTPClient exclude each other: connections are made by the client's own transport"))
	}
	return errors.Join(faults...)
}

func (c Config) checkPlace() (faults []error) {
	switch {
	case c.URL == "" && c.Issuer == "":
		return []error{errors.New("jwks: one of URL and Issuer is required")}
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
		faults = append(faults, errors.New("jwks: URL excludes MetadataURL, MetadataKeys and SameOrigin: with it no metadata is read"))
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
			keys, _, _ := c.MetadataKeys.Keys(context.Background(), kid, alg) // an error is no key
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

// name says whose keys these are, for errors and logs.
func (c Config) name() string { return fetch.Redact(cmp.Or(c.Issuer, c.URL)) }
