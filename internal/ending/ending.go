// Package ending ends a response with the token that its request was let in by.
package ending

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken"
)

// patience is for how long a handler may go on when its context has ended.
const patience = time.Second

// Serve calls the handler with a context that ends with the token, because of the
// refusal that the token would meet from then on. A handler that has not returned
// a second later is cut off: what it reads of the request and writes of the
// response fails, and Serve panics with http.ErrAbortHandler when it returns, so
// that nobody takes the response for a whole one, or its connection for one that
// can be used again.
//
// The context ends, too, when the handler returns. Nothing is done to the
// response afterwards. It costs a timer, and no goroutine. Inside another Serve
// that ends with the same token, it does nothing.
func Serve(ctx context.Context, w http.ResponseWriter, v *accesstoken.Validator, claims accesstoken.Claims, handler func(context.Context)) {
	end := claims.End()
	outer, ok := ctx.Value(key{}).(*response)
	if end.IsZero() || ok && outer.validator == v && outer.claims.End().Equal(end) {
		handler(ctx)
		return
	}
	r := &response{writer: w, validator: v, claims: claims}
	r.Context, r.cancel = context.WithCancelCause(ctx)
	defer r.stop()
	r.after(time.Until(end), r.look)
	handler(r)
	if cut := r.stop(); cut {
		panic(http.ErrAbortHandler)
	}
}

// A response is one that ends, and the context of its handler.
type response struct {
	context.Context
	cancel    context.CancelCauseFunc
	writer    http.ResponseWriter
	validator *accesstoken.Validator
	claims    accesstoken.Claims

	mu       sync.Mutex // held while the writer is touched
	timer    *time.Timer
	returned bool // the handler has: the writer may belong to another request
	wasCut   bool
}

// key finds the response in the context of its handler.
type key struct{}

func (r *response) Value(k any) any {
	if k == (key{}) {
		return r
	}
	return r.Context.Value(k)
}

// String is what the context package prints of a parent.
func (r *response) String() string { return "accesstoken.Response" }

// after has do called when that time is over, unless the handler has returned.
func (r *response) after(wait time.Duration, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.returned {
		r.timer = time.AfterFunc(wait, do)
	}
}

// stop leaves the response alone from now on, and reports whether it was cut off.
func (r *response) stop() (cut bool) {
	defer r.cancel(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returned = true
	r.timer.Stop()
	return r.wasCut
}

// look ends the context if the token has ended. The Validator decides, whose clock
// may be another one.
func (r *response) look() {
	err := r.validator.Check(r, r.claims, accesstoken.Policy{})
	if err == nil {
		r.after(max(time.Until(r.claims.End()), time.Second), r.look)
		return
	}
	r.cancel(err)
	r.after(patience, r.cut)
}

// cut makes whatever the handler waits for, reading or writing, fail.
func (r *response) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.returned {
		return
	}
	defer func() { _ = recover() }() // the writer may be anybody's, and nobody is above us
	past := time.Unix(1, 0)
	controller := http.NewResponseController(r.writer)
	for _, set := range []func(time.Time) error{controller.SetWriteDeadline, controller.SetReadDeadline} {
		if set(past) == nil {
			r.wasCut = true
		}
	}
}
