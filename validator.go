package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// cacheBytes bounds the store of verified facts.
const cacheBytes = 64 << 20

// A Validator decides whether credentials are good, and good enough. Make one
// with [NewValidator], share it between all carriers, and Close it at the end.
// It is safe for concurrent use.
type Validator struct {
	issuers      map[string]*issuer // by URL, which is how a token's iss finds its issuer
	aliases      map[string]*issuer // by other spellings of iss
	near         map[string]*issuer // by what is left of iss without scheme, case and slash at the end: for advice
	configured   []*issuer          // one for each Issuer, in their order; its tenants share the keys
	introspected []*issuer          // those with an introspection client
	leeway       time.Duration
	maxToken     int    // in bytes
	tooLarge     string // the warning about it
	now          func() time.Time
	logger       *slog.Logger
	onRefuse     func(context.Context, *Error)
	face         *face
	forwarded    ForwardedCertificate
	constrained  bool              // every token has to be bound
	fixed        map[Reason]*Error // refusals without details, made once
	cache        *tokencache.Cache
	shared       *shared
	headers      jose.Headers
	algorithms   map[string]bool // of all issuers
	complain     sync.Once       // about a hook that panics
	warnings     warnings        // of what concerns no single issuer
	closed       atomic.Bool
}

// NewValidator checks the Config and makes a Validator. It does no I/O: metadata
// and keys are fetched when the first token needs them, or by
// [Validator.Warm]. The error reports every fault of the Config at once, one to
// a line.
func NewValidator(config Config) (*Validator, error) {
	config = config.clone()
	found := config.faults()
	v := &Validator{
		issuers:  map[string]*issuer{},
		aliases:  map[string]*issuer{},
		near:     map[string]*issuer{},
		leeway:   config.leeway(),
		maxToken: config.maxToken(),
		now:      config.Now,
		logger:   config.Logger,
		onRefuse: config.OnRefuse,
		face:     &face{realm: config.realm(), dpop: config.DPoP},
		fixed:    map[Reason]*Error{},

		forwarded:   config.ForwardedCertificate,
		constrained: config.FAPI2,

		algorithms: map[string]bool{},
		cache:      tokencache.New(cacheBytes),
		shared:     newShared(),
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.logger == nil {
		v.logger = slog.Default()
	}
	v.warnings.logger = v.logger
	for reason := range outcomes {
		v.fixed[reason] = &Error{Reason: reason, detail: details[reason], face: v.face}
	}
	v.tooLarge = fmt.Sprintf("a token has more than %d bytes", v.maxToken)
	v.fixed[TokenTooLarge].detail = fmt.Sprintf("expected at most %d bytes; Config.MaxTokenSize allows up to %d", v.maxToken, mostTokenSize)
	if len(found) == 0 {
		found = v.addIssuers(config)
	}
	if len(found) > 0 {
		_ = v.Close()
		return nil, sentence(found)
	}
	return v, nil
}

func (v *Validator) addIssuers(config Config) (f faults) {
	implied := newHierarchy(config.ScopeImplies)
	for i, settings := range config.Issuers {
		added, err := newIssuers(config, settings, implied, v.logger)
		if err != nil {
			f.add("Issuers[%d] %q: %w", i, fetch.Redact(settings.URL), err)
			continue
		}
		for _, one := range added {
			v.add(one)
		}
		v.configured = append(v.configured, added[0])
	}
	return f
}

func (v *Validator) add(i *issuer) {
	i.owner = v
	v.issuers[i.url] = i
	v.near[nearly(i.url)] = i
	for _, algorithm := range i.algorithms {
		v.algorithms[algorithm] = true
	}
	for _, alias := range i.aliases {
		v.aliases[alias] = i
	}
	if i.settings.Introspection != nil {
		v.introspected = append(v.introspected, i)
	}
}

// issuerOf returns the issuer that iss names, or nil.
func (v *Validator) issuerOf(iss string) *issuer {
	if i := v.issuers[iss]; i != nil {
		return i
	}
	return v.aliases[iss]
}

// sentence puts the package's name before each fault.
func sentence(found faults) error {
	lines := make([]error, len(found))
	for i, fault := range found {
		lines[i] = fmt.Errorf("accesstoken: %w", fault)
	}
	return errors.Join(lines...)
}

// Validate reports whether the credentials are acceptable and, if so, what they
// claim. It is [Validator.Authorize] with a Policy that demands nothing.
func (v *Validator) Validate(ctx context.Context, credentials Credentials) (Claims, error) {
	return v.Authorize(ctx, credentials, Policy{})
}

// Authorize reports whether the credentials are acceptable and satisfy the
// policy, and if so what they claim. Any error is an [*Error]: nobody may be let
// in on it, and one matching [Unavailable] means that validity is unknown, not
// denied. For a token that was verified before it performs no I/O.
func (v *Validator) Authorize(ctx context.Context, credentials Credentials, policy Policy) (Claims, error) {
	found, err := v.authenticate(ctx, credentials, policy.FreshIntrospection)
	if err == nil {
		err = v.allow(found, policy)
	}
	if err != nil {
		return Claims{}, v.report(ctx, found.claims(credentials.text()), v.bind(err, policy, credentials.dpop))
	}
	return found.claims(credentials.text()), nil
}

// Check reports whether claims that this Validator let in before still hold, by the
// clock, and satisfy a further policy; a handler calls it when it knows what is to
// be done, or after a while. Claims that another Validator let in are refused as
// misconfigured. Those of accesstokentest.NewContext pass for any Validator's. The
// error is an [*Error].
func (v *Validator) Check(ctx context.Context, claims Claims, policy Policy) error {
	if claims.facts != nil && !claims.facts.issuer.isOf(v) {
		foreign := refusal(ResourceServerMisconfigured, "these claims were let in by another Validator; call the Check of the one that let them in")
		return v.report(ctx, Claims{}, v.bind(foreign, policy, false))
	}
	err := v.acceptStill(claims.facts)
	if err == nil {
		err = v.allow(claims.facts, policy)
	}
	if err == nil && policy.FreshIntrospection {
		err = refusal(ResourceServerMisconfigured, "FreshIntrospection needs the credentials; set it where the route is set up, or call Authorize")
	}
	if err != nil {
		confirmation, _ := claims.Confirmation()
		return v.report(ctx, claims, v.bind(err, policy, confirmation.KeyThumbprint != ""))
	}
	return nil
}

// Refuse turns any error into the refusal that this Validator's adapters write. An
// error that Authorize or Check returned stays as it is. Every other one is reported
// to OnRefuse: an error of [Deny]; a [Reason] of this package, or an error that wraps
// one, becomes the refusal for that reason; an error that matches [Unavailable] says
// that the handler could not find out, and becomes a 503. Any other error becomes an
// InternalError.
func (v *Validator) Refuse(ctx context.Context, err error) *Error {
	if refused := asError(err); refused != nil && refused.face != nil {
		return refused
	}
	caller, _ := FromContext(ctx)
	return v.report(ctx, caller, v.bind(understand(ctx, err), Policy{}, false))
}

// authenticate finds out whose the credentials are. The order is the order of
// the costs: nothing dear is done for what a cheap look refuses. Beside an error it
// returns facts if they are those of a good token for this resource server, which
// the request may not use: its hooks learn who called.
//
// Key sources, HTTP clients and clocks are somebody else's code: one that
// panics refuses the request.
func (v *Validator) authenticate(ctx context.Context, credentials Credentials, fresh bool) (found *facts, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, because(InternalError, fmt.Errorf("a key source, a clock, an Accept or an HTTP client panicked: %s", panics.Describe(p)))
		}
	}()
	token := credentials.text()
	switch {
	case v.cache == nil:
		return nil, refusal(ResourceServerMisconfigured, "the Validator was not made by NewValidator")
	case v.closed.Load():
		return nil, refusal(KeysUnavailable, "the validator is closed")
	case credentials.Missing():
		return nil, v.fixed[CredentialsMissing]
	case credentials.none:
		return nil, v.fixed[Reason(token)]
	case credentials.dpop && v.face.dpop == nil:
		return nil, v.fixed[SchemeUnsupported]
	case credentials.dpop && credentials.request == nil:
		return nil, refusal(ResourceServerMisconfigured, "a DPoP proof is about a request; give Authorize credentials from CredentialsOf")
	case credentials.dpop && len(credentials.request.Header[proofField]) != 1:
		return nil, v.fixed[DPoPProofInvalid]
	case len(token) > v.maxToken:
		v.adviseOnSize()
		return nil, v.fixed[TokenTooLarge]
	case len(v.introspected) == 0 && strings.IndexByte(token, '.') < 0 && challenge.IsToken68(token):
		v.adviseOnOpaque()
		return nil, v.fixed[TokenMalformed] // no JWT, and nobody to ask
	}
	key := v.cache.KeyOf(token)
	found, err = v.recall(ctx, key)
	if err != nil {
		return nil, err
	}
	cached := found != nil
	if !cached {
		if found, err = v.verify(ctx, token, fresh); err != nil {
			return nil, err
		}
		if err := v.accept(found); err != nil {
			return nil, err
		}
	}
	if err := found.acceptScheme(credentials); err != nil {
		return nil, err
	}
	// Before the issuer is asked, and before a use is remembered.
	if err := found.acceptAudience(); err != nil {
		return nil, err
	}
	if !cached && found.header != nil {
		v.cache.Put(key, found, found.compact(v.shared))
	}
	if found.isPartial() {
		if found, err = v.complete(ctx, key, found, credentials, fresh); err != nil {
			return nil, err
		}
	}
	if err := v.acceptSender(ctx, found, credentials); err != nil {
		return found, err
	}
	return found, found.issuer.accept(ctx, found, token)
}

