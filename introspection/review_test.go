package introspection_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// limited is an endpoint that hangs for odd tokens, and a client with one connection.
func limited(t *testing.T, change func(*introspection.Config)) *introspection.Client {
	t.Helper()
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.FormValue("token"), "odd") {
			<-r.Context().Done()
			return
		}
		answers(200, "application/json", goodBody)(w, r)
	})
	return newClient(t, e, func(c *introspection.Config) {
		transport := e.Client().Transport.(*http.Transport).Clone()
		transport.MaxConnsPerHost = 1
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(30 * time.Millisecond) // a server that is some way off
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		c.HTTPClient = &http.Client{Transport: transport}
		c.Timeout = 300 * time.Millisecond
		if change != nil {
			change(c)
		}
	})
}

// A limit of our own transport is as our own queue: it says nothing of the endpoint.
func TestReviewStrangersOpenNoCircuitOfKnownTokensByTakingTheConnections(t *testing.T) {
	client := limited(t, nil)
	wantAnswer(t, client, "known", "active")
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint("odd ", i)) })
	}
	all.Wait()
	wantAnswer(t, client, "known", "active")
}

// The endpoint is up, and says that the token is revoked to all who ask it.
func TestReviewNoStaleAnswerWhileAStrangerHasTheConnection(t *testing.T) {
	now := time.Now()
	client := limited(t, func(c *introspection.Config) { c.CacheFor, c.DangerouslyServeStaleFor = time.Minute, 10*time.Minute })
	options := introspection.Options{Now: func() time.Time { return now }}
	wantAnswerWith(t, client, "known", options, "active")
	now = now.Add(2 * time.Minute)
	var all sync.WaitGroup
	all.Go(func() { _, _ = client.Introspect(t.Context(), "odd") })
	time.Sleep(20 * time.Millisecond)
	wantAnswerWith(t, client, "known", options, "unknown")
	all.Wait()
}
