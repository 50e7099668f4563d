package accesstoken

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// cacheBytes is the most memory that cached facts take, as compact estimates it.
const cacheBytes = 64 << 20

// A Validator decides whether credentials are valid and sufficient. Make one with
// [NewValidator], share it between all transports, and Close it at the end. It is
// safe for concurrent use.
type Validator struct {
	*family
	face  *face
	fixed map[Reason]*Error // refusals whose detail is always the same, made once
	aims  *Resource         // of ForResource; nil: those of the Config

	published *publication // nil without Metadata
	trail     *trail       // of an Explain; nil: decisions are not explained
	self      *self

	place     int               // of its counters in the ledger
	transport carried.Transport // of the requests that this view is for
	watching  bool              // this view is for looks at open streams
}

// NewValidator checks the Config and makes a Validator. It does no I/O: metadata and
// keys are fetched by [Validator.Warm] or [Validator.Ready], or when the first token
// needs them. If the Config has faults, the error has one line for each of them.
func NewValidator(config Config) (*Validator, error) {
	config = config.clone()
	found := config.faults()
	v := &Validator{self: new(self), family: &family{
		config:   config,
		implied:  newHierarchy(config.ScopeImplies),
		leeway:   config.leeway(),
		maxToken: config.maxToken(),
		now:      config.Now,
		logger:   config.Logger,
		onRefuse: config.OnRefuse,

		proxies:     config.ForwardedCertificate.proxies(),
		constrained: config.FAPI2,

		cache:  tokencache.New(cacheBytes),
		shared: newShared(),

		resolved: map[KeySource]*group{},
	}}
	v.place = v.ledger.place(config.Resource)
	v.ledger.removed.name = nameRemoved
	v.config.Issuers = nil
	v.original = v.family
	v.resolver = v.newResolver(config.ResolveIssuer)
	v.roster.Store(newRoster(nil))
	if v.now == nil {
		v.now = time.Now
	}
	if v.logger == nil {
		v.logger = slog.Default()
	}
	v.warnings.logger = v.logger
	v.tooLarge = fmt.Sprintf("a token has more than %d bytes", v.maxToken)
	shown := &face{realm: config.realm(), field: http.CanonicalHeaderKey(config.TokenField), dpop: config.DPoP, remediate: config.DraftRARMetadataRemediation}
	published, wrong := publish("Metadata", config.Resource, config.Metadata, shown, config)
	v.show(shown, published)
	if found = append(found, wrong...); len(found) > 0 {
		return nil, joinFaults(found)
	}
	if err := v.change(config); err != nil {
		_ = v.Close()
		return nil, err
	}
	published.advise(v.family)
	return v, nil
}

// A self is what a Validator shares with its views.
type self struct {
	closed atomic.Bool
	views  [carried.Transports][2]atomic.Pointer[Validator] // by transport, and by whether they watch
}

// over returns a view of the Validator, which decides as v does. What it decides is
// reported with the transport. If watching is true, it reports nothing but what is passed
// to its Refuse, as the end of a stream.
func (v *Validator) over(transport carried.Transport, watching bool) *Validator {
	if v.self == nil { // it was not made by NewValidator
		return v
	}
	which := 0
	if watching {
		which = 1
	}
	place := &v.self.views[transport][which]
	if view := place.Load(); view != nil {
		return view
	}
	view := *v
	view.place += int(transport - v.transport)
	view.transport, view.watching = transport, watching
	place.CompareAndSwap(nil, &view)
	return place.Load()
}

// show sets the face and the metadata, and makes the refusals that are always the same.
func (v *Validator) show(f *face, published *publication) {
	if published != nil {
		f.metadata = published.url
	}
	v.face, v.published, v.fixed = f, published, map[Reason]*Error{}
	for reason := range outcomes {
		v.fixed[reason] = &Error{Reason: reason, detail: details[reason], face: f}
	}
	if f.field != "" {
		v.fixed[CredentialsMissing].detail = "the request has no field " + f.field
		v.fixed[CredentialsMalformed].detail = "expected a bare token, without a scheme, in the field " + f.field
		v.fixed[CredentialsAmbiguous].detail = "expected one field " + f.field + "; the request has several"
	}
	v.fixed[TokenTooLarge].detail = fmt.Sprintf("expected at most %d bytes; Config.MaxTokenSize allows up to %d", v.maxToken, mostTokenSize)
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
	if v.family == nil {
		return errUnmade
	}
	return v.eachIssuer(func(i *issuer) error { return i.warm(ctx) })
}

// Ready returns nil if every issuer without ReadyWithout can be used: its keys are
// there, or its tokens can be introspected instead. If not, the error joins an
// [*IssuerError] for each issuer that cannot. After Close there is always an error.
// Ready does not wait, but starts the fetches of needed keys, all at once. If you
// have many issuers, you should call Warm first.
func (v *Validator) Ready() error {
	if err := v.err(); err != nil {
		return err
	}
	return v.eachIssuer((*issuer).ready)
}

