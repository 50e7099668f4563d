package pool_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/pool"
)

// never has a connection count as dead after longer than a test takes.
var never = pool.Liveness{Silence: time.Hour, Ping: time.Hour}

const path = "/page"

// serve starts a server with a page, and returns a Transport that is a copy of its
// client's.
func serve(t *testing.T, http2 bool, liveness pool.Liveness, page http.HandlerFunc) (*accesstokentest.Server, *pool.Transport) {
	t.Helper()
	as := accesstokentest.NewServer(t)
	if http2 {
		as = accesstokentest.NewHTTP2Server(t)
	}
	as.Handle(path, page)
	transport, ok := pool.Copy(as.Client().Transport, liveness)
	if !ok {
		t.Fatal("got no copy of an http.Transport")
	}
	t.Cleanup(transport.CloseIdleConnections)
	return as, transport
}

// get sends a request that may take so long, and reads the answer.
func get(t *testing.T, transport http.RoundTripper, as *accesstokentest.Server, timeout time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, as.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.Request != r {
		t.Errorf("got the response to %p; want %p", response.Request, r)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

const (
	long  = time.Minute
	short = 50 * time.Millisecond
)

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// hang never answers: not even to say that the client has gone, which may come while the
// client is still closing the connection.
func hang(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// await polls for what other goroutines are about to do.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A ping without an answer closes the connection, whatever the requests on it wait for.
func TestAForgottenConnectionIsFoundByAPing(t *testing.T) {
	as, transport := serve(t, true, pool.Liveness{Silence: 50 * time.Millisecond, Ping: 50 * time.Millisecond}, hello)
	if err := get(t, transport, as, long); err != nil {
		t.Fatal(err)
	}
	as.ForgetConnections()
	err := get(t, transport, as, long)
	if err == nil {
		err = get(t, transport, as, long) // the first found it closed
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want it found before the request times out", err)
	}
	if err := get(t, transport, as, long); err != nil || as.Connections() != 2 {
		t.Errorf("afterwards: got %v on connection %d; want an answer on the second", err, as.Connections())
	}
}

// A server may only be slow. Its connection stays, or each slow answer would cost a
// handshake, and take the other requests with it.
func TestAConnectionToASlowServerStays(t *testing.T) {
	as, transport := serve(t, true, never, hello)
	for range 3 { // until nothing of the connection's own beginning is under way
		if err := get(t, transport, as, long); err != nil {
			t.Fatal(err)
		}
	}
	as.Handle(path, http.HandlerFunc(hang))
	var all sync.WaitGroup
	all.Go(func() {
		if err := get(t, transport, as, 3*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a long request beside short ones: got %v; want its own timeout", err)
		}
	})
	for range 20 {
		all.Go(func() {
			if err := get(t, transport, as, 100*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; want a timeout", err)
			}
		})
	}
	all.Wait()
	as.Handle(path, http.HandlerFunc(hello))
	if err := get(t, transport, as, long); err != nil || as.Connections() != 1 {
		t.Errorf("got %v on connection %d; want the first kept", err, as.Connections())
	}
}

// net/http sends a ping along with the first cancellation, and none any more until a
// header or data comes: silence after the next one proves nothing.
func TestAConnectionToAServerThatIsSlowSeveralTimesStays(t *testing.T) {
	as, transport := serve(t, true, pool.Liveness{Silence: 3 * time.Second, Ping: 5 * time.Second}, hello)
	for range 3 {
		if err := get(t, transport, as, long); err != nil {
			t.Fatal(err)
		}
	}
	body, next := stream(t, transport, as)
	as.Handle(path, http.HandlerFunc(hang))
	for range 10 { // 3 s in all
		if err := get(t, transport, as, 300*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v; want a timeout", err)
		}
	}
	next()
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "2" {
		t.Errorf("got %q, %v; want the rest of a response on the same connection", rest, err)
	}
	if got := as.Connections(); got != 1 {
		t.Errorf("got %d connections; want 1", got)
	}
}

// One on which others have timed out is not idle because of what was read on it since.
func TestAnHTTP2ConnectionIsNotTakenForAnIdleOne(t *testing.T) {
	goOn := make(chan struct{})
	as, transport := serve(t, true, never, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Wait") != "" {
			<-goOn
		}
		hello(w, r)
	})
	waiting := make(chan error)
	go func() {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, as.URL+path, nil)
		r.Header.Set("Wait", "yes")
		response, err := transport.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		waiting <- err
	}()
	await(t, "a request waits", func() bool { return as.Serving(path) == 1 })
	if err := get(t, transport, as, long); err != nil { // the last that is read belongs to this one
		t.Fatal(err)
	}
	_, later := pool.Watch(t.Context())
	transport.Refresh(later)
	close(goOn)
	if err := <-waiting; err != nil {
		t.Errorf("got %v; want the answer", err)
	}
}

