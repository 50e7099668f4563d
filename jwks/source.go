package jwks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

const maxDocument = 1 << 20

// A source fetches from the issuer. Only the running fetch uses it, except for looking.
type source struct {
	config  Config
	client  *fetch.Client
	looking atomic.Bool // the metadata is being read, and the keys have not been requested yet

	jwksURI string
	lookAt  time.Time // when the metadata can be read again

	etag    string        // of the last good answer from jwksURI
	fresh   time.Duration // the freshness of that answer
	wholeAt time.Time     // when the last answer with a body came

	complained map[string]bool
	warned     bool // unpinged has returned its warning
}

func newSource(config Config) *source {
	return &source{config: config, client: config.newClient(), jwksURI: config.URL, complained: make(map[string]bool)}
}

// A reply is a good answer of the issuer.
type reply struct {
	set     *keySet // nil if the set has not changed (304)
	fresh   time.Duration
	omitted []omission // keys of the document that are not in the set
}

// ask fetches the key set. A jwks_uri from discovery is kept. It is looked up again
// before each fetch that begins at lookAt or later.
func (s *source) ask(ctx context.Context, urgent bool) (reply, error) {
	if s.config.URL == "" && (s.jwksURI == "" || !time.Now().Before(s.lookAt)) {
		if err := s.discover(ctx); err != nil {
			return reply{}, err
		}
	}
	return s.read(ctx, urgent)
}

// discover looks up the jwks_uri. If the metadata is unavailable, the previous jwks_uri
// stays in use, because the keys may still be there. If there is a previous jwks_uri,
// the lookup gets at most half of WaitTimeout, so that a slow metadata server leaves
// time for the keys.
func (s *source) discover(ctx context.Context) error {
	s.looking.Store(true)
	if s.jwksURI != "" {
		bounded, cancel := context.WithTimeout(ctx, min(s.config.FetchTimeout, s.config.WaitTimeout)/2)
		defer cancel()
		ctx = bounded
	}
	metadata, err := discovery.Read(ctx, s.client, s.config.source())
	pause := min(s.config.MissCooldown, s.config.RefreshAfter/2)
	s.lookAt = time.Now().Add(max(pause, min(retryAfter(err), mostHolding)))
	switch {
	case err == nil && metadata.JWKSURI == "":
		return fmt.Errorf("%w: the metadata has no jwks_uri; set URL instead", discovery.ErrMismatch)
	case err == nil && metadata.JWKSURI != s.jwksURI:
		s.jwksURI, s.etag = metadata.JWKSURI, ""
	case errors.Is(err, discovery.ErrMismatch), s.jwksURI == "":
		return err
	}
	return nil
}

// read reads the key set at jwksURI. If the fetch is urgent, it is unconditional and
// bypasses HTTP caches, because an ETag that does not change with the keys would hide a
// rotation.
func (s *source) read(ctx context.Context, urgent bool) (r reply, err error) {
	s.looking.Store(false)
	defer func() {
		if err != nil {
			s.etag = "" // otherwise a server that fails on the condition would fail for ever
		}
	}()
	header := http.Header{"Accept": {"application/jwk-set+json, application/json"}} // RFC 7517 §8.5
	conditional := !urgent && s.isCurrent()
	switch {
	case conditional:
		header.Set("If-None-Match", s.etag) // RFC 9110 §13.1.2
	case urgent:
		header.Set("Cache-Control", "no-cache") // RFC 9111 §5.2.1.4
	}
	request := fetch.Request{URL: s.jwksURI, Header: header, MaxBytes: maxDocument, Timeout: s.config.FetchTimeout}
	response, err := s.client.Do(ctx, request)
	switch {
	case response.Status == http.StatusNotModified && conditional && err == nil:
		if _, ok := lifetime(response.Header, time.Now()); ok {
			s.fresh = freshness(response.Header, time.Now(), s.config)
		}
		return reply{fresh: s.fresh}, nil // RFC 9111 §4.3.4: if a 304 has no freshness lifetime, the stored one stays
	case response.Status != 0 && response.Status != http.StatusOK:
		return reply{}, request.StatusError(response)
	case err != nil:
		return reply{}, err
	}
	set, left, err := readSet(response.Body)
	if err != nil {
		return reply{omitted: left}, fmt.Errorf("%s: %w", fetch.Redact(s.jwksURI), err)
	}
	s.etag, s.wholeAt = usableETag(response.Header.Get("ETag")), time.Now()
	s.fresh = freshness(response.Header, time.Now(), s.config)
	return reply{set, s.fresh, left}, nil
}

// isCurrent reports whether to send the ETag. An ETag that never changes would keep a
// withdrawn key for ever, so the set is fetched whole if the last whole answer is older
// than half of UsableFor.
func (s *source) isCurrent() bool {
	return s.etag != "" && time.Since(s.wholeAt) < s.config.UsableFor/2
}

// usableETag returns the tag, or "" if it is too long to send back with every refresh.
func usableETag(tag string) string {
	if len(tag) > 1<<10 {
		return ""
	}
	return tag
}

// unpinged returns a warning, once, if the transport's dead connections cannot be
// detected; otherwise nil.
func (s *source) unpinged() func() {
	if s.warned || !s.client.CannotPing() {
		return nil
	}
	s.warned = true
	return func() {
		s.config.Logger.Warn("jwks: dead connections are not detected, because the transport of HTTPClient is not an *http.Transport with net/http's HTTP/2; set SendPingTimeout and PingTimeout on the transport that it wraps", "issuer", s.config.name())
	}
}

// complaint returns a warning about keys that are left out, once for each different
// text; otherwise nil.
func (s *source) complaint(left []omission) func() {
	var text []string
	for _, o := range left {
		if !o.expected() {
			text = append(text, o.String())
		}
	}
	const most = 64 // warnings remembered; if there are more, the server varies them to flood the log
	report := strings.Join(text, "; ")
	if report == "" || s.complained[report] || len(s.complained) == most {
		return nil
	}
	s.complained[report] = true
	return func() {
		s.config.Logger.Warn("jwks: keys of the key set are left out", "issuer", s.config.name(), "keys", report)
	}
}
