package introspection_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// A gate is an endpoint that answers when the test opens it.
type gate struct {
	arrived chan struct{}
	open    chan struct{}
	calls   atomic.Int32
	ended   atomic.Int32
	busy    atomic.Int32 // handlers at work
	peak    atomic.Int32
}

func newGate(t *testing.T, change func(*introspection.Config)) (*gate, *introspection.Client) {
	g := &gate{arrived: make(chan struct{}, 1000), open: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			return // the server notices that a client left only once the body is read
		}
		g.calls.Add(1)
		for busy, peak := g.busy.Add(1), g.peak.Load(); busy > peak && !g.peak.CompareAndSwap(peak, busy); peak = g.peak.Load() {
		}
		defer g.busy.Add(-1)
		g.arrived <- struct{}{}
		select {
		case <-g.open:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"active":true,"aud":["a"]}`))
		case <-r.Context().Done():
			g.ended.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	config := introspection.Config{Endpoint: server.URL, ClientID: "api", ClientSecret: "s"}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return g, client
}

func TestWhoAsksAboutOneTokenSharesOneCall(t *testing.T) {
	g, client := newGate(t, nil)
	const askers = 200
	first, leave := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var good atomic.Int32
	ask := func(ctx context.Context) {
		response, err := client.Introspect(ctx, "token")
		if err == nil && response.Active {
			response.Audience[0], response.Raw[0] = "poisoned", 'x' // ours alone: the race detector would see it shared
			good.Add(1)
		} else if ctx == t.Context() {
			t.Errorf("got %v, %v; want an active token", response, err)
		}
	}
	asking.Go(func() { ask(first) })
	<-g.arrived
	for range askers {
		asking.Go(func() { ask(t.Context()) })
	}
	for client.Waiting() < 1+askers {
		runtime.Gosched()
	}
	leave() // who asked first must not take the others along
	for client.Waiting() > askers {
		runtime.Gosched()
	}
	close(g.open)
	asking.Wait()
	if good.Load() != askers || g.calls.Load() != 1 {
		t.Errorf("got %d good answers from %d calls; want %d from 1", good.Load(), g.calls.Load(), askers)
	}
}

func TestACallEndsWithTheLastWhoWaitsForIt(t *testing.T) {
	g, client := newGate(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			if _, err := client.Introspect(ctx, "token"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v; want the caller's own context", err)
			}
		})
	}
	<-g.arrived
	for client.Waiting() < 3 {
		runtime.Gosched()
	}
	cancel()
	asking.Wait()
	for deadline := time.Now().Add(5 * time.Second); g.ended.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the call went on for nobody")
		}
	}
}

func TestAFloodOfTokensIsNoFloodOfCalls(t *testing.T) {
	g, client := newGate(t, nil)
	const askers, most = 200, 64
	var asking sync.WaitGroup
	for i := range askers {
		asking.Go(func() {
			if _, err := client.Introspect(t.Context(), string(rune('A'+i))); err != nil {
				t.Errorf("got %v; want everybody answered in the end", err)
			}
		})
	}
	for range most {
		<-g.arrived
	}
	close(g.open)
	asking.Wait()
	if g.calls.Load() != askers || g.peak.Load() > most {
		t.Errorf("got %d calls, %d of them at once; want %d and at most %d", g.calls.Load(), g.peak.Load(), askers, most)
	}
}
