package accesstokentest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"
)

// A Fault is what is wrong with an endpoint; [Server.Break] puts it there. The
// zero Fault leaves the genuine answer as it is, and each field changes one
// thing about it, so that fields combine:
//
//	Fault{Hang: true}                                                  // the server is stuck
//	Fault{Reset: true}                                                 // it has crashed
//	Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}}     // it has had enough
//	Fault{Status: 302, Header: http.Header{"Location": {other.URL}}}   // it sends the client elsewhere
//	Fault{Body: []byte("<html>down for maintenance</html>")}           // 200, and junk
//	Fault{Body: []byte(`{"keys":[]}`)}                                 // no keys at all
//	Fault{Body: HugeKeySet(10_000)}                                    // far too many
//	Fault{Header: http.Header{"Cache-Control": {"public, max-age=5"}}} // nothing wrong, but short-lived
//
// Every wait that a Fault causes ends, without an answer, when the client gives
// up or the server is closed.
type Fault struct {
	_ [0]func()

	// Latency is how long nothing comes before the answer begins. Only then is
	// the genuine answer made.
	Latency time.Duration

	// Hang keeps the answer back for good. Of the other fields none matters.
	Hang bool

	// Reset ends the connection after Latency by a TCP reset, without any answer.
	// An [http.Client] repeats a GET by itself when that meets a connection which
	// it has used before.
	Reset bool

	// Status, from 200 to 999, replaces the status of the answer. Zero keeps it.
	Status int

	// Header is laid over the header of the answer. Values replace those of the
	// same name, and nil removes the name, even Date and Content-Type, which
	// net/http would add.
	Header http.Header

	// Body replaces the body of the answer: nil keeps it, and an empty one that is
	// not nil is an empty body. The genuine Content-Type stays, the genuine ETag
	// goes. Header may have others.
	Body []byte

	// Trickle is the pause before each byte of the body. The header comes before
	// the first pause.
	Trickle time.Duration

	// Drop ends the connection halfway through the body.
	Drop bool
}

// Break gives the endpoint at path a fault in place of the one it had, until
// [Server.Mend]. The answer is that of the genuine endpoint, or of the one that
// [Server.Handle] put there, made for each request and then altered. It is held
// back until it is whole, so a handler cannot stream or hijack meanwhile.
// Requests that are already being served are not affected.
//
// A fault in status or body makes the endpoint ignore If-None-Match (RFC 9110
// §13.2.1), so that every client meets it.
func (s *Server) Break(path string, f Fault) {
	s.checkPath("Break", path)
	s.checkFault("Break", f)
	f.Header, f.Body = f.Header.Clone(), bytes.Clone(f.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = f
}

func (s *Server) checkFault(method string, f Fault) {
	if f.Status != 0 && (f.Status < 200 || f.Status > 999) {
		s.fatalf("accesstokentest: %s: no answer has the status %d", method, f.Status)
	}
}

// Mend takes the fault away from the endpoint at path, if it has one. What
// [Server.Handle] put there stays.
func (s *Server) Mend(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, path)
}

// broken is an endpoint with a fault. Where no whole answer is to come it
// panics with [http.ErrAbortHandler]: to return would end the answer well.
type broken struct {
	Fault
	endpoint http.Handler
}

func (b broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer unblock(r.Context(), w)()
	r = heard(r)
	wait(r.Context(), b.Latency)
	switch {
	case b.Hang:
		wait(r.Context(), math.MaxInt64)
	case b.Reset:
		r.Context().Value(linkKey{}).(*link).reset()
		panic(http.ErrAbortHandler)
	default:
		b.answer(w, r)
	}
}

// answer answers what the endpoint does, but for the fault.
func (b broken) answer(w http.ResponseWriter, r *http.Request) {
	if b.Status != 0 || b.Body != nil {
		r.Header.Del("If-None-Match") // or a 304 would come, with nothing in it to alter
	}
	genuine := httptest.NewRecorder()
	b.endpoint.ServeHTTP(genuine, r)
	status, header, body := genuine.Code, genuine.Result().Header, genuine.Body.Bytes()
	if b.Status != 0 {
		status = b.Status
	}
	if b.Body != nil {
		body = b.Body
		header.Del("Content-Length")
		header.Del("ETag")
	}
	maps.Copy(w.Header(), header)
	for name, values := range b.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values // nil keeps net/http from adding one
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified {
		b.send(r.Context(), w, body) // RFC 9110 §6.4.1: those have none
	}
}

// send writes the body, or half of it.
func (f Fault) send(ctx context.Context, w http.ResponseWriter, body []byte) {
	if f.Drop {
		body = body[:len(body)/2]
	}
	if f.Trickle > 0 {
		trickle(ctx, w, body, f.Trickle)
	} else {
		_, _ = w.Write(body) // the client may be gone: that is its own affair
	}
	if f.Drop {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func trickle(ctx context.Context, w http.ResponseWriter, body []byte, pause time.Duration) {
	controller := http.NewResponseController(w)
	_ = controller.Flush()
	for b := range slices.Chunk(body, 1) {
		wait(ctx, pause)
		_, _ = w.Write(b)
		_ = controller.Flush()
	}
}

// wait returns after d, or gives the request up when its context ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
}

// heard returns a copy of the request whose body has been received, up to a
// mebibyte: only then does net/http look out for a client that goes away.
func heard(r *http.Request) *http.Request {
	received, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // an error comes again to who reads on
	whole := io.MultiReader(bytes.NewReader(received), r.Body)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(whole)
	return r
}

// unblock ends all reading from the client and writing to it once ctx ends: a
// client that neither reads nor goes away must not hold up Close. It returns the
// function that calls it off.
func unblock(ctx context.Context, w http.ResponseWriter) (stop func() bool) {
	controller, past := http.NewResponseController(w), time.Unix(1, 0)
	return context.AfterFunc(ctx, func() {
		_ = controller.SetReadDeadline(past)
		_ = controller.SetWriteDeadline(past)
	})
}
