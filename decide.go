package accesstoken

import (
	"context"
	"log/slog"

	"github.com/accesstoken/accesstoken/internal/panics"
)

// A Decision is what Config.OnDecide is told of one decision.
type Decision struct {
	_ [0]func()

	// Claims are those of the caller, once the signature, the kind of token, the clock and
	// the audience have held; until then they are zero. If Err is set, they are no
	// authentication: the caller was refused.
	Claims Claims

	// Err is the refusal. It is nil if the request was accepted.
	Err *Error

	// Source says how the caller is known, for example SourceCache. If the request was
	// refused before that, it is empty.
	Source string

	// Issuer is the Issuer.Name of the issuer that the token belongs to, or "resolved" if
	// ResolveIssuer returned it. If no such issuer was found, or a Source is SourceVouched,
	// it is empty. Until the signature is verified, the token itself names the issuer, so
	// if Claims are zero, a forged token may have done so.
	Issuer string

	// Transport is "net/http", "echo" or "grpc", by the adapter that the request came
	// through. If your own code called the Validator, it is empty.
	Transport string

	// Ended reports that an open stream or response was ended. If it is false, the request
	// was decided when it came.
	Ended bool
}

// A course is what is known of a decision while it is being made.
type course struct {
	issuer *issuer // nil: not known yet
	source source
}

// conclude is where every decision ends: it calls the hooks, and counts what is answered. It
// returns the refusal, or nil if the request is accepted. If a hook panics, the request is
// refused with an InternalError.
func (v *Validator) conclude(ctx context.Context, caller *Claims, c *course, refused *Error) *Error {
	if v.family == nil {
		return refused
	}
	if v.config.OnDecide != nil {
		refused = v.callOnDecide(ctx, caller, c, refused)
	}
	if refused != nil {
		refused = v.report(ctx, *caller, refused)
	}
	v.ledger.count(v.labelOf(c.issuer), v.place, c.source, refused, v.watching)
	return refused
}

// report logs a refusal at Debug, warns of scopes that are not read and of logins that cannot
// help, and calls OnRefuse. If the caller is known, the hook's context has the claims while the
// hook runs. If the hook panics, the request is refused with an InternalError.
func (v *Validator) report(ctx context.Context, caller Claims, refused *Error) (reported *Error) {
	if v.logger.Enabled(ctx, slog.LevelDebug) {
		v.logger.LogAttrs(ctx, slog.LevelDebug, "accesstoken: refused a request",
			slog.String("reason", string(refused.Reason)), slog.Any("why", refused)) // slog recovers if Error panics
	}
	caller.adviseOn(refused)
	if v.onRefuse == nil {
		return refused
	}
	if caller.facts != nil {
		known := &node{Context: ctx, Claims: caller}
		defer known.End()
		ctx = known
	}
	defer func() {
		if p := recover(); p != nil {
			v.complain(ctx, "OnRefuse", p)
			reported = v.fixed[InternalError]
		}
	}()
	v.onRefuse(ctx, refused)
	return refused
}

// settle is conclude for a look that may be one of many at an open stream. Such a look is
// not reported. If it refuses, Refuse reports the end of the stream.
func (v *Validator) settle(ctx context.Context, caller *Claims, c *course, refused *Error) *Error {
	switch {
	case !v.watching:
		return v.conclude(ctx, caller, c, refused)
	case refused == nil:
		return nil
	}
	untold := *refused
	untold.untold = true
	return &untold
}

// callOnDecide calls Config.OnDecide, and returns the refusal.
func (v *Validator) callOnDecide(ctx context.Context, caller *Claims, c *course, refused *Error) (last *Error) {
	defer func() {
		if p := recover(); p != nil {
			v.complain(ctx, "OnDecide", p)
			last = v.fixed[InternalError]
		}
	}()
	v.config.OnDecide(ctx, Decision{
		Claims:    *caller,
		Err:       refused,
		Source:    c.source.String(),
		Issuer:    v.labelOf(c.issuer).name,
		Transport: v.transport.String(),
		Ended:     v.watching,
	})
	return refused
}

// complain logs, once for each hook, that it panicked.
func (v *Validator) complain(ctx context.Context, hook string, p any) {
	if v.warnings.isNew(hook) {
		v.logger.ErrorContext(ctx, "accesstoken: "+hook+" panicked (logged once)", "panic", panics.Describe(p))
	}
}

// labelOf returns the label of an issuer of this family, or the one without a name.
func (f *family) labelOf(i *issuer) *label {
	if i == nil || i.owner != f || i.label == nil {
		return &f.ledger.unnamed
	}
	return i.label
}
