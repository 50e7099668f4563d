package introspection_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
)

func ofServer(t *testing.T, as *accesstokentest.Server, change func(*introspection.Config)) *introspection.Client {
	t.Helper()
	config := introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Each fault of an endpoint moves the number that tells it.
func TestStatsOfAClient(t *testing.T) {
	as := accesstokentest.NewServer(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, test := range map[string]struct {
		fault accesstokentest.Fault
		set   func(*introspection.Config)
		count func(introspection.Stats) uint64
	}{
		"none":          {count: func(s introspection.Stats) uint64 { return s.Answered }},
		"503":           {fault: accesstokentest.Fault{Status: 503}, count: func(s introspection.Stats) uint64 { return s.Failed }},
		"500":           {fault: accesstokentest.Fault{Status: 500}, count: func(s introspection.Stats) uint64 { return s.Failed }},
		"a reset":       {fault: accesstokentest.Fault{Reset: true}, count: func(s introspection.Stats) uint64 { return s.Failed }},
		"a hang":        {fault: accesstokentest.Fault{Hang: true}, count: func(s introspection.Stats) uint64 { return s.Failed }},
		"half a body":   {fault: accesstokentest.Fault{Drop: true}, count: func(s introspection.Stats) uint64 { return s.Failed }},
		"too slow":      {fault: accesstokentest.Fault{Trickle: time.Second}, count: func(s introspection.Stats) uint64 { return s.Failed }},
		"429":           {fault: accesstokentest.Fault{Status: 429}, count: func(s introspection.Stats) uint64 { return s.Limited }},
		"401":           {fault: accesstokentest.Fault{Status: 401}, count: func(s introspection.Stats) uint64 { return s.ClientRefused }},
		"403":           {fault: accesstokentest.Fault{Status: 403}, count: func(s introspection.Stats) uint64 { return s.ClientRefused }},
		"a redirect":    {fault: accesstokentest.Fault{Status: 302}, count: func(s introspection.Stats) uint64 { return s.Unusable }},
		"no JSON":       {fault: accesstokentest.Fault{Body: []byte("<html>")}, count: func(s introspection.Stats) uint64 { return s.Unusable }},
		"no connection": {set: func(c *introspection.Config) { c.Endpoint = gone.URL }, count: func(s introspection.Stats) uint64 { return s.NotSent }},
	} {
		t.Run(name, func(t *testing.T) {
			client := ofServer(t, as, func(c *introspection.Config) {
				if c.Timeout = 30 * time.Second; test.fault.Hang || test.fault.Trickle > 0 {
					c.Timeout = time.Second
				}
				if test.set != nil {
					test.set(c)
				}
			})
			as.Break(accesstokentest.IntrospectionPath, test.fault)
			defer as.Mend(accesstokentest.IntrospectionPath)
			_, _ = client.Introspect(t.Context(), as.Opaque(nil))
			s := client.Stats()
			calls := s.Answered + s.Unusable + s.ClientRefused + s.Limited + s.Failed + s.NotSent
			if test.count(s) != 1 || calls != 1 || s.Misses != 1 {
				t.Errorf("got %+v; want one call, counted by what came of it", s)
			}
			var timed uint64
			for _, n := range s.Durations {
				timed += n
			}
			if timed != 1 || s.TotalTime <= 0 {
				t.Errorf("got the durations %v, in all %v; want one", s.Durations, s.TotalTime)
			}
		})
	}
}

func TestStatsOfTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := http.StatusOK
		client := newBubbled(t, func(r *http.Request) (*http.Response, error) {
			response, err := answer(r, `{"active":true}`)
			response.StatusCode = status
			return response, err
		})
		look := func(tokens ...string) {
			for _, token := range tokens {
				_, _ = client.Introspect(t.Context(), token)
			}
		}
		look("known-1", "known-2", "known-3", "known-4", "known-5")
		status = http.StatusServiceUnavailable
		look("new-1", "new-2", "new-3", "new-4")
		time.Sleep(2 * time.Second) // failures of unknown tokens count after a second
		look("new-5", "new-6")
		if s := client.Stats(); !s.BreakerOpenUnknown || s.BreakerOpen || s.BreakerOpened != 1 || s.Skipped != 1 || s.Failed != 5 {
			t.Errorf("got %+v; want an open breaker for unknown tokens, and one lookup skipped", s)
		}
		look("known-1", "known-2", "known-3", "known-4", "known-5", "known-1")
		if s := client.Stats(); !s.BreakerOpenUnknown || !s.BreakerOpen || s.BreakerOpened != 2 || s.Skipped != 2 || s.Failed != 10 {
			t.Errorf("got %+v; want an open breaker for all tokens", s)
		}
		status = http.StatusOK
		time.Sleep(2 * time.Second)
		look("known-1")
		if s := client.Stats(); s.BreakerOpenUnknown || s.BreakerOpen || s.BreakerOpened != 2 || s.Answered != 6 {
			t.Errorf("got %+v; want a closed breaker", s)
		}
	})
}

func TestStatsOfTheCache(t *testing.T) {
	as := accesstokentest.NewServer(t)
	client := ofServer(t, as, func(c *introspection.Config) {
		c.CacheFor, c.DangerouslyServeStaleFor = 10*time.Millisecond, time.Minute
	})
	token := as.Opaque(nil)
	now := time.Now()
	look := func(after time.Duration) error {
		_, err := client.IntrospectWith(t.Context(), token, introspection.Options{Now: func() time.Time { return now.Add(after) }})
		return err
	}
	if err := errors.Join(look(0), look(0), look(time.Second)); err != nil {
		t.Fatal(err)
	}
	if s := client.Stats(); s.Hits != 1 || s.Misses != 2 || s.Bytes == 0 || s.Limit != 36<<20 || s.Evictions != 0 || s.Stale != 0 {
		t.Errorf("got %+v; want one hit, two misses and some bytes", s)
	}
	gone := accesstokentest.Fault{Status: 503}
	as.Break(accesstokentest.IntrospectionPath, gone)
	_, _ = client.Introspect(t.Context(), "another")
	if err := look(2 * time.Second); err != nil {
		t.Errorf("got %v; want the older answer", err)
	}
	if s := client.Stats(); s.Stale != 1 {
		t.Errorf("got %+v; want one older answer", s)
	}
}

func TestStatsOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		client := newBubbled(t, func(r *http.Request) (*http.Response, error) {
			<-open
			return answer(r, `{"active":true}`)
		})
		const onWire, queued = 64, 1024
		var asking sync.WaitGroup
		for i := range onWire + queued + 1 {
			asking.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint(token, i)) })
		}
		synctest.Wait()
		if s := client.Stats(); s.OnWire != onWire || s.Queued != queued || s.Busy != 1 {
			t.Errorf("got %+v; want %d calls on the wire, %d in the queue, and one without a place", s, onWire, queued)
		}
		close(open)
		asking.Wait()
		synctest.Wait()
		if s := client.Stats(); s.OnWire != 0 || s.Queued != 0 || s.Answered != onWire+queued {
			t.Errorf("got %+v; want an empty queue", s)
		}
	})
}