var (
	errUnmade = errors.New("accesstoken: the Validator was not made by NewValidator")
	errClosed = errors.New("accesstoken: the validator is closed")
)

// err returns why the Validator cannot be used, or nil.
func (v *Validator) err() error {
	switch {
	case v.family == nil:
		return errUnmade
	case v.isClosed():
		return errClosed
	}
	return nil
}

// isClosed reports whether the Validator, or the one that it comes from, was closed.
func (v *Validator) isClosed() bool {
	return v.self.closed.Load() || v.ended.Load()
}

// SetIssuers replaces Config.Issuers while the Validator is in use: all at once, or, with
// one line for each fault, not at all. It does no I/O.
//
// If an issuer has gone, its tokens are refused from the return of SetIssuers
// on, cached or not, [Validator.Check] refuses its claims with IssuerUnknown, and its open
// streams end. An issuer that stays loses nothing that did not change:
//
//   - If its URL, Name, MetadataURL, JWKSURI, Keys, HTTPClient and DangerouslyAllowHTTP are
//     the same, it keeps its keys.
//   - If nothing has changed but Accept, Audience, SingleAudience, MaxAge, MaxLifetime,
//     ReadyWithout or DangerouslyAcceptNoAudience, its cached tokens stay verified, and its
//     open streams go on. The next request is judged by the new settings.
//   - If anything else has changed, its tokens are verified anew, and Check refuses
//     earlier claims.
//
// Values are compared, also those of a Dialect. Keys, HTTPClient and Introspection are the
// same if they are the same pointer. Tenants of Entra ID are compared one by one.
// SetIssuers may be called at the same time as any other method. Validators of ForResource
// share their issuers: it is the same which of them is told.
func (v *Validator) SetIssuers(issuers ...Issuer) error {
	if v.family == nil {
		return errUnmade
	}
	config := v.config
	config.Issuers = issuers
	config = config.clone()
	if found := config.faults(); len(found) > 0 {
		return joinFaults(found)
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	if v.isClosed() {
		return errClosed
	}
	return v.change(config)
}

// ForResource returns a Validator for another resource server in the same program. The two
// share issuers, keys, verified tokens, introspection and hooks, so a token for both is
// verified once. Each accepts only tokens for its own audience, also by Check. If the
// Resource has faults, the error has one line for each of them.
func (v *Validator) ForResource(r Resource) (*Validator, error) {
	if err := v.err(); err != nil {
		return nil, err
	}
	r.Audience, r.IssuerAudience = slices.Clone(r.Audience), cloneLists(r.IssuerAudience)
	shown := &face{realm: r.realm(), field: v.face.field, dpop: cmp.Or(r.DPoP, v.config.DPoP), remediate: v.face.remediate}
	published, wrong := publish("Resource.Metadata", r.ID, r.Metadata, shown, v.config)
	if found := append(r.faults(v.config), wrong...); len(found) > 0 {
		return nil, joinFaults(found)
	}
	r.Audience = firstSet(r.Audience, []string{r.ID})
	child := &Validator{self: new(self), family: v.family, aims: &r, place: v.ledger.place(r.ID)}
	child.show(shown, published)
	v.resources.add(&r)
	published.advise(v.family)
	return child, nil
}

// ResourceMetadata returns the URL of this resource server's metadata, and the document
// (RFC 9728). It lists the issuers that a client can get an access token from: those of
// Issuers with an https URL whose credentials are access tokens, each tenant of Entra ID,
// and no alias. If the list would make the document longer than 64 KiB, it is left out.
// Do not change the document, which is the same slice until SetIssuers is called. Without
// Metadata, ResourceMetadata returns "" and nil. Package resourcemetadata has the handler
// that serves it.
func (v *Validator) ResourceMetadata() (url string, document []byte) {
	if v.family == nil || v.published == nil {
		return "", nil
	}
	return v.published.url, v.published.document(v.family)
}

// resource is the identifier of the resource server.
func (v *Validator) resource() string {
	if v.aims != nil {
		return v.aims.ID
	}
	return v.config.Resource
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
// every request is refused with KeysUnavailable. Close may be called twice. Validators of
// ForResource are closed with the one that made them; closing one of them closes it alone.
func (v *Validator) Close() error {
	if v.family == nil {
		return nil
	}
	v.self.closed.Store(true)
	if v.aims != nil {
		v.resources.drop(v.aims)
		return nil
	}
	v.ended.Store(true)
	v.changing.Lock()
	defer v.changing.Unlock()
	groups := v.roster.Load().groups
	failed := make([]error, len(groups))
	for n, g := range groups { // all at once, because each may take 5 s
		v.background.Go(func() { failed[n] = g.close() })
	}
	if v.resolver != nil {
		v.resolver.Close()
	}
	v.background.Wait()
	v.cache.Clear()
	return errors.Join(failed...)
}
