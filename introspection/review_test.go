package introspection_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// One server of three refuses, or is down. The other two serve, and a balancer sends a
// request to any.
func TestReviewOneServerOfThreeIsNoOutage(t *testing.T) {
	for name, says := range map[string]reply{
		"401":                  {status: 401},
		"503":                  {status: 503},
		"503, Retry-After: 10": {status: 503, after: "10"},
		"429, Retry-After: 10": {status: 429, after: "10"},
		"the exchange broke":   {err: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := false
				client, _ := newFair(t, func(string) reply {
					if bad && rand.IntN(3) == 0 {
						return says
					}
					return reply{body: goodBody, delay: 20 * time.Millisecond}
				}, nil)
				knowing(t, client, 100)
				bad = true
				const most = 600 // a minute of 10 requests in a second
				good := 0
				for range most {
					if r, err := client.Introspect(t.Context(), fmt.Sprint("known ", rand.IntN(100))); err == nil && r.Active {
						good++
					}
					time.Sleep(80 * time.Millisecond)
				}
				if good < most/2 {
					t.Errorf("got %d answers of %d; want about two thirds", good, most)
				}
			})
		})
	}
}
