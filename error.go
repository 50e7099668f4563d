package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// An Error is a refusal: what [Validator.Authorize] and its siblings return,
// and what an adapter turns into an answer. Its text and its cause are for the
// operator's log and hold no token and no claim; [Error.HTTPStatus],
// [Error.Header], [Error.GRPCCode] and [Error.Public] are for the client.
//
// An Error may be shared between requests: do not change it. It is safe for
// concurrent use.
type Error struct {
	// Reason says why. It is empty when the caller's own context ended while
	// the token was being checked; [errors.Is] then finds the context's error,
	// and [Unavailable].
	Reason Reason

	detail string        // for the operator: what was expected
	advice string        // for the operator: what to set, when it may be the setting
	cause  error         // what went wrong below
	scope  string        // what the policy needs, for the challenge
	dpop   bool          // the client used the scheme DPoP
	retry  time.Duration // for Retry-After; 0 is the default
	denied bool          // an application's no, whatever its Reason
	face   *face         // of the validator that refused; nil until one has
}

// A face is how all refusals of one validator present themselves.
type face struct {
	realm string
	dpop  *dpop.Verifier // nil: the scheme is not offered
}

// Deny returns an application's own refusal, for reasons that no token can
// tell: "the account is closed". Whatever the reason, the answer is 403 without
// a challenge, PERMISSION_DENIED on gRPC. The reason is sent to gRPC clients; it
// must have the form of a google.rpc.ErrorInfo reason ([A-Z][A-Z0-9_]+[A-Z0-9],
// at most 63 characters), and is [PolicyDenied] otherwise. The cause, which may
// be nil, goes to the log only.
//
// Hand it to an adapter's Refuse, or return it from an Echo handler or a gRPC
// method behind one.
func Deny(reason Reason, cause error) *Error {
	if !reason.wellFormed() {
		reason = PolicyDenied
	}
	return &Error{Reason: reason, cause: cause, denied: true, detail: "denied by the application"}
}

func (r Reason) wellFormed() bool {
	if len(r) < 3 || len(r) > 63 || r[0] < 'A' || r[0] > 'Z' || r[len(r)-1] == '_' {
		return false
	}
	for _, c := range r {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// refusal makes an Error with a text for the operator.
func refusal(reason Reason, detail string) *Error { return &Error{Reason: reason, detail: detail} }

// because makes an Error out of what went wrong below.
func because(reason Reason, cause error) *Error { return &Error{Reason: reason, cause: cause} }

// Error returns the operator's text: the reason in words, what was expected,
// the cause, and what to set where the setting may be at fault.
func (e *Error) Error() string {
	text := "accesstoken: " + e.outcome().text
	if e.Reason != "" {
		text = "accesstoken: " + e.Reason.words()
	}
	if e.detail != "" {
		text += ": " + e.detail
	}
	if _, bare := e.cause.(Reason); e.cause != nil && !bare { // whose words are there already
		text += ": " + e.cause.Error()
	}
	if e.advice != "" {
		text += "; " + e.advice
	}
	return text
}

// words writes TOKEN_EXPIRED as "token expired".
func (r Reason) words() string {
	text := []byte(r)
	for i, c := range text {
		switch {
		case c == '_':
			text[i] = ' '
		case c >= 'A' && c <= 'Z':
			text[i] += 'a' - 'A'
		}
	}
	return string(text)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil { // wrapped by mistake
		return nil
	}
	return e.cause
}

// Is reports whether the target is this refusal's [Reason], or [Unavailable]
// and the refusal is of that class.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	if !ok || reason == "" || e == nil {
		return false
	}
	return reason == e.Reason || reason == Unavailable && e.outcome().status == http.StatusServiceUnavailable
}

// HTTPStatus returns the status of the answer: 400, 401, 403, 500 or 503.
func (e *Error) HTTPStatus() int { return e.outcome().status }

// GRPCCode returns the number of the google.rpc.Code of the answer.
func (e *Error) GRPCCode() uint32 { return e.outcome().code }

// RetryAfter returns when to try again, between a second and 30 seconds, for errors
// that match [Unavailable], and 0 for all others. An issuer may want to be left alone
// for a day; the client is told to ask this resource server again much sooner.
func (e *Error) RetryAfter() time.Duration {
	switch {
	case e.outcome().status != http.StatusServiceUnavailable:
		return 0
	case e.retry == 0:
		return defaultRetry
	}
	return min(max(e.retry, time.Second), longestRetry)
}