// recall returns the facts about a token that was verified before, if they
// still hold. Nil facts without an error mean that it has to be verified.
func (v *Validator) recall(ctx context.Context, key tokencache.Key) (*facts, error) {
	found, ok := v.cache.Get(key).(*facts)
	if !ok {
		return nil, nil
	}
	if err := v.accept(found); err != nil {
		v.cache.Drop(key) // a token that has ended stays ended
		return nil, err
	}
	holds, err := found.keyHolds(ctx)
	if err != nil {
		return nil, err
	}
	if !holds {
		v.cache.Drop(key)
		return nil, nil
	}
	return found, nil
}

// accept judges facts by the clock, on every request.
func (v *Validator) accept(found *facts) error {
	now := v.now()
	switch {
	case !found.expiry.IsZero() && !now.Before(found.expiry.Add(v.leeway)):
		return v.fixed[TokenExpired]
	case now.Before(found.notBefore) && now.Add(v.leeway).Before(found.notBefore):
		return refusal(TokenNotYetValid, "nbf lies in the future")
	case now.Before(found.issuedAt) && now.Add(v.leeway).Before(found.issuedAt):
		return refusal(TokenNotYetValid, "iat lies in the future")
	}
	return found.acceptAge(now, v.leeway)
}

// acceptStill judges facts that somebody has kept. A clock that panics refuses.
func (v *Validator) acceptStill(found *facts) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = because(InternalError, fmt.Errorf("a clock panicked: %s", panics.Describe(p)))
		}
	}()
	if found == nil { // which allow refuses
		return nil
	}
	return v.accept(found)
}

