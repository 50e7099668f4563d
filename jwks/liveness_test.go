package jwks_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

func TestTheLogSaysOnceThatConnectionsAreNotLookedAfter(t *testing.T) {
	for name, c := range map[string]struct {
		client func(*server) *http.Client
		want   int
	}{
		"a RoundTripper": {func(s *server) *http.Client { return &http.Client{Transport: s} }, 1},
		"a transport": {func(*server) *http.Client {
			return &http.Client{Transport: &http.Transport{DialContext: refuseToDial}}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedBuffer
				s := serve(ec("a"))
				cache := open(t, s, func(config *jwks.Config) { config.Logger, config.HTTPClient = log.logger(), c.client(s) })
				_ = cache.Warm(t.Context())
				time.Sleep(5 * time.Hour)
				if got := strings.Count(log.whole(), "SendPingTimeout"); got != c.want {
					t.Errorf("got %d lines about it in %q; want %d", got, log.whole(), c.want)
				}
			})
		})
	}
}

func refuseToDial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("no network here")
}
