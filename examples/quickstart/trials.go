package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
	"github.com/accesstoken/accesstoken/examples/quickstart/page"
)

// The rows of the outcome matrix that the trials end in.
var (
	passes       = page.Want{Status: 200, Code: "OK"}
	noToken      = page.Want{Status: 401, Challenge: true, Scope: "files:read", Code: "UNAUTHENTICATED", Reason: "CREDENTIALS_MISSING"}
	invalid      = page.Want{Status: 401, Challenge: true, Error: "invalid_token", Code: "UNAUTHENTICATED", Reason: "TOKEN_INVALID"}
	expired      = page.Want{Status: 401, Challenge: true, Error: "invalid_token", Code: "UNAUTHENTICATED", Reason: "TOKEN_EXPIRED"}
	inactive     = page.Want{Status: 401, Challenge: true, Error: "invalid_token", Code: "UNAUTHENTICATED", Reason: "TOKEN_INACTIVE"}
	insufficient = page.Want{Status: 403, Challenge: true, Error: "insufficient_scope", Scope: "files:write", Code: "PERMISSION_DENIED", Reason: "SCOPE_INSUFFICIENT"}
	unavailable  = page.Want{Status: 503, Retry: true, Code: "UNAVAILABLE", Reason: "INTROSPECTION_UNAVAILABLE"}
)

// A trial fills in what came of it.
type trial struct {
	name, title, how, why string
	run                   func(*demo, context.Context, *page.Trial) error
}

var trials = []trial{
	{
		"missing", "No token",
		"The request carries no Authorization at all.",
		"Nobody claimed anything, so there is nothing to call invalid: the challenge says which scheme to use and which scope to ask for, and names no error.",
		(*demo).withoutToken,
	},
	{
		"expired", "Expired token",
		"A switch in the authorization server dates this one token back by an hour, so nobody has to wait; signature, issuer and audience are genuine.",
		"exp has passed, and the 30 seconds of leeway with it; the client should get a new token.",
		(*demo).withExpired,
	},
	{
		"scope", "Missing scope",
		"A good token with files:read is used to delete a file.",
		"The token is good and the right is missing: 403 and the scope to ask for, not 401.",
		(*demo).withoutScope,
	},
	{
		"idtoken", "ID token in place of the access token",
		"Alice signs in at the guest book, and her ID token is sent to the drive. Same issuer, same key, genuine signature.",
		"An ID token tells a client who signed in; it is no permission to read a drive.",
		(*demo).withIDToken,
	},
	{
		"audience", "Token for another resource server",
		"A good token for the drive is sent to a calendar that trusts the same issuer.",
		"aud names the drive, so a resource server that gets hold of the token cannot use it elsewhere.",
		(*demo).elsewhere,
	},
	{
		"signature", "Tampered signature",
		"One character in the middle of a good token's signature is another one.",
		"The signature does not fit the key that the token names.",
		(*demo).withTamperedSignature,
	},
	{
		"none", "alg: none",
		"A good token's claims, with a header that says alg: none and an empty signature.",
		"Which algorithms count is the drive's configuration; the token has no say.",
		(*demo).withAlgNone,
	},
	{
		"rotated", "Key rotated away",
		"The issuer makes a new key and withdraws the old one. A new token makes the drive fetch the key set again. A second answer without the old key, 5 s later, confirms that it is gone; then the old token is sent.",
		"The key that signed it is no longer the issuer's, so neither is the token, cached or not.",
		(*demo).withWithdrawnKey,
	},
	{
		"down", "Issuer down",
		"The authorization server cuts every connection while the drive must ask it about an opaque token; then it comes back.",
		"Nobody could find out, and that is not the token's fault: 503 and a time to retry, never invalid_token, so nobody is logged out.",
		(*demo).withIssuerDown,
	},
	{
		"revoked", "Token revoked (opaque)",
		"The client revokes its token at the revocation endpoint (RFC 7009).",
		"The introspection endpoint says that the token is not active; it does not say why.",
		(*demo).withRevoked,
	},
}

// trialList is what the page offers.
func trialList() []page.Trial {
	var list []page.Trial
	for _, t := range trials {
		list = append(list, page.Trial{Name: t.name, Title: t.title, How: t.how, Why: t.why})
	}
	return list
}

// try runs a trial by name. Each gets a token of its own, by a whole flow
// without a browser, so that trials can be run in any order and again.
func (d *demo) try(ctx context.Context, name string) (page.Trial, error) {
	i := slices.IndexFunc(trials, func(t trial) bool { return t.name == name })
	if i < 0 {
		return page.Trial{}, fmt.Errorf("there is no trial called %q", name)
	}
	d.trial.Lock()
	defer d.trial.Unlock()
	t := trials[i]
	result := page.Trial{Name: t.name, Title: t.title, How: t.how, Why: t.why}
	err := t.run(d, ctx, &result)
	return result, err
}

// accessToken gets a new access token.
func (d *demo) accessToken(ctx context.Context, kind journal.Kind) (string, error) {
	flow, err := d.play(ctx, kind, asUsual)
	return flow.AccessToken, err
}

// reads reads the files and notes what should come of it.
func (d *demo) reads(ctx context.Context, t *page.Trial, caption, token string, want page.Want) {
	t.Parts = append(t.Parts, page.Part{Caption: caption, Answers: slices.Collect(d.calls.List(ctx, token)), Want: want})
}

