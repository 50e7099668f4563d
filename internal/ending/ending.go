// Package ending ends a response when the token of its request ends.
package ending

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/carried"
)

// grace is how long a handler can go on after its context has ended.
const grace = time.Second

// Serve calls the handler with a context that ends when the token ends. The cause of the
// context is the refusal that the token would then get. If the handler has not returned
// a second later, and w has deadlines, it is cut off: its reads of the request and
// writes of the response fail. When it then returns, Serve panics with
// http.ErrAbortHandler, so that the client does not take the response for a complete
// one, and the connection is not reused.
//
// The context also ends when the handler returns. After that, Serve does not touch the
// response. Serve costs a timer, and no goroutine. It only calls the handler if nothing
// can end the token, or inside another Serve that ends at the same time, for the same
// Validator and issuer.
//
// The token also ends if SetIssuers removes its issuer.
func Serve(ctx context.Context, w http.ResponseWriter, v *accesstoken.Validator, claims accesstoken.Claims, handler func(context.Context)) {
	end, gone := claims.End(), carried.Gone(&claims)
	outer, ok := ctx.Value(key{}).(*response)
	if end.IsZero() && gone.Done() == nil || ok && carried.Same(outer.validator, v) && outer.gone == gone && outer.claims.End().Equal(end) {
		handler(ctx)
		return
	}
	r := &response{writer: w, validator: carried.Watching(v).(*accesstoken.Validator), claims: claims, gone: gone}
	r.Context, r.cancel = context.WithCancelCause(ctx)
	defer r.stop()
	if !end.IsZero() {
		r.after(time.Until(end), r.look)
	}
	defer context.AfterFunc(gone, r.look)()
	handler(r)
	if cut := r.stop(); cut {
		panic(http.ErrAbortHandler)
	}
}

// A response is a response that ends with the token, and the context of its handler.
type response struct {
	context.Context
	cancel    context.CancelCauseFunc
	writer    http.ResponseWriter
	validator *accesstoken.Validator
	claims    accesstoken.Claims
	gone      context.Context // ends with the issuer of the claims

	mu       sync.Mutex  // held while the writer is used
	timer    *time.Timer // nil: nothing is due
	returned bool        // the handler has returned, so the writer may belong to another request
	ended    bool        // the token has ended
	wasCut   bool
}

// key is the key of the response in the context of its handler.
type key struct{}

func (r *response) Value(k any) any {
	if k == (key{}) {
		return r
	}
	return r.Context.Value(k)
}

// String is printed by the context package for a parent context.
func (r *response) String() string { return "accesstoken.Response" }

// after calls do after the wait, in place of an earlier do that still waits. If the
// handler has returned already, after does nothing. It does not block.
func (r *response) after(wait time.Duration, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.returned {
		return
	}
	if r.timer != nil {
		r.timer.Stop() // a removed issuer, and the end of its token, may come together
	}
	r.timer = time.AfterFunc(wait, do)
}

// stop ends all access to the response, and reports whether it was cut off.
func (r *response) stop() (cut bool) {
	defer r.cancel(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returned = true
	if r.timer != nil {
		r.timer.Stop()
	}
	return r.wasCut
}

// look ends the context if the token has ended, and otherwise looks again later. The
// Validator decides this, because it can have a clock of its own.
func (r *response) look() {
	err := r.validator.Check(r, r.claims, accesstoken.Policy{})
	switch end := r.claims.End(); {
	case err == nil && end.IsZero():
		return
	case err == nil:
		r.after(max(time.Until(end), time.Second), r.look)
		return
	}
	if r.end() {
		r.cancel(r.validator.Refuse(accesstoken.NewContext(r, r.claims), err))
		r.after(grace, r.cut)
	}
}

// end reports whether the response is to be ended now, which it is once at most, and not
// after the handler has returned.
func (r *response) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := !r.returned && !r.ended
	r.ended = r.ended || first
	return first
}

// cut makes the handler's reads and writes fail, if the writer has deadlines.
func (r *response) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.returned {
		return
	}
	defer func() { _ = recover() }() // the writer may panic, and no caller could recover from a panic in a timer
	past := time.Unix(1, 0)
	controller := http.NewResponseController(r.writer)
	for _, set := range []func(time.Time) error{controller.SetWriteDeadline, controller.SetReadDeadline} {
		if set(past) == nil {
			r.wasCut = true
		}
	}
}