// allow judges what somebody is allowed to by a policy.
func (v *Validator) allow(f *facts, policy Policy) error {
	// Claims of nobody satisfy nothing, not even a policy that demands nothing:
	// a handler that forgets to look at FromContext's ok must not let them in.
	if f == nil {
		return refusal(CredentialsMissing, "these claims come from no token")
	}
	if err := policy.Scopes.Err(); err != nil {
		return because(ResourceServerMisconfigured, err)
	}
	if (policy.SenderConstrained || v.constrained) && !f.isBound() {
		return refusal(BindingRequired, "the policy demands a token that is bound to a key or a certificate")
	}
	if !policy.Scopes.MetBy(f.implied) {
		return refusal(ScopeInsufficient, "the policy demands "+policy.Scopes.String())
	}
	return nil
}

// bind gives a refusal the face of this Validator, the scheme that the client used
// and, where a wider or a first token would help, the scopes to ask for: all that the
// policy needs, whatever the token had (RFC 6750 §3.1).
func (v *Validator) bind(err error, policy Policy, usedDPoP bool) *Error {
	refused := asError(err)
	if refused == nil {
		refused = because(InternalError, err)
	}
	scope := ""
	switch refused.Reason {
	case ScopeInsufficient, CredentialsMissing, SchemeUnsupported:
		scope = policy.Scopes.Scopes().String()
	}
	if refused.face == v.face && refused.scope == scope && refused.dpop == usedDPoP {
		return refused
	}
	bound := *refused
	bound.face, bound.scope, bound.dpop = v.face, scope, usedDPoP
	return &bound
}

