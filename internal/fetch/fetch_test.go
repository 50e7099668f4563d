package fetch_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func newClient(t *testing.T, base *http.Client) *fetch.Client {
	t.Helper()
	client := fetch.New(base)
	t.Cleanup(client.Close)
	return client
}

func TestGet(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Method, " ", r.URL.RequestURI(), " ", r.Header.Get("Accept"))
	})
	header := http.Header{"Accept": {"application/json"}}
	got, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: place + "/a?b=c", Header: header, MaxBytes: 100})
	if err != nil || got.Status != http.StatusTeapot || got.Header.Get("X-Answer") != "yes" || string(got.Body) != "GET /a?b=c application/json" {
		t.Errorf("got %+v, %v; want the answer whatever its status", got, err)
	}
}

func TestPostAForm(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.Header.Get("Content-Type"), " ", string(body))
	})
	header := http.Header{"Accept": {"application/json"}}
	got, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: place, Header: header, Form: url.Values{"token": {"a b"}}, MaxBytes: 100})
	if want := "POST application/x-www-form-urlencoded token=a+b"; string(got.Body) != want || err != nil {
		t.Errorf("got %q, %v; want %q", got.Body, err, want)
	}
	if len(header) != 1 {
		t.Errorf("got %v; want the caller's header unchanged", header)
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	followed := false
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		followed = followed || r.URL.Path == "/elsewhere"
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	base := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	for _, form := range []url.Values{nil, {"token": {"secret"}}} {
		got, err := newClient(t, base).Do(t.Context(), fetch.Request{URL: place, Form: form, MaxBytes: 1000})
		if got.Status != http.StatusTemporaryRedirect || err != nil || followed {
			t.Errorf("got status %d, %v, followed %t; want 307, not followed", got.Status, err, followed)
		}
	}
	if base.CheckRedirect(nil, nil) != nil {
		t.Error("the caller's client was changed; want a copy")
	}
}

func TestTheBodyIsBounded(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, strings.Repeat("x", 100))
	})
	client := newClient(t, nil)
	for _, c := range []struct {
		limit int
		want  error
	}{{101, nil}, {100, nil}, {99, fetch.ErrTooLarge}, {0, fetch.ErrTooLarge}} {
		got, err := client.Do(t.Context(), fetch.Request{URL: place, MaxBytes: c.limit})
		if !errors.Is(err, c.want) || got.Status != http.StatusBadGateway || (err != nil) != (got.Body == nil) {
			t.Errorf("%d of 100 bytes: got %v, status %d, %d bytes; want %v, the status, all or nothing", c.limit, err, got.Status, len(got.Body), c.want)
		}
	}
}

func TestNotModifiedIsAnAnswer(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", r.Header.Get("If-None-Match"))
		w.WriteHeader(http.StatusNotModified)
	})
	header := http.Header{"If-None-Match": {`"v1"`}}
	got, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: place, Header: header, MaxBytes: 100})
	if err != nil || got.Status != http.StatusNotModified || got.Header.Get("ETag") != `"v1"` || len(got.Body) != 0 {
		t.Errorf("got %+v, %v; want a 304 with its header and no body", got, err)
	}
}

func TestTheHeaderIsBounded(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Much", strings.Repeat("x", 65<<10))
	})
	if _, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: place, MaxBytes: 100}); err == nil || !strings.Contains(err.Error(), "headers exceeded") {
		t.Errorf("got %v; want a header of more than 64 KiB refused", err)
	}
	base := &http.Client{Transport: &http.Transport{MaxResponseHeaderBytes: 1 << 20, DisableKeepAlives: true}}
	if _, err := newClient(t, base).Do(t.Context(), fetch.Request{URL: place, MaxBytes: 100}); err != nil {
		t.Errorf("got %v; want the limit of the caller's transport", err)
	}
}

func TestAnEndlessBodyEnds(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	if _, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: place, MaxBytes: 1 << 20}); !errors.Is(err, fetch.ErrTooLarge) {
		t.Errorf("got %v; want ErrTooLarge", err)
	}
}

