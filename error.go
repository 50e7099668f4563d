package accesstoken

import (
	"context"
	"encoding/json"
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

// An Error is a refusal. [Validator.Authorize] and its siblings return it, and an
// adapter turns it into a response. Its text and its cause are for the operator's
// log. Except for a cause that your own code gave, they hold no token and no claim.
// [Error.HTTPStatus], [Error.Header], [Error.GRPCCode] and [Error.Public] are for
// the client.
//
// An Error may be shared between requests, so do not change it. It is safe for
// concurrent use.
type Error struct {
	// Reason says why. It is empty if the caller's own context ended while the token
	// was being checked. In that case [errors.Is] finds the context's error, and
	// [Unavailable].
	Reason Reason

	detail string            // for the operator: what was expected
	advice string            // for the operator: what to set, if a setting may be at fault
	cause  error             // the underlying error, or nil
	wanted []json.RawMessage // by DetailsInsufficient, the objects that would do
	asks   []challenge.Param // of the challenge: what the client should request
	dpop   bool              // the client used the scheme DPoP
	retry  time.Duration     // for Retry-After; 0 means defaultRetry
	denied bool              // made by Deny, so it is a 403 whatever its Reason
	face   *face             // settings of the validator that refused; nil until bind sets them
	untold bool              // Refuse has still to report it, although face is set
}

// A face has the settings of one validator that its refusals need.
type face struct {
	realm string
	field string         // Config.TokenField in canonical form; "" for Authorization
	dpop  *dpop.Verifier // nil: the scheme is not offered

	metadata  string // the URL for resource_metadata; "" without Metadata
	remediate bool   // Config.DraftRARMetadataRemediation
}

// Deny returns a refusal by the application's own rules, for example because an
// account is closed. Whatever the reason, the response is 403 without a challenge,
// PERMISSION_DENIED on gRPC. gRPC clients see the reason, so it must have the form
// of a google.rpc.ErrorInfo reason ([A-Z][A-Z0-9_]+[A-Z0-9], at most 63 characters).
// Any other reason becomes [PolicyDenied]. The cause, which may be nil, goes to the
// log only.
//
// You should pass the refusal to an adapter's Refuse, or return it from an Echo
// handler or a gRPC method behind an adapter.
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

// refusal makes an Error with a detail for the operator.
func refusal(reason Reason, detail string) *Error { return &Error{Reason: reason, detail: detail} }

// wrapError makes an Error with an underlying cause.
func wrapError(reason Reason, cause error) *Error { return &Error{Reason: reason, cause: cause} }

// Error returns the operator's text: the reason in words and, as far as known, what
// was expected, the cause, and what to set.
func (e *Error) Error() string {
	text := "accesstoken: " + e.outcome().text
	if e.Reason != "" {
		text = "accesstoken: " + e.Reason.words()
	}
	if e.detail != "" {
		text += ": " + e.detail
	}
	if _, bare := e.cause.(Reason); e.cause != nil && !bare { // a Reason would repeat its words
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
	if e == nil { // a nil *Error that was wrapped by mistake
		return nil
	}
	return e.cause
}

// Is reports whether the target is this refusal's [Reason]. It also reports true if
// the target is [Unavailable] and the refusal means that we could not find out.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	if !ok || reason == "" || e == nil {
		return false
	}
	return reason == e.Reason || reason == Unavailable && e.outcome().status == http.StatusServiceUnavailable
}

// HTTPStatus returns the status of the response: 400, 401, 403, 500 or 503.
func (e *Error) HTTPStatus() int { return e.outcome().status }

// GRPCCode returns the number of the google.rpc.Code of the response.
func (e *Error) GRPCCode() uint32 { return e.outcome().code }

// RetryAfter returns how long the client should wait before it tries again. It is
// between a second and 30 seconds if the status is 503, and 0 otherwise. Even if an
// issuer asks for a pause of a day, the client should ask this server again soon.
func (e *Error) RetryAfter() time.Duration {
	switch {
	case e.outcome().status != http.StatusServiceUnavailable:
		return 0
	case e.retry == 0:
		return defaultRetry
	}
	return min(max(e.retry, time.Second), longestRetry)
}

// Header returns the header fields of the response, in a new map each time.
// Cache-Control is always there. If the credentials are missing, bad or lack a
// scope, WWW-Authenticate has a line for each accepted scheme, DPoP first if the
// client used it (RFC 6750 §3, RFC 9449 §7.1). If the DPoP proof needs a nonce,
// DPoP-Nonce has a valid nonce (RFC 9449 §9). If the status is 503, Retry-After is
// set (RFC 9110 §10.2.3).
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

// challenges returns the WWW-Authenticate lines, or nil if there is no challenge.
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