// Of HTTP/1.1 a pool holds many that were forgotten at once. The first timeout tells of
// them all.
func TestOneTimeoutIsEnoughForAllIdleConnectionsThatAreAsOld(t *testing.T) {
	const pooled = 10
	gathered := make(chan struct{})
	var here sync.WaitGroup
	here.Add(pooled)
	as, transport := serve(t, false, never, func(w http.ResponseWriter, r *http.Request) {
		here.Done()
		<-gathered
		hello(w, r)
	})
	pool.HTTP(transport).MaxIdleConnsPerHost = pooled
	var all sync.WaitGroup
	for range pooled {
		all.Go(func() {
			if err := get(t, transport, as, long); err != nil {
				t.Error(err)
			}
		})
	}
	here.Wait()
	close(gathered)
	all.Wait()
	as.Handle(path, http.HandlerFunc(hello))
	if got := as.ForgetConnections(); got != pooled {
		t.Fatalf("got %d connections; want %d", got, pooled)
	}
	refused := 0
	for range pooled {
		if err := get(t, transport, as, 1500*time.Millisecond); err != nil {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("got %d of %d requests refused; want the first", refused, pooled)
	}
}

// A server that is slow with one request keeps the connections on which it answers
// others, or is about to.
func TestATimeoutLeavesTheConnectionsThatAreInUseOrAnswered(t *testing.T) {
	slow, busy := make(chan struct{}), make(chan struct{})
	goOn := make(chan struct{})
	as, transport := serve(t, false, never, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Kind") {
		case "slow":
			close(slow)
			hang(w, r)
		case "busy":
			close(busy)
			<-goOn
		}
		hello(w, r)
	})
	var ended sync.WaitGroup
	send := func(kind string, timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, as.URL+path, nil)
		if err != nil {
			return err
		}
		r.Header.Set("Kind", kind)
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return err
	}
	ended.Go(func() {
		if err := send("busy", long); err != nil {
			t.Errorf("a request that was under way: got %v; want its answer", err)
		}
	})
	<-busy
	timedOut := make(chan error)
	ended.Go(func() { timedOut <- send("slow", 1500*time.Millisecond) })
	<-slow
	if err := send("", long); err != nil { // and its connection stays idle
		t.Fatal(err)
	}
	if err := <-timedOut; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want a timeout", err)
	}
	before := as.Connections()
	if err := send("", long); err != nil || as.Connections() != before {
		t.Errorf("got %v, and %d connections where there were %d; want the good one used", err, as.Connections(), before)
	}
	close(goOn)
	ended.Wait()
}

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
func TestAResponseThatIsBeingReadIsNotIdleAfterATimeoutElsewhere(t *testing.T) {
	as, transport := serve(t, false, never, hello)
	body, next := stream(t, transport, as)
	as.Handle(path, http.HandlerFunc(hang))
	if err := get(t, transport, as, 1500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v; want a timeout", err)
	}
	next()
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "2" {
		t.Errorf("got %q, %v; want the rest of the response", rest, err)
	}
}

// The same when another connection is found closed, and its request sent again.
func TestAResponseThatIsBeingReadIsNotIdleForARefresh(t *testing.T) {
	as, transport := serve(t, false, never, hello)
	body, next := stream(t, transport, as)
	_, seen := pool.Watch(t.Context())
	transport.Refresh(seen)
	next()
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "2" {
		t.Errorf("got %q, %v; want the rest of the response", rest, err)
	}
}

// Nor is a connection whose TLS handshake a server takes its time for.
func TestAHandshakeThatWaitsIsNotIdle(t *testing.T) {
	as, transport := serve(t, false, never, hello)
	begun, goOn := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		close(begun)
		<-goOn
		return nil, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	pool.HTTP(transport).TLSClientConfig.RootCAs.AddCert(server.Certificate())
	ended := make(chan error)
	go func() {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		response, err := transport.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		ended <- err
	}()
	<-begun
	as.Handle(path, http.HandlerFunc(hang))
	if err := get(t, transport, as, 1500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want a timeout", err)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Errorf("got %v; want the answer", err)
	}
}

