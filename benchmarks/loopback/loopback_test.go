package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
)

// TestMain is also the process of the server, and fails if goroutines outlive
// the tests.
func TestMain(m *testing.M) {
	if isServer() {
		exitOn(serve(os.Args[2], os.Stdin, os.Stdout))
		return
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(10 * time.Second); code == 0 && runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "got %d goroutines at the end; want the %d of the start\n", runtime.NumGoroutine(), before)
			code = 1
		}
	}
	os.Exit(code)
}

// If two rounds of two slices work, any number of them does.
func TestEverySettingIsMeasured(t *testing.T) {
	p := plan{time: slice + slice/4, rounds: 2, connections: 4, tokens: 64}
	found, err := p.run()
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range settings {
		rounds := found.rounds[way]
		if len(rounds) != p.rounds {
			t.Errorf("%v: got %d rounds; want %d", way, len(rounds), p.rounds)
		}
		for _, f := range rounds {
			if f.requests == 0 || f.rate <= 0 || f.p50 <= 0 || f.p99 < f.p50 {
				t.Errorf("%v: got %+v; want requests, and a p99 that is no less than the p50", way, f)
			}
			if runtime.GOOS == "linux" && (f.cpu <= 0 || f.busy <= 0) {
				t.Errorf("%v: got %+v; want the server's processor time", way, f)
			}
			if way.auth == uncached && f.requests != p.tokens {
				t.Errorf("%v: got %d requests; want each of %d tokens once", way, f.requests, p.tokens)
			}
		}
	}
	text := found.markdown()
	for _, row := range []string{"| net/http | ", "| Echo | ", "| gRPC unary | ", "| net/http, tokens never seen | "} {
		if strings.Count(text, row) != 1 {
			t.Errorf("got the table\n%s; want one row %q", text, row)
		}
	}
}

func TestAPlanOfNothingIsRefused(t *testing.T) {
	for _, p := range []plan{
		{rounds: 1, connections: 1, tokens: 1},
		{time: 1, connections: 1, tokens: 1},
		{time: 1, rounds: 1, tokens: 1},
		{time: 1, rounds: 1, connections: 1},
	} {
		if _, err := p.run(); err == nil || !strings.Contains(err.Error(), "greater than zero") {
			t.Errorf("%+v: got %v; want it refused", p, err)
		}
	}
}

// If a setting has a validator, a wrong token ends the program with an error. The other
// settings ignore the token.
func TestARefusalIsAnError(t *testing.T) {
	s, tokens := started(t)
	refusals := map[string]string{netHTTP: "401 Unauthorized", echoV4: "401 Unauthorized", unary: "Unauthenticated"}
	p := plan{time: slice / 8, rounds: 1, connections: 2, tokens: 1}
	wrong := []string{tokens[0][:len(tokens[0])-8] + "AAAAAAAA"}
	for _, way := range settings {
		_, err := p.observe(s, way, atRandom(wrong), p.time)
		want := refusals[way.transport]
		if way.auth == without {
			want = ""
		}
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) && err != nil {
			t.Errorf("%v: got %v; want %q in it", way, err, want)
		}
	}
	if _, err := p.measure(s, wrong); err == nil || !strings.Contains(err.Error(), "net/http with: ") {
		t.Errorf("got %v; want an error that names the setting", err)
	}
}

func TestTheServerEndsWithItsOrders(t *testing.T) {
	s, _ := started(t)
	address := s.addresses[setting{unary, with}]
	if err := s.orders.Close(); err != nil { // as if the parent had died
		t.Fatal(err)
	}
	if err := s.command.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{netHTTP, unary} {
		if _, hangUp, err := dial(t.Context(), transport, address, 1); err == nil {
			hangUp()
			t.Errorf("%s: got a connection to %s; want the server to be gone", transport, address)
		}
	}
	if _, err := s.order(tell); err == nil {
		t.Error("a server that has ended took an order; want an error")
	}
}

func TestAServerThatCannotStartIsAnError(t *testing.T) {
	if err := serve("no key", strings.NewReader(""), io.Discard); err == nil {
		t.Error("the server took what is no key; want an error")
	}
}

