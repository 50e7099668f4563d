package spiffeauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

// NewBundleAt is NewBundle with another clock for its pauses.
func NewBundleAt(config BundleConfig, after func(time.Duration) <-chan time.Time) (*Bundle, error) {
	return newBundle(config, after)
}

// NewKeys returns a KeySource with a bundle, and a function that lets its reading fail.
func NewKeys(url string, bundle *jwks.Bundle, usable time.Duration) (accesstoken.KeySource, func(error)) {
	k := newKeys(url, usable)
	k.set(bundle)
	return k, func(err error) { k.fail(err, time.Now()) }
}

// Receive takes a message of the Workload API.
func (s *Source) Receive(bundles map[string][]byte) { s.receive(bundles) }

// Lose ends the stream.
func (s *Source) Lose(err error) { s.lose(err) }

// NewSourceOf returns a Source without a connection, which asks api for JWT-SVIDs.
func NewSourceOf(api workload.SpiffeWorkloadAPIClient) *Source {
	s := &Source{api: api, domains: map[string]*keys{}, usable: time.Hour, logger: slog.New(slog.DiscardHandler)}
	s.ended, s.stop = context.WithCancel(context.Background())
	return s
}