func TestACopyIsLikeItsOriginal(t *testing.T) {
	if _, ok := pool.Copy(otherTransport{}, never); ok {
		t.Error("another RoundTripper: got a copy; want none")
	}
	if _, ok := pool.Copy((*http.Transport)(nil), never); ok {
		t.Error("a nil Transport: got a copy; want none")
	}
	other := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{"h2": nil}}
	other.TLSNextProto["h2"] = func(string, *tls.Conn) http.RoundTripper { return nil }
	if _, ok := pool.Copy(other, never); ok {
		t.Error("another's HTTP/2: got a copy; want none")
	}
	own := &http.HTTP2Config{SendPingTimeout: time.Minute}
	off := &http.HTTP2Config{SendPingTimeout: -1}
	longer := &http.HTTP2Config{PingTimeout: 3 * time.Minute}
	dial := new(net.Dialer).DialContext
	old := new(http.Transport)
	old.Dial = net.Dial //lint:ignore SA1019 a program may still set it
	onlyHTTP1 := new(http.Protocols)
	onlyHTTP1.SetHTTP1(true)
	for name, c := range map[string]struct {
		original               *http.Transport
		http2                  bool
		silence, ping, maxIdle time.Duration
	}{
		"nothing set":                {new(http.Transport), true, time.Hour, time.Hour, 90 * time.Second},
		"its own pings":              {&http.Transport{HTTP2: own}, true, time.Minute, 0, 90 * time.Second},
		"no pings":                   {&http.Transport{HTTP2: off}, true, -1, 0, 90 * time.Second},
		"its own PingTimeout":        {&http.Transport{HTTP2: longer}, true, time.Hour, 3 * time.Minute, 90 * time.Second},
		"its own IdleConnTimeout":    {&http.Transport{IdleConnTimeout: time.Second}, true, time.Hour, time.Hour, time.Second},
		"a dialer, so no HTTP/2":     {&http.Transport{DialContext: dial}, false, time.Hour, time.Hour, 90 * time.Second},
		"a dialer, with HTTP/2":      {&http.Transport{DialContext: dial, ForceAttemptHTTP2: true}, true, time.Hour, time.Hour, 90 * time.Second},
		"an old dialer, with HTTP/2": {old, true, time.Hour, time.Hour, 90 * time.Second},
		"HTTP/2 is off":              {&http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}, false, time.Hour, time.Hour, 90 * time.Second},
		"HTTP/2 is not a Protocol":   {&http.Transport{Protocols: onlyHTTP1}, false, time.Hour, time.Hour, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			as := accesstokentest.NewHTTP2Server(t)
			c.original.TLSClientConfig = as.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			c.original.TLSClientConfig.NextProtos = nil
			if c.http2 {
				c.original.ForceAttemptHTTP2 = true // which a TLSClientConfig takes
			}
			transport, ok := pool.Copy(c.original, never)
			if !ok {
				t.Fatal("got no copy")
			}
			t.Cleanup(transport.CloseIdleConnections)
			r, _ := http.NewRequest(http.MethodGet, as.JWKSURI(), nil)
			response, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if got := response.ProtoMajor == 2; got != c.http2 {
				t.Errorf("got an answer by %s; want HTTP/2: %t", response.Proto, c.http2)
			}
			got := pool.HTTP(transport)
			if got.HTTP2.SendPingTimeout != c.silence || got.HTTP2.PingTimeout != c.ping || got.IdleConnTimeout != c.maxIdle {
				t.Errorf("got a ping after %v, for %v, and %v to be idle; want %v, %v, %v", got.HTTP2.SendPingTimeout, got.HTTP2.PingTimeout, got.IdleConnTimeout, c.silence, c.ping, c.maxIdle)
			}
		})
	}
	if own.PingTimeout != 0 || longer.SendPingTimeout != 0 {
		t.Error("what the original sets was changed; want it left")
	}
}

// Without a TLSClientConfig or a dialer of its own, a Transport speaks HTTP/2, and so
// does its copy, which has both.
func TestACopyOfAPlainTransportSpeaksHTTP2(t *testing.T) {
	for name, original := range map[string]*http.Transport{"new": new(http.Transport), "used": used(t)} {
		transport, ok := pool.Copy(original, never)
		if !ok || !pool.HTTP(transport).ForceAttemptHTTP2 {
			t.Errorf("%s: got a copy: %t, without HTTP/2; want it with HTTP/2", name, ok)
		}
	}
}

func used(t *testing.T) *http.Transport {
	t.Helper()
	transport := new(http.Transport)
	r, _ := http.NewRequest(http.MethodGet, "http://127.0.0.1:1/", nil)
	if response, err := transport.RoundTrip(r); err == nil {
		_ = response.Body.Close()
	}
	return transport
}

type otherTransport struct{ http.RoundTripper }

// What is closed is not held on to.
func TestNothingIsHeldOfConnectionsThatAreClosed(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		as, transport := serve(t, http2, never, hello)
		for range 5 {
			if err := get(t, transport, as, long); err != nil {
				t.Fatal(err)
			}
			transport.CloseIdleConnections()
		}
		await(t, "all connections are closed", func() bool { return pool.Open(transport) == 0 })
	}
}
