package accesstoken

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
)

// PolicyErr returns nil if a route can be set up with the Policy and this Validator. It is
// [Policy.Err], and what depends on the Config: MaxAuthAge must not be less than Leeway,
// because a fresh login could then be too old already, and policies that And combined must
// have an ACR in common. Adapters call it when a route is set up.
func (v *Validator) PolicyErr(policy Policy) error {
	if v.family == nil {
		return errUnmade
	}
	if err := policy.Err(); err != nil {
		return err
	}
	if err := v.loginErr(policy); err != nil {
		return err
	}
	if v.demandsACR(policy) && v.weakestACR(policy) == nil {
		return errNoACR
	}
	return v.detailTypesErr(policy)
}

// loginErr reports what is wrong with the demands on the login under this Config.
func (v *Validator) loginErr(p Policy) error {
	if err := p.loginErr(); err != nil {
		return err
	}
	if p.MaxAuthAge != 0 && p.MaxAuthAge < v.leeway {
		return fmt.Errorf("accesstoken: MaxAuthAge is %v, less than the Leeway of %v, so that a fresh login may be too old already; set at least the Leeway", p.MaxAuthAge, v.leeway)
	}
	return nil
}

var errNoACR = errors.New("accesstoken: the policies that And combined have no ACR in common, also not by Config.ACROrder")

func (v *Validator) demandsACR(p Policy) (demands bool) {
	p.eachLogin(func(acr, _ []string) { demands = demands || acr != nil })
	return demands
}

// checkLogin checks how and when the user authenticated (RFC 9470). A challenge would make
// the client ask the user to log in again, so it is not sent if no login can help.
func (v *Validator) checkLogin(f *facts, p Policy) error {
	if err := v.loginErr(p); err != nil {
		return wrapError(ResourceServerMisconfigured, err)
	}
	if f.withoutUser {
		return refusal(PolicyDenied, "the policy demands a login, and the client acts for itself")
	}
	login := f.login
	if login == nil {
		login = new(jose.Login)
	}
	if !v.meetsACR(p, login.Class) {
		if v.weakestACR(p) == nil {
			return wrapError(ResourceServerMisconfigured, errNoACR)
		}
		if login.BadClass {
			return f.issuer.warnings.refuse(refusal(StepUpRequired, "acr is not a string, is empty, or is not the same in the introspection answer"),
				"have the issuer write one acr, as a string (OpenID Connect Core §2)")
		}
		return f.stepUp("acr", login.Class == "", "acr is not among those that the policy accepts")
	}
	if p.MaxAuthAge != 0 {
		if err := v.checkLoginAge(f, login, p.MaxAuthAge); err != nil {
			return err
		}
	}
	return f.checkMethods(login, p)
}

// stepUp refuses a token whose login is not enough. If the claim is absent, the operator is
// told, because a new login may not help.
func (f *facts) stepUp(claim string, isAbsent bool, detail string) error {
	if !isAbsent {
		return refusal(StepUpRequired, detail)
	}
	return f.issuer.warnings.refuse(refusal(StepUpRequired, "the token has no "+claim+", which the policy demands"),
		"have the issuer put "+claim+" into access tokens (RFC 9068 §2.2.1); without it, clients log their users in again and again")
}

// checkLoginAge checks auth_time. A time in the future satisfies nothing, because it may be
// in milliseconds.
func (v *Validator) checkLoginAge(f *facts, login *jose.Login, oldest time.Duration) error {
	now, err := v.clock()
	switch {
	case err != nil:
		return err
	case login.Unreadable || now.Add(v.leeway).Before(login.Time):
		return f.issuer.warnings.refuse(refusal(StepUpRequired, "auth_time is in the future, or is no date"),
			"have the issuer write auth_time in seconds since 1970 (OpenID Connect Core §2)")
	case login.Time.IsZero():
		return f.stepUp("auth_time", true, "")
	case now.Truncate(time.Second).Sub(login.Time) > oldest: // in whole seconds, as authorization servers count
		return refusal(StepUpRequired, "the login is older than MaxAuthAge")
	}
	return nil
}

// clock reads the clock, which may be the application's and panic.
func (v *Validator) clock() (now time.Time, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = wrapError(InternalError, fmt.Errorf("a clock panicked: %s", panics.Describe(p)))
		}
	}()
	return v.now(), nil
}

// checkMethods checks amr. RFC 9470 has no parameter for it, so there is no challenge.
func (f *facts) checkMethods(login *jose.Login, p Policy) (err error) {
	p.eachLogin(func(_, amr []string) {
		if amr != nil && !slices.ContainsFunc(amr, func(method string) bool { return slices.Contains(login.Methods, method) }) {
			err = refusal(PolicyDenied, "amr has none of the methods that the policy accepts")
		}
	})
	return err
}

// meetsACR reports whether an acr satisfies all policies that And combined.
func (v *Validator) meetsACR(p Policy, class string) (meets bool) {
	meets = true
	p.eachLogin(func(acr, _ []string) { meets = meets && (acr == nil || v.isStrongEnough(acr, class)) })
	return meets
}

// isStrongEnough reports whether an acr is listed, or is stronger than a listed one by
// ACROrder.
func (v *Validator) isStrongEnough(listed []string, class string) bool {
	if slices.Contains(listed, class) {
		return true
	}
	strength := slices.Index(v.config.ACROrder, class)
	return slices.ContainsFunc(listed, func(weaker string) bool {
		at := slices.Index(v.config.ACROrder, weaker)
		return at >= 0 && at < strength
	})
}

// weakestACR returns the values for acr_values: of those in ACROrder the weakest that
// satisfies the policy, and all others that do.
func (v *Validator) weakestACR(p Policy) (values []string) {
	ranked := slices.IndexFunc(v.config.ACROrder, func(class string) bool { return v.meetsACR(p, class) })
	p.eachLogin(func(acr, _ []string) {
		for _, class := range acr {
			at := slices.Index(v.config.ACROrder, class)
			if (at < 0 || at == ranked) && v.meetsACR(p, class) && !slices.Contains(values, class) {
				values = append(values, class)
			}
		}
	})
	return values
}

// loginParams returns acr_values and max_age of a challenge (RFC 9470 §3), which satisfy the
// whole policy.
func (v *Validator) loginParams(p Policy) (acrValues, maxAge string) {
	if v.demandsACR(p) {
		acrValues = strings.Join(v.weakestACR(p), " ")
	}
	if p.MaxAuthAge != 0 {
		maxAge = strconv.FormatInt(int64(p.MaxAuthAge/time.Second), 10)
	}
	return acrValues, maxAge
}
