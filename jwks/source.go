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
	config  Config
	client  *fetch.Client
	looking atomic.Bool // at the metadata: the keys have not been asked for yet

	jwksURI string
	lookAt  time.Time // when the metadata is next looked at

	etag    string        // of the last good answer from jwksURI
	fresh   time.Duration // what that answer said
	wholeAt time.Time     // when it was last sent whole

	complained map[string]bool
	warned     bool // that connections are not pinged
}

func newSource(config Config) *source {
	return &source{config: config, client: config.newClient(), jwksURI: config.URL, complained: make(map[string]bool)}
}

// A reply is a good answer of the issuer.
type reply struct {
	set     *keySet // nil: the set is the one that was read last
	fresh   time.Duration
	omitted []omission // keys of the document that are not in the set
}

// ask fetches the key set. A jwks_uri that was discovered is kept, and looked
// up again at every refresh and when an unknown kid asks, but for those that come
// in a row.
func (s *source) ask(ctx context.Context, urgent bool) (reply, error) {
	if s.config.URL == "" && (s.jwksURI == "" || !time.Now().Before(s.lookAt)) {
		if err := s.discover(ctx); err != nil {
			return reply{}, err
		}
	}
	return s.read(ctx, urgent)
}

// discover looks the jwks_uri up. When the metadata is unavailable the kept one
// serves on: the keys may well be there. It gets half of the time that a request
// waits for that, or a slow metadata server would leave none for the keys.
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
		return fmt.Errorf("%w: it names no jwks_uri", discovery.ErrMismatch)
	case err == nil && metadata.JWKSURI != s.jwksURI:
		s.jwksURI, s.etag = metadata.JWKSURI, ""
	case errors.Is(err, discovery.ErrMismatch), s.jwksURI == "":
		return err
	}
	return nil
}

// read reads the key set at jwksURI. What is urgent is asked for without
// condition and past the caches on the way: an ETag that does not change with
// the keys must not hide a rotation.
func (s *source) read(ctx context.Context, urgent bool) (r reply, err error) {
	s.looking.Store(false)
	defer func() {
		if err != nil {
			s.etag = "" // or a server that dislikes the condition would be down for ever
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
		if _, said := lifetime(response.Header, time.Now()); said {
			s.fresh = freshness(response.Header, time.Now(), s.config)
		}
		return reply{fresh: s.fresh}, nil // RFC 9111 §4.3.4: what it does not say stays
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

// isCurrent reports whether to ask by ETag. One that never changes would keep a
// withdrawn key for ever, so that now and then the set is asked for whole.
func (s *source) isCurrent() bool {
	return s.etag != "" && time.Since(s.wholeAt) < s.config.UsableFor/2
}

// usableETag leaves out what is too long to be sent back for ever.
func usableETag(tag string) string {
	if len(tag) > 1<<10 {
		return ""
	}
	return tag
}

// unpinged returns a warning, once, about a transport whose connections nothing here
// can look after, or nil.
func (s *source) unpinged() func() {
	if s.warned || !s.client.CannotPing() {
		return nil
	}
	s.warned = true
	return func() {
		s.config.Logger.Warn("jwks: a connection that a firewall has forgotten is not found out, since the transport of HTTPClient is not an *http.Transport with net/http's HTTP/2; set the SendPingTimeout and PingTimeout of the one that it wraps", "issuer", s.config.name())
	}
}

// complaint returns a warning about keys that are left out, once per content,
// or nil.
func (s *source) complaint(left []omission) func() {
	var text []string
	for _, o := range left {
		if !o.expected() {
			text = append(text, o.String())
		}
	}
	const most = 64 // documents remembered; beyond that somebody plays games
	report := strings.Join(text, "; ")
	if report == "" || s.complained[report] || len(s.complained) == most {
		return nil
	}
	s.complained[report] = true
	return func() {
		s.config.Logger.Warn("jwks: keys of the key set are left out", "issuer", s.config.name(), "keys", report)
	}
}
