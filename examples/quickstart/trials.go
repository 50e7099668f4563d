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

// The expected results of the requests in the trials. Each refusal is a row of the
// outcome matrix.
var (
	passes       = page.Want{Status: 200, Code: "OK"}
	noToken      = page.Want{Status: 401, Challenge: true, Scope: "files:read", Code: "UNAUTHENTICATED", Reason: "CREDENTIALS_MISSING"}
	invalid      = page.Want{Status: 401, Challenge: true, Error: "invalid_token", Code: "UNAUTHENTICATED", Reason: "TOKEN_INVALID"}
	expired      = page.Want{Status: 401, Challenge: true, Error: "invalid_token", Code: "UNAUTHENTICATED", Reason: "TOKEN_EXPIRED"}
	inactive     = page.Want{Status: 401, Challenge: true, Error: "invalid_token", Code: "UNAUTHENTICATED", Reason: "TOKEN_INACTIVE"}
	insufficient = page.Want{Status: 403, Challenge: true, Error: "insufficient_scope", Scope: "files:write", Code: "PERMISSION_DENIED", Reason: "SCOPE_INSUFFICIENT"}
	unavailable  = page.Want{Status: 503, Retry: true, Code: "UNAVAILABLE", Reason: "INTROSPECTION_UNAVAILABLE"}
)

// A trial breaks one thing and sends requests. Its run function fills in the results.
type trial struct {
	name, title, how, why string
	run                   func(*demo, context.Context, *page.Trial) error
}

var trials = []trial{
	{
		"missing", "No token",
		"The request has no Authorization field.",
		"There is no token that could be invalid, so the challenge has no error. It names the scheme to use and the scope to request.",
		(*demo).withoutToken,
	},
	{
		"expired", "Expired token",
		"The authorization server backdates this token by an hour, so that you do not have to wait. Its signature, issuer and audience are genuine.",
		"exp plus 30 seconds of leeway is in the past. The client should get a new token.",
		(*demo).withExpired,
	},
	{
		"scope", "Missing scope",
		"A valid token with the scope files:read is used to delete a file.",
		"The token is valid but lacks a scope, so the status is 403, not 401, and the challenge names the scope to request.",
		(*demo).withoutScope,
	},
	{
		"idtoken", "ID token in place of the access token",
		"Alice signs in at the guest book, and her ID token is sent to the drive. It has the same issuer, the same key and a genuine signature.",
		"An ID token tells a client who signed in. It does not allow the client to read a drive.",
		(*demo).withIDToken,
	},
	{
		"audience", "Token for another resource server",
		"A valid token for the drive is sent to a calendar that trusts the same issuer.",
		"aud contains only the drive. If a resource server could use the tokens that it receives at other resource servers, it could act in the user's name there.",
		(*demo).elsewhere,
	},
	{
		"signature", "Tampered signature",
		"One character in the middle of a valid token's signature is changed.",
		"The signature does not verify with the key of the token's kid.",
		(*demo).withTamperedSignature,
	},
	{
		"none", "alg: none",
		"The claims of a valid token get a header with alg: none and an empty signature.",
		"The drive's configuration decides which algorithms are allowed, not the token.",
		(*demo).withAlgNone,
	},
	{
		"rotated", "Key rotated away",
		"The issuer makes a new key and withdraws the old one. A new token makes the drive fetch the key set again. A second fetch, 5 s later, confirms that the old key is gone. Then the old token is sent.",
		"The issuer no longer publishes the key that signed the token, so the token is refused, even if the drive has it in its cache.",
		(*demo).withWithdrawnKey,
	},
	{
		"down", "Issuer down",
		"The authorization server closes every connection while the drive has to ask it about an opaque token. Then it works again.",
		"The drive cannot find out whether the token is valid, so it answers 503 with a time to retry. After invalid_token, clients would discard valid tokens and users would have to log in again.",
		(*demo).withIssuerDown,
	},
	{
		"revoked", "Token revoked (opaque)",
		"The client revokes its token at the revocation endpoint (RFC 7009).",
		"The introspection endpoint answers that the token is not active. It gives no reason.",
		(*demo).withRevoked,
	},
}

// trialList returns the trials for the page.
func trialList() []page.Trial {
	var list []page.Trial
	for _, t := range trials {
		list = append(list, page.Trial{Name: t.name, Title: t.title, How: t.how, Why: t.why})
	}
	return list
}

// try runs the trial with this name. Each run gets the tokens that it needs by whole
// flows without a browser, so you can run trials in any order and repeatedly.
func (d *demo) try(ctx context.Context, name string) (page.Trial, error) {
	i := slices.IndexFunc(trials, func(t trial) bool { return t.name == name })
	if i < 0 {
		return page.Trial{}, fmt.Errorf("there is no trial named %q", name)
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

// reads lists the files with the token. It adds the answers and the expected result to t.
func (d *demo) reads(ctx context.Context, t *page.Trial, caption, token string, want page.Want) {
	t.Parts = append(t.Parts, page.Part{Caption: caption, Answers: slices.Collect(d.calls.List(ctx, token)), Want: want})
}

// refuses is like reads, for the refusal that the trial demonstrates. It also records
// the reasons that the operator sees.
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
		Answers: slices.Collect(d.calendarCalls.List(ctx, token)),
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

// tampered changes one character in the middle of the signature. The last character
// would not do, because its low bits are padding.
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

// unsigned returns a token with the same claims, but alg: none and no signature
// (RFC 7515 §A.5).
func unsigned(token string) string {
	payload := strings.Split(token, ".")[1]
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + payload + "."
}

func (d *demo) withWithdrawnKey(ctx context.Context, t *page.Trial) error {
	turn := d.rotations.Reserve()
	if wait := turn.Delay(); wait > 0 {
		turn.Cancel()
		t.Wait = fmt.Sprintf("The keys were rotated a moment ago. The drive limits how often it fetches the key set for an unknown key ID, so that invented IDs cannot flood the issuer. Please try again in %d s.", int(wait.Seconds())+1)
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
	d.reads(ctx, t, "A token signed by the new key", fresh, passes)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(confirmed):
	}
	d.refuses(ctx, t, "The old token after the rotation", old, invalid)
	return nil
}

// confirmed is a little more than the default of jwks.Config.WithdrawAfter. If a key is
// missing from one response, it still verifies for that long, because the response may
// come from a server that lags behind.
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
	d.reads(ctx, t, "The same opaque token after the issuer is back", opaque, passes)
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
