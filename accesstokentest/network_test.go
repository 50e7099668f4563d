package accesstokentest_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// newServer starts an HTTP/1.1 or HTTP/2 server, with a client that has its own pool.
func newServer(t *testing.T, http2 bool) (*accesstokentest.Server, *http.Client) {
	t.Helper()
	as := accesstokentest.NewServer(t)
	if http2 {
		as = accesstokentest.NewHTTP2Server(t)
	}
	client := &http.Client{Transport: as.Client().Transport.(*http.Transport).Clone()}
	t.Cleanup(client.CloseIdleConnections)
	return as, client
}

// proto returns the HTTP version of the response, or "" if there is none.
func proto(t *testing.T, client *http.Client, r *http.Request) string {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Proto
}

func getKeys(t *testing.T, as *accesstokentest.Server, timeout time.Duration) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, as.JWKSURI(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const long, short = time.Minute, 100 * time.Millisecond

func TestForgottenConnectionsSwallowWhatIsSent(t *testing.T) {
	for want, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(want, func(t *testing.T) {
			as, client := newServer(t, http2)
			if got := as.ForgetConnections(); got != 0 {
				t.Errorf("before any request: got %d connections; want 0", got)
			}
			if got := proto(t, client, getKeys(t, as, long)); got != want {
				t.Fatalf("got an answer by %q; want %s", got, want)
			}
			if got := as.ForgetConnections(); got != 1 {
				t.Fatalf("got %d connections; want 1", got)
			}
			if got := proto(t, client, getKeys(t, as, short)); got != "" || as.Requests(accesstokentest.JWKSPath) != 1 {
				t.Errorf("got an answer by %q, and %d requests; want none on a connection that is forgotten", got, as.Requests(accesstokentest.JWKSPath))
			}
			client.CloseIdleConnections()
			client.Transport = client.Transport.(*http.Transport).Clone() // with an empty pool
			if got := proto(t, client, getKeys(t, as, long)); got != want || as.Connections() != 2 {
				t.Errorf("got an answer by %q, and %d connections; want one on a second connection", got, as.Connections())
			}
			client.CloseIdleConnections()
		})
	}
}

func TestExpiredConnectionsEndAtTheNextRequest(t *testing.T) {
	for want, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(want, func(t *testing.T) {
			as, client := newServer(t, http2)
			if got := proto(t, client, getKeys(t, as, long)); got != want {
				t.Fatalf("got an answer by %q; want %s", got, want)
			}
			if got := as.ExpireConnections(); got != 1 {
				t.Fatalf("got %d connections; want 1", got)
			}
			_, err := client.PostForm(as.IntrospectionEndpoint(), url.Values{"token": {"a"}})
			if err == nil || as.Requests(accesstokentest.IntrospectionPath) != 0 {
				t.Errorf("a POST: got %v, and %d requests; want an error, and none served", err, as.Requests(accesstokentest.IntrospectionPath))
			}
			if got := proto(t, client, getKeys(t, as, long)); got != want || as.Connections() != 2 {
				t.Errorf("got an answer by %q, and %d connections; want one on a second connection", got, as.Connections())
			}
		})
	}
}

func TestFaultsOverHTTP2(t *testing.T) {
	as, client := newServer(t, true)
	for name, fault := range map[string]accesstokentest.Fault{"Reset": {Reset: true}, "Drop": {Drop: true}} {
		as.Break(accesstokentest.JWKSPath, fault)
		response, err := client.Do(getKeys(t, as, long))
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: got a whole answer; want it broken off", name)
		}
		as.Mend(accesstokentest.JWKSPath)
		if got := proto(t, client, getKeys(t, as, long)); got != "HTTP/2.0" {
			t.Errorf("after %s: got an answer by %q; want HTTP/2.0", name, got)
		}
	}
}
