package pool_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/pool"
)

// stream begins a response whose headers and first bytes have come, and that goes on.
func stream(t *testing.T, transport http.RoundTripper, as *accesstokentest.Server) (body io.ReadCloser, next func()) {
	t.Helper()
	more := make(chan struct{})
	as.Handle("/events", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "1")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-more:
			_, _ = io.WriteString(w, "2")
		case <-r.Context().Done():
		}
	}))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, as.URL+"/events", nil)
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response.Body, func() { close(more) }
}

// An HTTP/1 response that is still being read, and has been silent for a moment, such
// as server-sent events, is not an idle connection.
func TestReviewAResponseThatIsBeingReadIsNotIdleAfterATimeoutElsewhere(t *testing.T) {
	as, transport := serve(t, false, never, hello)
	body, next := stream(t, transport, as)
	as.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	if err := get(t, transport, as, 1500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v; want a timeout", err)
	}
	next()
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "2" {
		t.Errorf("got %q, %v; want the rest of the response", rest, err)
	}
}

// The same when another connection is found closed, and its request sent again.
func TestReviewAResponseThatIsBeingReadIsNotIdleForARefresh(t *testing.T) {
	as, transport := serve(t, false, never, hello)
	body, next := stream(t, transport, as)
	_, seen := pool.Watch(t.Context())
	transport.Refresh(seen)
	next()
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "2" {
		t.Errorf("got %q, %v; want the rest of the response", rest, err)
	}
}

// A server that is slow several times in a row is not dead. net/http sends one ping along with a
// cancellation, and none any more until a header or data comes.
func TestReviewAConnectionToAServerThatIsSlowSeveralTimesStays(t *testing.T) {
	as, transport := serve(t, true, pool.Liveness{Silence: 3 * time.Second, Ping: 5 * time.Second}, hello)
	for range 3 {
		if err := get(t, transport, as, long); err != nil {
			t.Fatal(err)
		}
	}
	body, next := stream(t, transport, as)
	as.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	for range 5 {
		if err := get(t, transport, as, 300*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v; want a timeout", err)
		}
	}
	time.Sleep(1500 * time.Millisecond) // longer than the grace
	next()
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "2" {
		t.Errorf("got %q, %v; want the rest of a response on the same connection", rest, err)
	}
	if got := as.Connections(); got != 1 {
		t.Errorf("got %d connections; want 1", got)
	}
}
