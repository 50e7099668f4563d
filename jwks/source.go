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

// A source asks the issuer. Only the fetch under way uses it, but for looking.
type source struct {
	looking atomic.Bool // at the metadata: the keys have not been asked for yet

	config       Config
	client       *fetch.Client
	jwksURI      string
	discoveredAt time.Time
	etag         string // of the last good answer from jwksURI
	complained   map[string]bool
}

func newSource(config Config) *source {
	return &source{config: config, client: config.newClient(), jwksURI: config.URL, complained: make(map[string]bool)}
}

// A reply is a good answer of the issuer.
type reply struct {
	set      *keySet // nil: the set is the one that was read last
	fresh    time.Duration
	omitted  int // keys of the document that are not in the set
	document []byte
}

// ask fetches the key set. A jwks_uri that was discovered is kept, and looked
// up again when the server no longer knows it, or when the last look-up is older
// than half of RefreshAfter: every refresh notices a moved one, and a row of
// unknown kids does not ask for the metadata each time.
func (s *source) ask(ctx context.Context, urgent bool) (reply, error) {
	if s.config.URL != "" {
		return s.read(ctx, urgent)
	}
	before := s.discoveredAt
	if s.jwksURI == "" || time.Since(before) > s.config.RefreshAfter/2 {
		if err := s.discover(ctx); err != nil {
			return reply{}, err
		}
	}
	r, err := s.read(ctx, urgent)
	if isGone(err) && s.discoveredAt.Equal(before) {
		s.moveTo("")
		if err := s.discover(ctx); err != nil {
			return reply{}, err
		}
		return s.read(ctx, urgent)
	}
	return r, err
}

func isGone(err error) bool {
	status := (*fetch.StatusError)(nil)
	return errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusGone)
}

// discover looks the jwks_uri up. When the metadata is unavailable the kept one
// serves on: the keys may well be there. It gets half of the time for that, or a
// slow metadata server would leave none for the keys.
func (s *source) discover(ctx context.Context) error {
	s.looking.Store(true)
	if s.jwksURI != "" {
		bounded, cancel := context.WithTimeout(ctx, s.config.FetchTimeout/2)
		defer cancel()
		ctx = bounded
	}
	metadata, err := discovery.Read(ctx, s.client, s.config.source())
	switch {
	case err == nil && metadata.JWKSURI == "":
		return fmt.Errorf("%w: it names no jwks_uri", discovery.ErrMismatch)
	case err == nil:
		s.moveTo(metadata.JWKSURI)
		s.discoveredAt = time.Now()
	case errors.Is(err, discovery.ErrMismatch) || s.jwksURI == "":
		return err
	}
	return nil
}

// moveTo forgets the ETag with the place that it is from.
func (s *source) moveTo(uri string) {
	if uri != s.jwksURI {
		s.jwksURI, s.etag = uri, ""
	}
}

// read reads the key set at jwksURI. What is urgent is asked for without
// condition and past the caches on the way: an ETag that does not change with
// the keys must not hide a rotation.
func (s *source) read(ctx context.Context, urgent bool) (reply, error) {
	s.looking.Store(false)
	header := http.Header{"Accept": {"application/jwk-set+json, application/json"}} // RFC 7517 §8.5
	conditional := s.etag != "" && !urgent
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
		return reply{fresh: freshness(response.Header, time.Now(), s.config)}, nil
	case response.Status != 0 && response.Status != http.StatusOK:
		return reply{}, request.StatusError(response)
	case err != nil:
		return reply{}, err
	}
	set, left, err := readSet(response.Body)
	s.complain(left)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", fetch.Redact(s.jwksURI), err)
	}
	s.etag = usableETag(response.Header.Get("ETag"))
	return reply{set, freshness(response.Header, time.Now(), s.config), len(left), response.Body}, nil
}

// usableETag leaves out what is too long to be sent back for ever.
func usableETag(tag string) string {
	if len(tag) > 1<<10 {
		return ""
	}
	return tag
}

// complain warns about keys that are left out, once per content.
func (s *source) complain(left []omission) {
	var text []string
	for _, o := range left {
		if !o.expected() {
			text = append(text, o.String())
		}
	}
	const most = 64 // documents remembered; beyond that somebody plays games
	report := strings.Join(text, "; ")
	if report == "" || s.complained[report] || len(s.complained) == most {
		return
	}
	s.complained[report] = true
	s.config.Logger.Warn("jwks: keys of the key set are left out", "issuer", s.config.name(), "keys", report)
}