// Each round without a cache needs a validator that has not seen a token.
func TestForgettingIsANewValidator(t *testing.T) {
	key, tokens, err := mint(1)
	if err != nil {
		t.Fatal(err)
	}
	f := &forgetful{key: key}
	if err := f.renew(); err != nil {
		t.Fatal(err)
	}
	before := f.current.Load().validator
	if err := f.renew(); err != nil {
		t.Fatal(err)
	}
	if f.current.Load().validator == before {
		t.Error("the validator is still the one of before; want a new one")
	}
	if _, err := before.Validate(t.Context(), accesstoken.Bearer(tokens[0])); !errors.Is(err, accesstoken.Unavailable) {
		t.Errorf("the validator of before says %v; want it closed", err)
	}
}

// With and without a validator, the work is otherwise the same. So a handler that finds
// no claims must not answer as if it had.
func TestHandlersWithoutClaimsFail(t *testing.T) {
	key, _, err := mint(1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := newValidator(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	if _, err := callerOf(t.Context(), v); err != errNoClaims {
		t.Errorf("got %v; want %v", err, errNoClaims)
	}
	if got, err := callerOf(t.Context(), nil); err != nil || got.Subject != subject {
		t.Errorf("without a validator got %+v, %v; want the subject %q", got, err, subject)
	}
}

func TestAConnectionTakesOneAnswerOnly(t *testing.T) {
	const good = `{"subject":"` + subject + `"}` + "\n"
	tests := []struct {
		name, answer, want string
	}{
		{"another status", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", `got "HTTP/1.1 403 Forbidden"`},
		{"another body", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", `got the body "{}"`},
		{"no body", "HTTP/1.1 200 OK\r\n\r\n", `got the body ""`},
		{"a body that ends early", "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{", "EOF"},
		{"a head that ends early", "HTTP/1.1 200 OK\r\nContent-Le", "EOF"},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "invalid syntax"},
		{"nothing", "", "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := connection{answers: bufio.NewReader(strings.NewReader(test.answer))}
			if err := c.read(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %q in it", err, test.want)
			}
		})
	}
	c := connection{answers: bufio.NewReader(strings.NewReader(strings.Repeat(fmt.Sprintf("HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: %d\r\n\r\n%s", len(good), good), 2)))}
	for range 2 { // nothing of the first answer is left in the connection
		if err := c.read(); err != nil {
			t.Error(err)
		}
	}
}

// net/http must read the request as it is meant.
func TestRequestsSayWhatTheyShould(t *testing.T) {
	got := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	calls, hangUp, err := dialHTTP(t.Context(), strings.TrimPrefix(server.URL, "http://"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp()
	if err := calls[0]("abc"); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("got %v; want an error with the status", err)
	}
	r := <-got
	if r.Method != http.MethodGet || r.URL.Path != path || r.Host != "api.example.com" || r.Header.Get("Authorization") != "Bearer abc" {
		t.Errorf("got %s %s of %s with %q; want GET %s of api.example.com with the token", r.Method, r.URL, r.Host, r.Header, path)
	}
}

func TestDriveStopsAtTheFirstFault(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer third" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"subject":"%s"}`+"\n", subject)
	})}
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	defer func() { _ = server.Close(); <-ended }()

	_, err = drive(netHTTP, listener.Addr().String(), 1, inTurn([]string{"first", "second", "third", "fourth"}), time.Minute)
	if err == nil || !strings.Contains(err.Error(), "request 3 of a connection") || !strings.Contains(err.Error(), "500") {
		t.Errorf("got %v; want the third request named, and its status", err)
	}
	tokens := inTurn([]string{"first", "third"})
	endless := func() (string, bool) {
		if token, ok := tokens(); ok {
			return token, true
		}
		return "another", true
	}
	r, err := drive(netHTTP, listener.Addr().String(), 2, endless, 10*time.Second)
	if err == nil || r.elapsed >= 10*time.Second {
		t.Errorf("got %v after %v; want the fault of one connection to end the other as well", err, r.elapsed)
	}
	r, err = drive(netHTTP, listener.Addr().String(), 3, inTurn([]string{"first", "second"}), time.Minute)
	if err != nil || len(r.latencies) != 2 || r.elapsed >= time.Minute {
		t.Errorf("got %+v, %v; want two requests, and the end with the last token", r, err)
	}
}

func started(t *testing.T) (*server, []string) {
	t.Helper()
	key, tokens, err := mint(2)
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stop() }) // for the second time, if the test has stopped it
	return s, tokens
}
