package dpop_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
)

// One request that times out does not end the others: a client listens to events, which
// come now and then, and asks for something else beside that.
func TestReviewARequestThatTimesOutEndsNoOther(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		more := make(chan struct{})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				return
			}
			_, _ = io.WriteString(w, "1")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-more:
				_, _ = io.WriteString(w, "2")
			case <-r.Context().Done():
			}
		}))
		server.EnableHTTP2 = http2
		server.StartTLS()
		t.Cleanup(server.Close)
		sender := &dpop.Transport{Origins: []string{server.URL}, Signer: clientsSigner(t), Base: server.Client().Transport,
			Token: func(context.Context) (string, error) { return "token", nil }}
		t.Cleanup(sender.CloseIdleConnections)
		events, err := sender.RoundTrip(clientsRequest(t, http.MethodGet, server.URL+"/events", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer events.Body.Close()
		if _, err := io.ReadFull(events.Body, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for range 5 { // 2 s, less than it takes until a connection is pinged
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			_, err := sender.RoundTrip(clientsRequest(t, http.MethodGet, server.URL+"/slow", nil).WithContext(ctx))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v; want a timeout", err)
			}
		}
		time.Sleep(900 * time.Millisecond)
		close(more)
		if rest, err := io.ReadAll(events.Body); err != nil || string(rest) != "2" {
			t.Errorf("HTTP/2 %t: got %q, %v; want the next event", http2, rest, err)
		}
	}
}
