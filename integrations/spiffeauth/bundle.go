package spiffeauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/jwks"
)

// BundleConfig says where the bundle of one trust domain is read. Exactly one of URL and
// File is required.
type BundleConfig struct {
	_ [0]func()

	// TrustDomain is the trust domain, such as "spiffe://example.org". The bundle does not
	// say whose it is, so this and the place must belong together.
	TrustDomain string

	// URL is the https address of the trust domain's bundle endpoint, which the
	// certificate of the server proves (profile https_web of SPIFFE Federation §5.2.1).
	URL string

	// File is the name of a file with the bundle, which another program may replace.
	File string

	// HTTPClient fetches from URL. It is copied, and redirects are refused. If nil, a
	// default client is used.
	HTTPClient *http.Client

	// UsableFor is how long the last bundle is used if none can be read. It is 24 h if
	// zero, and at most 7 days.
	UsableFor time.Duration

	// Logger receives a line when the bundle cannot be read, and when it can be again. If
	// nil, it is slog.Default().
	Logger *slog.Logger
}

// A Bundle reads the keys of one trust domain again and again, for a service that has no
// agent. Make one with [NewBundle], and Close it at the end. It is safe for concurrent
// use.
type Bundle struct {
	config BundleConfig
	client *fetch.Client
	logger *slog.Logger
	keys   *keys
	newest uint64 // the highest spiffe_sequence that was read
	after  func(time.Duration) <-chan time.Time
	stop   context.CancelFunc
	done   chan struct{}
}

const (
	maxBundle = 1 << 20 // bytes

	// A file is read again after fileEvery. An address is fetched again after
	// spiffe_refresh_hint, or defaultEvery without one, but within these bounds.
	fileEvery    = 10 * time.Second
	defaultEvery = 5 * time.Minute
	leastEvery   = 30 * time.Second
	mostEvery    = time.Hour
)

// NewBundle makes a Bundle, and begins to read in the background. It does no I/O itself.
// If the config has faults, the error has one line for each of them.
//
// A bundle without keys means that nothing is trusted. If the place cannot be read, or
// what is there is not a bundle, or its spiffe_sequence is lower than before, the last
// bundle stays until UsableFor has passed.
func NewBundle(config BundleConfig) (*Bundle, error) {
	return newBundle(config, time.After)
}

func newBundle(config BundleConfig, after func(time.Duration) <-chan time.Time) (*Bundle, error) {
	b := &Bundle{
		config: config, client: fetch.New(config.HTTPClient), logger: loggerOf(config.Logger),
		keys: newKeys(config.TrustDomain, usableOf(config.UsableFor)), after: after, done: make(chan struct{}),
	}
	if err := errors.Join(b.keys.fault, config.placeErr(), usableErr(config.UsableFor)); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.run(ctx)
	return b, nil
}

func (c BundleConfig) placeErr() error {
	if (c.URL == "") == (c.File == "") {
		return errors.New("spiffeauth: expected one of URL and File, which say where the bundle is")
	}
	if c.URL == "" {
		return nil
	}
	if err := fetch.CheckURL(c.URL, false); err != nil {
		return fmt.Errorf("spiffeauth: URL: %w", err)
	}
	return nil
}

// Issuer returns the trust domain as an issuer with its keys. You can change other fields
// of it.
func (b *Bundle) Issuer() accesstoken.Issuer {
	return accesstoken.Issuer{URL: b.keys.url, Profile: accesstoken.SPIFFE, Keys: b.keys}
}

// Close ends the reading, and waits for it. Afterwards tokens are refused with
// KeysUnavailable.
func (b *Bundle) Close() error {
	b.stop()
	<-b.done
	b.client.Close()
	return nil
}

// run reads until Close. After a failure it reads again soon, and then less often.
func (b *Bundle) run(ctx context.Context) {
	defer close(b.done)
	defer b.keys.drop(errClosed)
	var last *jwks.Bundle
	retry := time.Duration(0)
	for ctx.Err() == nil {
		bundle, err := b.read(ctx, last)
		every := b.every(last)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if retry > 0 {
				b.logger.Info("spiffeauth: the bundle can be read again", "trust_domain", b.keys.url)
			}
			last, retry, every = bundle, 0, b.every(bundle)
			b.keys.set(bundle)
		default:
			if retry == 0 {
				b.logger.Warn("spiffeauth: the bundle cannot be read; the last one is kept for a while", "trust_domain", b.keys.url, "error", err)
			}
			b.keys.fail(fmt.Errorf("spiffeauth: the bundle of %s cannot be read: %w", b.keys.url, err), time.Now())
			retry = min(max(2*retry, time.Second), every)
			every = retry
		}
		select {
		case <-b.after(every - rand.N(every/10)): // so that a fleet does not read at once
		case <-ctx.Done():
		}
	}
}

// every returns the time from one good reading to the next.
func (b *Bundle) every(bundle *jwks.Bundle) time.Duration {
	switch {
	case b.config.File != "":
		return fileEvery
	case bundle == nil || bundle.RefreshHint() == 0:
		return defaultEvery
	}
	return min(max(bundle.RefreshHint(), leastEvery), mostEvery)
}

// read reads the bundle once. One that is older than any before is an error, because an
// attacker, or a server that is behind, could bring back a key that was withdrawn.
func (b *Bundle) read(ctx context.Context, last *jwks.Bundle) (*jwks.Bundle, error) {
	document, err := b.document(ctx)
	if err != nil {
		return nil, err
	}
	bundle, err := jwks.ReadBundle(document)
	if err != nil {
		return nil, err
	}
	number, isNumbered := bundle.Sequence()
	if isNumbered && number < b.newest {
		return nil, errors.New("its spiffe_sequence is lower than before")
	}
	b.newest = max(b.newest, number)
	if err := bundle.Omitted(); err != nil && (last == nil || !bundle.Equal(last)) {
		b.logger.Warn("spiffeauth: keys of a bundle are not used", "trust_domain", b.keys.url, "error", err)
	}
	return bundle, nil
}

func (b *Bundle) document(ctx context.Context) ([]byte, error) {
	if b.config.File != "" {
		return readFile(b.config.File)
	}
	request := fetch.Request{URL: b.config.URL, MaxBytes: maxBundle}
	response, err := b.client.Do(ctx, request)
	switch {
	case err != nil:
		return nil, err
	case response.Status != http.StatusOK:
		return nil, request.StatusError(response)
	}
	return response.Body, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxBundle+1)) // jwks.ReadBundle refuses one more byte
}