func TestACutOffBodyIsAnError(t *testing.T) {
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	})
	got, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: place, MaxBytes: 1000})
	if err == nil || got.Body != nil {
		t.Errorf("got %q, %v; want an error", got.Body, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// drip answers at once and sends a byte a second, as a slow loris does.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, "x"), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (drip) Close() error { return nil }

func TestTimeIsBounded(t *testing.T) {
	slow := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: drip{r.Context()}, Request: r}, nil
	})}
	for _, c := range []struct {
		name           string
		timeout, given time.Duration // of the request; of the caller's context, zero for none
		want           time.Duration
		is             error
	}{
		{"by default to 5 s", 0, 0, 5 * time.Second, nil},
		{"by the request", 2 * time.Second, 0, 2 * time.Second, nil},
		{"by the request, beyond the default", time.Minute, 0, time.Minute, nil},
		{"by the caller", 0, 3 * time.Second, 3 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				if c.given > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.given)
					defer cancel()
				}
				began := time.Now()
				_, err := newClient(t, slow).Do(ctx, fetch.Request{URL: "https://a.example/", Timeout: c.timeout, MaxBytes: 1000})
				if took := time.Since(began); took != c.want {
					t.Errorf("got an end after %v; want %v", took, c.want)
				}
				if err == nil || errors.Is(err, context.DeadlineExceeded) != (c.is != nil) {
					t.Errorf("got %v; want a deadline error only when it is the caller's", err)
				}
			})
		})
	}
}

// dialing makes the program dial like this, and returns a client of our own.
func dialing(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error)) *fetch.Client {
	t.Helper()
	standard := http.DefaultTransport
	http.DefaultTransport = &http.Transport{DialContext: dial}
	defer func() { http.DefaultTransport = standard }()
	return newClient(t, nil)
}

func TestOneConnectionDoesNotTakeTheWholeTime(t *testing.T) {
	silent := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, c := range []struct {
		name string
		make func(*testing.T) *fetch.Client
		want string
	}{
		{"nobody answers the SYN", func(t *testing.T) *fetch.Client { return dialing(t, silent) }, "context deadline exceeded"},
		{"nobody answers the ClientHello", func(t *testing.T) *fetch.Client {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			return dialing(t, func(context.Context, string, string) (net.Conn, error) { return ours, nil })
		}, "TLS handshake timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := c.make(t)
				began := time.Now()
				_, err := client.Do(t.Context(), fetch.Request{URL: "https://a.example/", Timeout: time.Minute, MaxBytes: 10})
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("got an end after %v; want 5s", took)
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v; want %q, and not the caller's deadline", err, c.want)
				}
			})
		})
	}
}

func TestAPanicIsAnError(t *testing.T) {
	for name, transport := range map[string]roundTripper{
		"in the transport": func(*http.Request) (*http.Response, error) { panic("boom") },
		"in the body": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(nil), Request: r}, nil
		},
	} {
		got, err := newClient(t, &http.Client{Transport: transport}).Do(t.Context(), fetch.Request{URL: "https://a.example/", MaxBytes: 10})
		if err == nil || got.Status != 0 || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("%s: got %+v, %v; want an error", name, got, err)
		}
	}
}

