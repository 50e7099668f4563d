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

// A Fault describes how an endpoint misbehaves; install it with [Server.Break].
// The zero Fault leaves the genuine response unchanged. Each field changes one
// aspect of the response, and you can combine fields. For example:
//
//	Fault{Hang: true}                                                  // the server is stuck
//	Fault{Reset: true}                                                 // the server has crashed
//	Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}}     // too many requests
//	Fault{Status: 302, Header: http.Header{"Location": {other.URL}}}   // a redirect
//	Fault{Body: []byte("<html>down for maintenance</html>")}           // 200 with a body that is not JSON
//	Fault{Body: []byte(`{"keys":[]}`)}                                 // no keys
//	Fault{Body: HugeKeySet(10_000)}                                    // too many keys
//	Fault{Header: http.Header{"Cache-Control": {"public, max-age=5"}}} // a good response that expires soon
//
// If the client disconnects or the server is closed, every wait that a Fault
// causes ends at once, without a response.
type Fault struct {
	_ [0]func()

	// Latency is how long the server waits before it creates and sends the
	// response.
	Latency time.Duration

	// Hang means that no response is ever sent. The other fields then have no effect.
	Hang bool

	// Reset ends the connection after Latency with a TCP reset and no response. If
	// an [http.Client] sent a GET on a connection that it had used before, it
	// repeats the request by itself.
	Reset bool

	// Status, from 200 to 999, replaces the status of the response. Zero keeps the
	// genuine status.
	Status int

	// Header fields replace the response's fields of the same name. A nil value
	// removes the field, even Date and Content-Type, which net/http would
	// otherwise add.
	Header http.Header

	// Body replaces the body of the response. Nil keeps the genuine body; an empty
	// slice that is not nil makes the body empty. If Body is set, the genuine
	// Content-Type stays and the genuine ETag is removed; you can set both in Header.
	Body []byte

	// Trickle is the pause before each byte of the body. The header is sent before
	// the first pause. Zero sends the body at once.
	Trickle time.Duration

	// Drop ends the connection after half of the body.
	Drop bool
}

// Break gives the endpoint at path a fault until [Server.Mend], and replaces the
// fault that the endpoint had. For each request, the genuine endpoint or the
// handler that you set with [Server.Handle] creates the response, which the
// fault then alters. The response is buffered until it is complete, so a handler
// cannot stream or hijack while the fault is set. Requests that are already
// being served are not affected.
//
// If the fault has a Status or a Body, the endpoint ignores If-None-Match (RFC
// 9110 §13.2.1). Otherwise a client with a cached copy would get a 304 in place
// of the fault.
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
		s.fatalf("accesstokentest: %s: Fault.Status is %d; want 200 to 999, or 0 to keep the status", method, f.Status)
	}
}

// Mend removes the fault from the endpoint at path, if it has one. A handler
// that was set with [Server.Handle] stays.
func (s *Server) Mend(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, path)
}

// broken is an endpoint with a fault. If the response must not be complete, it
// panics with [http.ErrAbortHandler], because a handler that returns ends its
// response normally.
type broken struct {
	Fault
	endpoint http.Handler
}

func (b broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer unblock(r.Context(), w)()
	r = buffered(r)
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

// answer sends the response of the endpoint, altered by the fault.
func (b broken) answer(w http.ResponseWriter, r *http.Request) {
	if b.Status != 0 || b.Body != nil {
		r.Header.Del("If-None-Match") // otherwise the endpoint may send a 304, which has no body to alter
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
		w.Header()[http.CanonicalHeaderKey(name)] = values // nil keeps net/http from adding the field
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified {
		b.send(r.Context(), w, body) // HEAD, 204 and 304 have no body (RFC 9110 §6.4.1)
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
		_, _ = w.Write(body) // fails only if the client has disconnected
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

// wait returns after d. If ctx ends first, wait panics with
// [http.ErrAbortHandler], which ends the request without a response.
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

// buffered returns a copy of the request whose body has been received, up to 1
// MiB. While the body is unread, net/http does not notice that the client has
// disconnected.
func buffered(r *http.Request) *http.Request {
	received, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // the next read of the body returns the error again
	whole := io.MultiReader(bytes.NewReader(received), r.Body)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(whole)
	return r
}

// unblock makes all reads from the client and all writes to it fail once ctx
// ends. Otherwise a client that neither reads nor disconnects would block Close.
// The returned function cancels this.
func unblock(ctx context.Context, w http.ResponseWriter) (stop func() bool) {
	controller, past := http.NewResponseController(w), time.Unix(1, 0)
	return context.AfterFunc(ctx, func() {
		_ = controller.SetReadDeadline(past)
		_ = controller.SetWriteDeadline(past)
	})
}
