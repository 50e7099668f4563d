package fetch_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// A hangup answers the first request of each connection, and closes the connection
// at the next one without a word, as a server does whose idle timeout is over.
type hangup struct {
	*httptest.Server
	asked atomic.Int32
	jtis  chan string
}

type connKey struct{}

func newHangup(t *testing.T, begin func(*http.Server)) *hangup {
	t.Helper()
	s := &hangup{jtis: make(chan string, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.jtis <- r.FormValue("jti")
		if r.Context().Value(connKey{}).(*atomic.Int32).Add(1) > 1 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if tcp, ok := conn.(*net.TCPConn); ok && r.FormValue("end") == "reset" {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
			return
		}
		fmt.Fprint(w, "hello")
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, new(atomic.Int32))
	}
	if begin != nil {
		begin(s.Config)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func form(jti, end string) url.Values { return url.Values{"jti": {jti}, "end": {end}} }

func TestAFormIsSentAgainWhenItsConnectionWasClosedAndMadeAnewForThat(t *testing.T) {
	for _, end := range []string{"close", "reset"} {
		for name, base := range map[string]*http.Client{"our client": nil, "a caller's": {Transport: new(http.Transport)}, "a RoundTripper": {Transport: roundTripper(http.DefaultTransport.RoundTrip)}} {
			t.Run(end+", "+name, func(t *testing.T) {
				server, client := newHangup(t, nil), newClient(t, base)
				request := fetch.Request{URL: server.URL, Form: form("first", end), MaxBytes: 100}
				request.Again = func(context.Context) (fetch.Request, error) {
					return fetch.Request{URL: server.URL, Form: form("anew", end), MaxBytes: 100}, nil
				}
				for range 2 {
					if got, err := client.Do(t.Context(), request); err != nil || string(got.Body) != "hello" {
						t.Fatalf("got %q, %v; want the answer", got.Body, err)
					}
				}
				var got []string
				for range 3 {
					got = append(got, <-server.jtis)
				}
				if fmt.Sprint(got) != "[first first anew]" || server.asked.Load() != 3 {
					t.Errorf("got %v; want [first first anew]", got)
				}
			})
		}
	}
}

func TestAFormIsSentAgainOnlyIfItMayBe(t *testing.T) {
	server, client := newHangup(t, nil), newClient(t, nil)
	request := fetch.Request{URL: server.URL, Form: form("a", ""), MaxBytes: 100}
	if _, err := client.Do(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	_, err := client.Do(t.Context(), request)
	if !errors.Is(err, fetch.ErrBroken) || server.asked.Load() != 2 {
		t.Errorf("without Again: got %v after %d requests; want ErrBroken after 2", err, server.asked.Load())
	}

	if _, err := client.Do(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	request.Again = func(context.Context) (fetch.Request, error) { return fetch.Request{}, errors.New("no key") }
	_, err = client.Do(t.Context(), request)
	if !errors.Is(err, fetch.ErrBroken) || strings.Contains(err.Error(), "no key") || server.asked.Load() != 4 {
		t.Errorf("Again fails: got %v after %d requests; want the first error after 4", err, server.asked.Load())
	}
}

// The first request of a connection that ends so was refused; it is asked once.
func TestARequestIsNotSentAgainOnAConnectionOfItsOwn(t *testing.T) {
	var asked atomic.Int32
	place := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	})
	request := fetch.Request{URL: place, Form: form("a", ""), MaxBytes: 100}
	request.Again = func(context.Context) (fetch.Request, error) { t.Error("Again was called"); return request, nil }
	if _, err := newClient(t, nil).Do(t.Context(), request); !errors.Is(err, fetch.ErrBroken) || asked.Load() != 1 {
		t.Errorf("got %v after %d requests; want ErrBroken after 1", err, asked.Load())
	}
}

// Once means once, also where each connection is closed at its second request.
func TestARequestIsSentAgainOnce(t *testing.T) {
	var asked, conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := newClient(t, nil)
	request := fetch.Request{URL: server.URL, Form: form("a", ""), MaxBytes: 100}
	request.Again = func(context.Context) (fetch.Request, error) { return request, nil }
	if _, err := client.Do(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	_, err := client.Do(t.Context(), request)
	if !errors.Is(err, fetch.ErrBroken) || asked.Load() != 3 || conns.Load() != 2 {
		t.Errorf("got %v after %d requests on %d connections; want ErrBroken after 3 on 2", err, asked.Load(), conns.Load())
	}
}

// An answer that has begun is an answer, and a refusal of one HTTP/2 stream leaves
// the connection as it is.
func TestARequestIsNotSentAgainOnceThereIsAnAnswer(t *testing.T) {
	for _, isHTTP2 := range []bool{false, true} {
		var asked atomic.Int32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch asked.Add(1) {
			case 2:
				w.WriteHeader(http.StatusProcessing)
				panic(http.ErrAbortHandler)
			case 3:
				if isHTTP2 {
					panic(http.ErrAbortHandler)
				}
			}
		}))
		server.EnableHTTP2 = isHTTP2
		server.StartTLS()
		t.Cleanup(server.Close)
		client := newClient(t, server.Client())
		request := fetch.Request{URL: server.URL, Form: form("a", ""), MaxBytes: 100}
		request.Again = func(context.Context) (fetch.Request, error) {
			t.Errorf("HTTP/2 %t: Again was called", isHTTP2)
			return request, nil
		}
		for n := range 3 {
			_, err := client.Do(t.Context(), request)
			if wantErr := n == 1 || n == 2 && isHTTP2; (err != nil) != wantErr {
				t.Errorf("HTTP/2 %t, request %d: got %v; want an error: %t", isHTTP2, n+1, err, wantErr)
			}
		}
	}
}

// Behind a balancer that has closed everything, one dead connection after another
// would be found in the pool.
func TestWhatIsSentAgainGoesOverAConnectionThatIsNotAsOld(t *testing.T) {
	const pooled = 20
	var together atomic.Int32
	all := make(chan struct{})
	server := newHangup(t, nil)
	inner := server.Config.Handler
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("jti") == "together" {
			if together.Add(1) == pooled {
				close(all)
			}
			<-all
		}
		inner.ServeHTTP(w, r)
	})
	client := newClient(t, nil)
	done := make(chan error)
	for range pooled {
		go func() {
			_, err := client.Do(t.Context(), fetch.Request{URL: server.URL, Form: form("together", ""), MaxBytes: 100})
			done <- err
		}()
	}
	for range pooled {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	request := fetch.Request{URL: server.URL, Form: form("later", ""), MaxBytes: 100}
	request.Again = func(context.Context) (fetch.Request, error) { return request, nil }
	if _, err := client.Do(t.Context(), request); err != nil {
		t.Errorf("got %v; want the answer on a new connection", err)
	}
}

func TestCannotPingSaysWhoseConnectionsNothingIsKnownOf(t *testing.T) {
	foreign := new(http.Transport)
	foreign.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{"h2": func(string, *tls.Conn) http.RoundTripper { return nil }}
	for name, c := range map[string]struct {
		base *http.Client
		want bool
	}{
		"our client":                {nil, false},
		"a client without anything": {new(http.Client), false},
		"an http.Transport":         {&http.Client{Transport: new(http.Transport)}, false},
		"another's HTTP/2":          {&http.Client{Transport: foreign}, true},
		"another RoundTripper":      {&http.Client{Transport: roundTripper(http.DefaultTransport.RoundTrip)}, true},
	} {
		if got := newClient(t, c.base).CannotPing(); got != c.want {
			t.Errorf("%s: got %t; want %t", name, got, c.want)
		}
	}
}