// report tells the log, at Debug, and the hook, whose context has the claims of the
// caller while it runs, if the caller is known. A hook that panics refuses the
// request, as any error on the way does.
func (v *Validator) report(ctx context.Context, caller Claims, refused *Error) (reported *Error) {
	if v.logger != nil && v.logger.Enabled(ctx, slog.LevelDebug) {
		v.logger.LogAttrs(ctx, slog.LevelDebug, "accesstoken: refused a request",
			slog.String("reason", string(refused.Reason)), slog.Any("why", refused)) // slog guards what it calls
	}
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
			v.complain.Do(func() {
				v.logger.ErrorContext(ctx, "accesstoken: OnRefuse panicked; this is said once", "panic", panics.Describe(p))
			})
			reported = v.fixed[InternalError]
		}
	}()
	v.onRefuse(ctx, refused)
	return refused
}

// Warm fetches what a first request would need: the metadata and the keys of
// every issuer, of at most 16 issuers at once. It is optional. The error joins an
// [*IssuerError] for each issuer whose keys could not be had; the Validator works
// all the same, and tries again when a token comes.
func (v *Validator) Warm(ctx context.Context) error {
	return v.eachIssuer(func(i *issuer) error { return i.warm(ctx) })
}

// Ready returns nil once every issuer without ReadyWithout can be used: its keys
// are there, or it can be asked about its tokens. Otherwise it joins an
// [*IssuerError] for each one that cannot. It does not wait, but sees to it that
// what is missing is fetched, from all those issuers at once; a program with many
// should call Warm first.
func (v *Validator) Ready() error {
	if v.closed.Load() {
		return errors.New("accesstoken: the validator is closed")
	}
	return v.eachIssuer((*issuer).ready)
}

// mostAtOnce is how many issuers are asked at once.
const mostAtOnce = 16

func (v *Validator) eachIssuer(do func(*issuer) error) error {
	failed := make([]error, len(v.configured))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(mostAtOnce, len(v.configured)) {
		wait.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(v.configured); n = int(next.Add(1)) - 1 {
				failed[n] = guarded(do, v.configured[n])
			}
		})
	}
	wait.Wait()
	var found faults
	for n, err := range failed {
		if err != nil {
			found = append(found, &IssuerError{Issuer: v.configured[n].settings.URL, Err: err})
		}
	}
	return sentence(found)
}

// guarded calls what may be somebody else's code.
func guarded(do func(*issuer) error, i *issuer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the key source panicked: %s", panics.Describe(p))
		}
	}()
	return do(i)
}

// Close ends every goroutine and timer that the Validator started and waits for
// them. Afterwards every request is refused with KeysUnavailable. Closing twice
// is fine.
func (v *Validator) Close() error {
	v.closed.Store(true)
	var failed []error
	for _, i := range v.configured {
		failed = append(failed, i.close())
	}
	if v.cache != nil {
		v.cache.Clear()
	}
	return errors.Join(failed...)
}

// opaqueIssuer returns the one issuer that an opaque token may be shown to, by
// configuration, or nil.
func (v *Validator) opaqueIssuer(token string) *issuer {
	for _, i := range v.introspected {
		if strings.HasPrefix(token, i.settings.TokenPrefix) {
			return i
		}
	}
	return nil
}