func TestErrorsTellNoSecrets(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10)) // an answer before the question would be another error
			fmt.Fprint(conn, "s3cret, and no HTTP\r\n\r\n")
			conn.Close()
		}
	}()
	defer listener.Close()
	leaky := roundTripper(func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("cannot ask %s", r.URL) })
	for _, c := range []struct {
		name string
		base *http.Client
		url  string
		want string
	}{
		{"nobody listens", nil, "http://127.0.0.1:1/path?key=s3cret", "GET http://127.0.0.1:1/path: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"a transport that quotes the query", &http.Client{Transport: leaky}, "https://a.example/?key=s3cret", "GET https://a.example/: the request could not be made"},
		{"an answer that is not HTTP", nil, "http://" + listener.Addr().String() + "/", "the answer is not HTTP"},
		{"a malformed URL", nil, "http://user:s3cret@a b/", "GET a malformed URL: the request could not be made"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newClient(t, c.base).Do(t.Context(), fetch.Request{URL: c.url, MaxBytes: 10})
			if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if _, err := newClient(t, nil).Do(t.Context(), fetch.Request{URL: server.URL, MaxBytes: 10}); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("got %v; want the protocol version refused", err)
	}
}

func TestStatusError(t *testing.T) {
	future := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status     int
		retryAfter string
		least      time.Duration
		most       time.Duration
	}{
		{503, "120", 2 * time.Minute, 2 * time.Minute},
		{429, "120", 2 * time.Minute, 2 * time.Minute},
		{503, future, 59 * time.Minute, time.Hour},
		{503, "4000000000", 24 * time.Hour, 24 * time.Hour},
		{503, "40000000000000000000000", 24 * time.Hour, 24 * time.Hour},
		{503, "", 0, 0},
		{503, "-1", 0, 0},
		{503, "soon", 0, 0},
		{503, "Wed, 21 Oct 1998 07:28:00 GMT", 0, 0},
		{500, "120", 0, 0},
	} {
		response := fetch.Response{Status: c.status, Header: http.Header{"Retry-After": {c.retryAfter}}}
		err := fetch.Request{URL: "https://a.example/path?key=s3cret"}.StatusError(response)
		if got := err.RetryAfter(); got < c.least || got > c.most {
			t.Errorf("%d, %q: got %v; want %v to %v", c.status, c.retryAfter, got, c.least, c.most)
		}
		if want := fmt.Sprintf("https://a.example/path answered with status %d", c.status); err.Error() != want {
			t.Errorf("got %q; want %q", err, want)
		}
	}
}

func TestCloseLeavesTheCallersTransportAlone(t *testing.T) {
	place := serve(t, func(http.ResponseWriter, *http.Request) {})
	closed := false
	transport := &closer{closed: &closed}
	client := fetch.New(&http.Client{Transport: transport})
	_, _ = client.Do(t.Context(), fetch.Request{URL: place})
	client.Close()
	if closed {
		t.Error("its idle connections were closed; want them left")
	}
}

type closer struct {
	http.Transport
	closed *bool
}

func (c *closer) CloseIdleConnections() { *c.closed = true }

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		http bool
		good bool
	}{
		{"https://a.example", false, true},
		{"https://a.example:8443/path?query=1", false, true},
		{"HTTPS://a.example/", false, true},
		{"http://localhost:8080/", false, true},
		{"http://LOCALHOST/", false, true},
		{"http://127.8.9.1/", false, true},
		{"http://[::1]:80/", false, true},
		{"http://a.example/", true, true},
		{"http://a.example/", false, false},
		{"http://localhost.a.example/", false, false},
		{"http://127.0.0.1.a.example/", false, false},
		{"http://128.0.0.1/", false, false},
		{"http://[::ffff:127.0.0.1]/", false, false},
		{"http://0.0.0.0/", false, false},
		{"", false, false},
		{"a.example", false, false},
		{"/path", false, false},
		{"//a.example/", false, false},
		{"https:a.example", false, false},
		{"https:///path", false, false},
		{"https://:443/", false, false},
		{"ftp://a.example/", true, false},
		{"file:///etc/passwd", true, false},
		{"https://a.example/#top", false, false},
		{"https://a.example/#", false, false},
		{"https://user:s3cret@a.example/", false, false},
		{"https://a.example/%zz?s3cret", false, false},
		{"https://a.ex ample/", false, false},
	} {
		err := fetch.CheckURL(c.url, c.http)
		if (err == nil) != c.good {
			t.Errorf("%q, http allowed %t: got %v; want good %t", c.url, c.http, err, c.good)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %q; want it without the secret", c.url, err)
		}
	}
}

// As many connections are kept as are used at once: with those of net/http, each
// call beyond two would dial anew, and shake hands.
func TestConnectionsAreUsedAgain(t *testing.T) {
	var opened atomic.Int64
	const atOnce = 16
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait()
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := fetch.New(nil)
	defer client.Close()
	for range 5 {
		arrived.Add(atOnce)
		var asking sync.WaitGroup
		for range atOnce {
			asking.Go(func() {
				if _, err := client.Do(t.Context(), fetch.Request{URL: server.URL, MaxBytes: 1}); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
	}
	if got := opened.Load(); got > 2*atOnce {
		t.Errorf("opened %d connections for %d requests at once; want %d at most", got, atOnce, 2*atOnce)
	}
}