// Header returns the header fields of the answer, a new map each time:
// Cache-Control, WWW-Authenticate on a refusal of the credential (RFC 6750 §3, RFC
// 9449 §7.1; a line for each scheme, that which the client used first), DPoP-Nonce
// where a proof needs one (RFC 9449 §9) and Retry-After (RFC 9110 §10.2.3) when we
// could not find out.
func (e *Error) Header() http.Header {
	header := http.Header{"Cache-Control": {"no-store"}}
	if lines := e.challenges(); lines != nil {
		header["Www-Authenticate"] = lines
	}
	if e.Reason == DPoPNonceRequired && e.offersDPoP() {
		header.Set("DPoP-Nonce", e.face.dpop.Nonce())
	}
	if retry := e.RetryAfter(); retry > 0 {
		seconds := (retry + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	return header
}

// challenges writes the WWW-Authenticate lines, or none.
func (e *Error) challenges() []string {
	o := e.outcome()
	switch {
	case !o.challenge:
		return nil
	case !e.offersDPoP():
		return []string{challenge.Write("Bearer", e.params(o)...)}
	}
	used, other := "Bearer", "DPoP"
	if e.dpop {
		used, other = other, used
	}
	return []string{
		challenge.Write(used, append(e.params(o), e.algorithms(used)...)...),
		challenge.Write(other, append(e.others(o), e.algorithms(other)...)...),
	}
}

// offersDPoP reports whether the scheme DPoP is challenged for.
func (e *Error) offersDPoP() bool { return e.face != nil && e.face.dpop != nil }

// algorithms are what the challenge of the scheme DPoP has beside those of the
// scheme Bearer (RFC 9449 §7.1).
func (e *Error) algorithms(scheme string) []challenge.Param {
	if scheme != "DPoP" {
		return nil
	}
	return []challenge.Param{{Name: "algs", Value: strings.Join(e.face.dpop.Algorithms(), " ")}}
}

// others are the auth-params of the challenge of the scheme that the client did not
// use. It has no fault, unless the fault is that nobody knows which one was meant.
func (e *Error) others(o outcome) []challenge.Param {
	switch e.Reason {
	case CredentialsMissing, SchemeUnsupported, CredentialsMalformed, CredentialsAmbiguous:
		return e.params(o)
	}
	return []challenge.Param{{Name: "realm", Value: e.face.realm}}
}

// params are the auth-params of the challenge. Without credentials there is
// nothing to find fault with, and RFC 6750 §3.1 wants no error code then.
func (e *Error) params(o outcome) []challenge.Param {
	var params []challenge.Param
	if e.face != nil {
		params = append(params, challenge.Param{Name: "realm", Value: e.face.realm})
	}
	if o.oauth != "" {
		params = append(params,
			challenge.Param{Name: "error", Value: o.oauth},
			challenge.Param{Name: "error_description", Value: o.text})
	}
	return append(params, challenge.Param{Name: "scope", Value: e.scope})
}

// Public is what a client may know of a refusal, for carriers that have other
// words for it than header fields.
type Public struct {
	Reason Reason            // TokenInvalid in place of the finer reasons; "" when the caller's context ended
	Text   string            // a sentence with nothing of the request in it
	Params map[string]string // the challenge's parameters by name, nil without a challenge
}

// Public returns what a client may know, and no more.
func (e *Error) Public() Public {
	o := e.outcome()
	public := Public{Reason: e.Reason, Text: o.text}
	if o.coarse {
		public.Reason = TokenInvalid
	}
	if _, known := outcomes[e.Reason]; !known && !e.denied && e.Reason != "" {
		public.Reason = InternalError
	}
	if o.challenge {
		public.Params = map[string]string{}
		for _, p := range e.params(o) {
			if p.Value != "" {
				public.Params[p.Name] = p.Value
			}
		}
	}
	return public
}

// understand turns an error of the application's code, a handler or an Accept, into
// a refusal. What it does not know is an InternalError.
func understand(ctx context.Context, err error) error {
	var reason Reason
	_, isNil := err.(*Error)
	switch {
	case asError(err) != nil:
		return err
	case isNil:
		return refusal(InternalError, "the error is a nil *Error")
	case errors.Is(err, Unavailable) || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return couldNotFindOut(ctx, StatusUnavailable, err)
	case errors.As(err, &reason) && outcomes[reason].status != 0:
		return because(reason, err)
	}
	return because(InternalError, err)
}

// asError finds the *Error in err, or nil. Most errors are one, and looking for
// it in the others costs an allocation.
func asError(err error) *Error {
	if refused, ok := err.(*Error); ok {
		return refused
	}
	var refused *Error
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}

// joseReason sorts the errors of internal/jose.
func joseReason(err error) Reason {
	switch {
	case errors.Is(err, jose.ErrType):
		return TokenTypeMismatch
	case errors.Is(err, jose.ErrAlgorithm):
		return AlgorithmNotAllowed
	case errors.Is(err, jose.ErrSignature):
		return SignatureInvalid
	}
	return TokenMalformed
}

// keysRefusal tells apart why keys could not be had.
func keysRefusal(ctx context.Context, err error) error {
	switch {
	case asError(err) != nil:
		return err
	case errors.Is(err, jose.ErrAlgorithm):
		return because(AlgorithmNotAllowed, err)
	case errors.Is(err, discovery.ErrMismatch):
		return because(ResourceServerMisconfigured, err)
	case errors.Is(err, discovery.ErrUnavailable):
		return couldNotFindOut(ctx, IssuerUnavailable, err)
	}
	return couldNotFindOut(ctx, KeysUnavailable, err)
}

// couldNotFindOut tells an outage from the end of the caller's own context,
// after which nobody waits for an answer.
func couldNotFindOut(ctx context.Context, reason Reason, err error) error {
	if ended := ctx.Err(); ended != nil {
		return because("", fmt.Errorf("%w while it was being checked: %v", ended, err))
	}
	refused := because(reason, err)
	refused.retry = retryAfter(err)
	return refused
}

// retryAfter finds out when to ask again, from an error that knows.
func retryAfter(err error) time.Duration {
	var timed interface{ RetryAfter() time.Duration }
	if errors.As(err, &timed) {
		return timed.RetryAfter()
	}
	return 0
}
