package accesstoken

import (
	"context"
	"errors"
	"fmt"

	"github.com/accesstoken/accesstoken/internal/panics"
)

// authenticateOwn asks Config.Authenticate about a request that has no token, and returns
// the facts about the caller. refused is why there is no token: if it is not that the
// request brought no credentials at all, the request stays refused.
func (v *Validator) authenticateOwn(ctx context.Context, credentials Credentials, refused error, c *course) (*facts, error) {
	switch {
	case !errors.Is(refused, CredentialsMissing), v.config.Authenticate == nil:
		return nil, refused
	case credentials.request == nil:
		return nil, refusal(CredentialsMissing, "Authenticate could not be called, because the credentials have no request; make them with Validator.CredentialsOf")
	}
	identity, err := v.callAuthenticate(ctx, credentials)
	switch {
	case err != nil:
		return nil, understand(ctx, err)
	case identity.isZero():
		return nil, refused
	}
	c.source = fromVouched
	return v.vouch(identity)
}

// callAuthenticate calls Config.Authenticate. If it panics, the error is an InternalError.
func (v *Validator) callAuthenticate(ctx context.Context, credentials Credentials) (identity Identity, err error) {
	defer func() {
		if p := recover(); p != nil {
			identity, err = Identity{}, wrapError(InternalError, fmt.Errorf("the hook Authenticate panicked: %s", panics.Describe(p)))
		}
	}()
	return v.config.Authenticate(ctx, credentials.request)
}

// authenticates reports whether requests without a token may have a caller.
func (v *Validator) authenticates() bool { return v.family != nil && v.config.Authenticate != nil }