// refuses does the same for the refusal that the trial is about.
func (d *demo) refuses(ctx context.Context, t *page.Trial, caption, token string, want page.Want) {
	t.Token = token
	d.reasons()
	d.reads(ctx, t, caption, token, want)
	t.Parts[len(t.Parts)-1].Refusal = true
	t.Fine = d.reasons()
}

func (d *demo) withoutToken(ctx context.Context, t *page.Trial) error {
	d.refuses(ctx, t, "A request without a token", "", noToken)
	return nil
}

func (d *demo) withExpired(ctx context.Context, t *page.Trial) error {
	flow, err := d.play(ctx, journal.OAuth, d.issuer.Backdate)
	if err != nil {
		return err
	}
	d.refuses(ctx, t, "The expired token", flow.AccessToken, expired)
	return nil
}

func (d *demo) withoutScope(ctx context.Context, t *page.Trial) error {
	token, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	t.Token = token
	d.reads(ctx, t, "Reading the files", token, passes)
	d.reasons()
	t.Parts = append(t.Parts, page.Part{
		Caption: "Deleting one", Refusal: true, Want: insufficient,
		Answers: slices.Collect(d.calls.Delete(ctx, token, "beach.jpg")),
	})
	t.Fine = d.reasons()
	return nil
}

func (d *demo) withIDToken(ctx context.Context, t *page.Trial) error {
	flow, err := d.play(ctx, journal.OIDC, asUsual)
	if err != nil {
		return err
	}
	d.refuses(ctx, t, "The ID token at the drive", flow.IDToken, invalid)
	return nil
}

func (d *demo) elsewhere(ctx context.Context, t *page.Trial) error {
	token, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	t.Token = token
	d.reads(ctx, t, "At the drive", token, passes)
	d.reasons()
	t.Parts = append(t.Parts, page.Part{
		Caption: "At the calendar", Refusal: true, Want: invalid,
		Answers: slices.Collect(d.strange.List(ctx, token)),
	})
	t.Fine = d.reasons()
	return nil
}

func (d *demo) withTamperedSignature(ctx context.Context, t *page.Trial) error {
	token, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	d.refuses(ctx, t, "The tampered token", tampered(token), invalid)
	return nil
}

// tampered changes one character of the signature. Not the last one: its low
// bits are padding.
func tampered(token string) string {
	b := []byte(token)
	middle := (strings.LastIndexByte(token, '.') + len(b)) / 2
	if b[middle] == 'A' {
		b[middle] = 'B'
	} else {
		b[middle] = 'A'
	}
	return string(b)
}

func (d *demo) withAlgNone(ctx context.Context, t *page.Trial) error {
	token, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	d.refuses(ctx, t, "The unsigned token", unsigned(token), invalid)
	return nil
}

// unsigned puts a token's claims under alg: none (RFC 7515 §A.5).
func unsigned(token string) string {
	payload := strings.Split(token, ".")[1]
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + payload + "."
}

func (d *demo) withWithdrawnKey(ctx context.Context, t *page.Trial) error {
	turn := d.rotations.Reserve()
	if wait := turn.Delay(); wait > 0 {
		turn.Cancel()
		t.Wait = fmt.Sprintf("The keys were rotated a moment ago. So that invented key IDs cannot flood the issuer, the drive fetches the key set for unknown ones only now and then: please try again in %d s.", int(wait.Seconds())+1)
		return nil
	}
	old, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	d.reads(ctx, t, "The old token before the rotation", old, passes)
	if err := d.issuer.Rotate(true); err != nil {
		return err
	}
	fresh, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	d.reads(ctx, t, "A token of the new key", fresh, passes)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(confirmed):
	}
	d.refuses(ctx, t, "The old token after the rotation", old, invalid)
	return nil
}

// confirmed is a little more than jwks.Config.WithdrawAfter: until then a key that one
// answer lacks still verifies, in case that answer came from a server that is behind.
const confirmed = 6 * time.Second

func (d *demo) withIssuerDown(ctx context.Context, t *page.Trial) error {
	opaque, err := d.accessToken(ctx, journal.OAuthOpaque)
	if err != nil {
		return err
	}
	jwt, err := d.accessToken(ctx, journal.OAuth)
	if err != nil {
		return err
	}
	d.issuer.SetDown(true)
	defer d.issuer.SetDown(false)
	d.refuses(ctx, t, "An opaque token while the issuer is down", opaque, unavailable)
	d.reads(ctx, t, "Meanwhile, a JWT whose key is known", jwt, passes)
	d.issuer.SetDown(false)
	d.reads(ctx, t, "The same opaque token, the issuer being back", opaque, passes)
	return nil
}

func (d *demo) withRevoked(ctx context.Context, t *page.Trial) error {
	token, err := d.accessToken(ctx, journal.OAuthOpaque)
	if err != nil {
		return err
	}
	d.reads(ctx, t, "Before the revocation", token, passes)
	revocation, err := d.printers[journal.OAuthOpaque].Revoke(ctx, token)
	if err != nil {
		return err
	}
	d.refuses(ctx, t, "After the revocation", token, inactive)
	t.Revocation = &revocation
	return nil
}
