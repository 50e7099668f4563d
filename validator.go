package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/binding"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// cacheBytes is the most memory that cached facts take, as compact estimates it.
const cacheBytes = 64 << 20

// A Validator decides whether credentials are valid and sufficient. Make one with
// [NewValidator], share it between all transports, and Close it at the end. It is
// safe for concurrent use.
type Validator struct {
	roster      atomic.Pointer[roster]
	config      Config // without Issuers
	implied     hierarchy
	changing    sync.Mutex     // held by SetIssuers and Close
	background  sync.WaitGroup // closes the caches of removed issuers
	leeway      time.Duration
	maxToken    int    // in bytes
	tooLarge    string // the warning about a larger token
	now         func() time.Time
	logger      *slog.Logger
	onRefuse    func(context.Context, *Error)
	face        *face
	proxies     binding.Proxies
	constrained bool              // every token must be bound
	fixed       map[Reason]*Error // refusals whose detail is always the same, made once
	cache       *tokencache.Cache
	shared      *shared
	headers     jose.Headers
	complain    sync.Once // logs once that OnRefuse panicked
	warnings    warnings  // warnings that are not about a single issuer
	closed      atomic.Bool
}

// NewValidator checks the Config and makes a Validator. It does no I/O: metadata and
// keys are fetched by [Validator.Warm] or [Validator.Ready], or when the first token
// needs them. If the Config has faults, the error has one line for each of them.
func NewValidator(config Config) (*Validator, error) {
	config = config.clone()
	found := config.faults()
	v := &Validator{
		config:   config,
		implied:  newHierarchy(config.ScopeImplies),
		leeway:   config.leeway(),
		maxToken: config.maxToken(),
		now:      config.Now,
		logger:   config.Logger,
		onRefuse: config.OnRefuse,
		face:     &face{realm: config.realm(), field: http.CanonicalHeaderKey(config.TokenField), dpop: config.DPoP},
		fixed:    map[Reason]*Error{},

		proxies:     config.ForwardedCertificate.proxies(),
		constrained: config.FAPI2,

		cache:  tokencache.New(cacheBytes),
		shared: newShared(),
	}
	v.config.Issuers = nil
	v.roster.Store(newRoster(nil))
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
	if field := v.face.field; field != "" {
		v.fixed[CredentialsMissing].detail = "the request has no field " + field
		v.fixed[CredentialsMalformed].detail = "expected a bare token, without a scheme, in the field " + field
		v.fixed[CredentialsAmbiguous].detail = "expected one field " + field + "; the request has several"
	}
	v.tooLarge = fmt.Sprintf("a token has more than %d bytes", v.maxToken)
	v.fixed[TokenTooLarge].detail = fmt.Sprintf("expected at most %d bytes; Config.MaxTokenSize allows up to %d", v.maxToken, mostTokenSize)
	if len(found) > 0 {
		return nil, joinFaults(found)
	}
	if err := v.change(config); err != nil {
		_ = v.Close()
		return nil, err
	}
	return v, nil
}

// joinFaults joins the faults, each with the package's name before it.
func joinFaults(found faults) error {
	lines := make([]error, len(found))
	for i, fault := range found {
		lines[i] = fmt.Errorf("accesstoken: %w", fault)
	}
	return errors.Join(lines...)
}

// Warm fetches what the first requests would wait for: the metadata and the keys of
// every issuer, at most 16 issuers at once. Calling it is optional. If keys cannot
// be fetched, the error joins an [*IssuerError] for each such issuer, unless its
// tokens can be introspected instead. The Validator can be used all the same, and
// tries again when a token comes.
func (v *Validator) Warm(ctx context.Context) error {
	return v.eachIssuer(func(i *issuer) error { return i.warm(ctx) })
}

// Ready returns nil if every issuer without ReadyWithout can be used: its keys are
// there, or its tokens can be introspected instead. If not, the error joins an
// [*IssuerError] for each issuer that cannot. After Close there is always an error.
// Ready does not wait, but starts the fetches of needed keys, all at once. If you
// have many issuers, you should call Warm first.
func (v *Validator) Ready() error {
	if v.closed.Load() {
		return errors.New("accesstoken: the validator is closed")
	}
	return v.eachIssuer((*issuer).ready)
}

// mostAtOnce is the most issuers that are asked at once.
const mostAtOnce = 16

func (v *Validator) eachIssuer(do func(*issuer) error) error {
	groups := v.roster.Load().groups
	failed := make([]error, len(groups))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(mostAtOnce, len(groups)) {
		wait.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(groups); n = int(next.Add(1)) - 1 {
				failed[n] = guarded(do, groups[n].members[0])
			}
		})
	}
	wait.Wait()
	var found faults
	for n, err := range failed {
		if err != nil {
			found = append(found, &IssuerError{Issuer: groups[n].given.URL, Err: err})
		}
	}
	return joinFaults(found)
}

// guarded recovers if a key source panics, because it may be the application's code.
func guarded(do func(*issuer) error, i *issuer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the key source panicked: %s", panics.Describe(p))
		}
	}()
	return do(i)
}

// Close ends every goroutine and timer that the Validator started, and waits for
// them. If an issuer's have not ended after 5 s, it returns an error. Afterwards
// every request is refused with KeysUnavailable. Close may be called twice.
func (v *Validator) Close() error {
	v.changing.Lock()
	defer v.changing.Unlock()
	v.closed.Store(true)
	var failed []error
	if r := v.roster.Load(); r != nil {
		for _, g := range r.groups {
			failed = append(failed, g.close())
		}
	}
	v.background.Wait()
	if v.cache != nil {
		v.cache.Clear()
	}
	return errors.Join(failed...)
}
