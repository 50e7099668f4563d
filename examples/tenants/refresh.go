package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
)

// A refresher keeps the issuers of a Validator as the table of tenants has them. It is
// safe for concurrent use.
type refresher struct {
	store     *store
	config    accesstoken.Config // its Issuers are in use beside those of the tenants
	validator *accesstoken.Validator

	mu      sync.Mutex // held during a refresh
	version int64      // of the rows that were read last
	fault   error      // why they are not in use, or nil
	inUse   map[string]served
	issuers atomic.Pointer[directory]
}

// served is a tenant in use, with the Issuer that was made of its row.
type served struct {
	tenant
	Issuer accesstoken.Issuer
}

// A directory finds the issuer of a tenant, by what a request is about.
type directory struct{ byID, byHost map[string]string }

// newRefresher makes the Validator, with the tenants that are in the database now. The
// caller closes the Validator.
func newRefresher(ctx context.Context, s *store, config accesstoken.Config) (*refresher, error) {
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		return nil, err
	}
	r := &refresher{store: s, config: config, validator: v}
	if err := r.refresh(ctx); err != nil {
		_ = v.Close()
		return nil, err
	}
	return r, nil
}

// ofHost returns the issuer of the tenant that has the host, or "" if none has it.
func (r *refresher) ofHost(host string) string { return r.issuers.Load().byHost[host] }

// ofID returns the issuer of the tenant with the id, or "" if there is no such tenant.
func (r *refresher) ofID(id string) string { return r.issuers.Load().byID[id] }

// follow refreshes at each tick until ctx ends. A failure is logged, once if it lasts.
func (r *refresher) follow(ctx context.Context, ticks <-chan time.Time) {
	logged := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		now := ""
		if err := r.refresh(ctx); err != nil {
			now = err.Error()
		}
		if now != "" && now != logged && ctx.Err() == nil {
			r.config.Logger.Error("could not refresh the tenants; those in use stay", "error", now)
		}
		logged = now
	}
}

// refresh puts the tenants of the database into use, if a row has changed. If it returns
// nil, the tokens of a tenant that is not in the database are refused from now on.
func (r *refresher) refresh(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	version, err := r.store.version(ctx) // first: a change that comes now is found at the next tick
	if err != nil {
		return err
	}
	if version == r.version {
		return r.fault
	}
	rows, err := r.store.tenants(ctx)
	if err != nil {
		return err
	}
	r.version, r.fault = version, r.use(rows)
	return r.fault
}

// use puts the rows into use. If one is broken, its tenant stays as it was, and the other
// rows count. If rows contradict each other, every tenant stays as it was.
func (r *refresher) use(rows []tenant) error {
	next, issuers := map[string]served{}, slices.Clone(r.config.Issuers)
	found := &directory{map[string]string{}, map[string]string{}}
	for _, row := range rows {
		now, ok := r.successor(row)
		if !ok {
			continue
		}
		if found.byHost[now.host] != "" { // of a tenant that stays as it was
			return fmt.Errorf("two tenants have the host %q", now.host)
		}
		next[now.id], issuers = now, append(issuers, now.Issuer)
		found.byID[now.id], found.byHost[now.host] = now.issuer, now.issuer
	}
	if err := r.validator.SetIssuers(issuers...); err != nil {
		return err
	}
	r.inUse = next
	r.issuers.Store(found)
	return nil
}

// successor returns what a row puts into use: the same as before if the row is the same
// or broken, and nothing if the row is new and broken.
func (r *refresher) successor(row tenant) (served, bool) {
	old, ok := r.inUse[row.id]
	same := old.tenant
	same.host = row.host // which the Issuer does not have
	if ok && same == row {
		return served{row, old.Issuer}, true // the same Introspection too, with the answers that it has cached
	}
	issuer, err := r.build(row)
	if err != nil {
		r.config.Logger.Error("the row of a tenant is broken and changes nothing", "tenant", row.id, "error", err)
		return old, ok
	}
	return served{row, issuer}, true
}

// build makes the Issuer of a row, and checks it as NewValidator does, without any I/O.
// While a tenant's issuer is down, the product is still ready for the other tenants.
func (r *refresher) build(t tenant) (accesstoken.Issuer, error) {
	issuer := accesstoken.Issuer{URL: t.issuer, Name: t.id, ReadyWithout: true}
	if t.introspect != "" {
		client, err := introspection.NewClient(introspection.Config{
			Endpoint: t.introspect, ClientID: t.clientID, Issuer: t.issuer,
			ClientSecretFrom: r.secretOf(t), CacheFor: 2 * time.Minute, HTTPClient: r.config.HTTPClient,
		})
		if err != nil {
			return issuer, err
		}
		issuer.Introspection, issuer.TokenPrefix = client, t.id+"_"
	}
	config := r.config
	config.Issuers = append(slices.Clone(config.Issuers), issuer)
	config.Logger = slog.New(slog.DiscardHandler) // SetIssuers logs what is to be said
	trial, err := accesstoken.NewValidator(config)
	if err != nil {
		return issuer, err
	}
	return issuer, trial.Close()
}

// secretOf returns a function that reads the secret when it is first needed, and again
// when the endpoint refuses it. So a new secret in the row is used without a restart, and
// the secret is in memory only if the tenant's tokens are looked up.
func (r *refresher) secretOf(t tenant) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		secret, err := r.store.secret(ctx, t)
		if err != nil {
			r.config.Logger.Error("could not read the client secret of a tenant", "tenant", t.id, "error", err)
		}
		return secret, err
	}
}