// offersDPoP reports whether the response has a challenge for the scheme DPoP.
func (e *Error) offersDPoP() bool { return e.face != nil && e.face.dpop != nil }

// algorithms returns the auth-param that only the challenge of the scheme DPoP has
// (RFC 9449 §7.1).
func (e *Error) algorithms(scheme string) []challenge.Param {
	if scheme != "DPoP" {
		return nil
	}
	return []challenge.Param{{Name: "algs", Value: strings.Join(e.face.dpop.Algorithms(), " ")}}
}

// others returns the auth-params of the challenge of the scheme that the client did
// not use. They are only the realm, unless the credentials are missing or were not
// understood.
func (e *Error) others(o outcome) []challenge.Param {
	switch e.Reason {
	case CredentialsMissing, SchemeUnsupported, CredentialsMalformed, CredentialsAmbiguous:
		return e.params(o)
	}
	return []challenge.Param{{Name: "realm", Value: e.face.realm}, {Name: "resource_metadata", Value: e.face.metadata}}
}

// params returns the auth-params of the challenge. If the credentials are missing or
// of an unsupported scheme, there is no error code (RFC 6750 §3.1). With a TokenField
// they are only realm and error, because it is a proxy that sends the token.
func (e *Error) params(o outcome) []challenge.Param {
	var params []challenge.Param
	if e.face != nil {
		params = append(params, challenge.Param{Name: "realm", Value: e.face.realm})
	}
	if o.oauth != "" {
		params = append(params, challenge.Param{Name: "error", Value: o.oauth})
	}
	if e.face != nil && e.face.field != "" {
		return params
	}
	if o.oauth != "" {
		params = append(params, challenge.Param{Name: "error_description", Value: o.text})
	}
	params = append(params, e.asks...)
	if e.face != nil {
		params = append(params, challenge.Param{Name: "resource_metadata", Value: e.face.metadata}) // RFC 9728 §5.1
	}
	return params
}

// Public is what a client may know of a refusal, for transports such as gRPC that do
// not use its header fields.
type Public struct {
	Reason Reason            // TokenInvalid in place of the finer reasons; "" if the caller's context ended
	Text   string            // a sentence without any part of the request
	Params map[string]string // the challenge's parameters by name; nil without a challenge
}

// Public returns what a client may know of the refusal.
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

// understand turns an error of a handler or an Accept into a refusal. If the error
// is unknown, the refusal is an InternalError.
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
		return wrapError(reason, err)
	}
	return wrapError(InternalError, err)
}

// asError returns the *Error in err, or nil. Most errors are an *Error themselves,
// and then errors.As and its allocation are avoided.
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

// joseReason returns the reason for an error of internal/jose.
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

// keysRefusal returns the refusal for an error of a key source.
func keysRefusal(ctx context.Context, err error) error {
	switch {
	case asError(err) != nil:
		return err
	case errors.Is(err, jose.ErrAlgorithm):
		return wrapError(AlgorithmNotAllowed, err)
	case errors.Is(err, discovery.ErrMismatch):
		return wrapError(ResourceServerMisconfigured, err)
	case errors.Is(err, discovery.ErrUnavailable):
		return couldNotFindOut(ctx, IssuerUnavailable, err)
	}
	return couldNotFindOut(ctx, KeysUnavailable, err)
}

// couldNotFindOut distinguishes an outage from the end of the caller's own context,
// after which no client waits for the response.
func couldNotFindOut(ctx context.Context, reason Reason, err error) error {
	if ended := ctx.Err(); ended != nil {
		return wrapError("", fmt.Errorf("%w while the token was being checked: %v", ended, err))
	}
	refused := wrapError(reason, err)
	refused.retry = retryAfter(err)
	return refused
}

// retryAfter returns the pause that an error asks for by its method RetryAfter, or
// 0.
func retryAfter(err error) time.Duration {
	var timed interface{ RetryAfter() time.Duration }
	if errors.As(err, &timed) {
		return timed.RetryAfter()
	}
	return 0
}

// outcome looks the refusal up. If the table lacks the reason, the refusal is an
// internal error.
func (e *Error) outcome() outcome {
	switch {
	case e.denied:
		return outcomes[PolicyDenied]
	case e.Reason == "" && errors.Is(e.cause, context.Canceled):
		return outcome{status: http.StatusServiceUnavailable, code: grpcCanceled, text: unavailable}
	case e.Reason == "" && errors.Is(e.cause, context.DeadlineExceeded):
		return outcome{status: http.StatusServiceUnavailable, code: grpcDeadlineExceeded, text: unavailable}
	}
	o, ok := outcomes[e.Reason]
	switch {
	case !ok:
		return outcomes[InternalError]
	case e.Reason == AuthorizationDetailsInsufficient && e.face != nil && e.face.remediate:
		return insufficientAuthorization
	}
	return o
}
