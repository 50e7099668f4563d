// Package guestbook is a relying party. It shows you how to sign a user in with
// OpenID Connect and how to use the access token that comes with the ID token.
package guestbook

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/accesstoken/accesstoken/examples/quickstart/carriers"
	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
)

const cookieName = "quickstart_guestbook"

// Config has the relying party's registration and the servers that it uses.
type Config struct {
	ClientID, ClientSecret string
	RedirectURI            string
	Issuer                 string
	Resource               string
	Drive                  *carriers.Client
	Journal                *journal.Journal
	Done                   string            // the browser is sent here at the end, with "?flow=" and an ID
	Transport              http.RoundTripper // nil means http.DefaultTransport
}

// A Guestbook is the relying party. Its handlers are Start and Callback.
type Guestbook struct {
	config   Config
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth2   oauth2.Config

	mu      sync.Mutex
	pending map[string]pending // by state
}

type pending struct {
	flow     *journal.Flow
	verifier string
	nonce    string
	asked    time.Time
}

// New makes a relying party. The OpenID provider must be running, because New fetches
// its metadata.
func New(ctx context.Context, c Config) (*Guestbook, error) {
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: 10 * time.Second, Transport: c.Transport})
	provider, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return &Guestbook{
		config:   c,
		provider: provider,
		verifier: provider.Verifier(&oidc.Config{ClientID: c.ClientID, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256}}),
		oauth2: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, RedirectURL: c.RedirectURI, Endpoint: endpoint,
			Scopes: []string{oidc.ScopeOpenID, "profile", "files:read"},
		},
		pending: map[string]pending{},
	}, nil
}

// Start handles step one. It sends the browser to the OpenID provider.
func (g *Guestbook) Start(w http.ResponseWriter, r *http.Request) {
	flow := g.config.Journal.Begin(journal.OIDC)
	asked := pending{flow, oauth2.GenerateVerifier(), rand.Text(), time.Now()}
	g.remember(asked)
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: flow.State, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 600,
	})
	target := g.oauth2.AuthCodeURL(flow.State,
		oauth2.S256ChallengeOption(asked.verifier),
		oauth2.SetAuthURLParam("resource", g.config.Resource),
		oidc.Nonce(asked.nonce), // the ID token must contain it (Core §3.1.2.1)
	)
	http.Redirect(w, r, target, http.StatusFound)
}

func (g *Guestbook) remember(asked pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for state, other := range g.pending {
		if time.Since(other.asked) > 10*time.Minute {
			delete(g.pending, state)
		}
	}
	g.pending[asked.flow.State] = asked
}

func (g *Guestbook) recall(state string) (pending, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.pending[state]
	delete(g.pending, state)
	return found, ok
}

// Callback receives the authentication response and runs the other steps.
func (g *Guestbook) Callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	cookie, err := r.Cookie(cookieName)
	if err != nil || subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(state)) != 1 {
		http.Error(w, "The state does not belong to an authentication request of this browser. The response was ignored.", http.StatusBadRequest)
		return
	}
	asked, ok := g.recall(state)
	if !ok {
		http.Error(w, "This authentication request was already answered, or it is too old. The response was ignored. Start the flow again.", http.StatusBadRequest)
		return
	}
	flow := asked.flow
	flow.Record(journal.RequestsIDToken, journal.NewExchange("The browser brings the client its grant", r, nil, http.StatusSeeOther, nil, nil).Request())
	err = g.finish(r.Context(), asked, r)
	flow.End(err)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1})
	http.Redirect(w, r, g.config.Done+"?flow="+flow.ID, http.StatusSeeOther)
}

func (g *Guestbook) finish(ctx context.Context, asked pending, r *http.Request) error {
	flow := asked.flow
	if iss := r.FormValue("iss"); iss != g.config.Issuer { // RFC 9207 §2.4
		return fmt.Errorf("issuer mismatch: iss is %q, want %q; the code was not redeemed", iss, g.config.Issuer)
	}
	if refused := r.FormValue("error"); refused != "" {
		return fmt.Errorf("the OpenID provider answered %s: %s", refused, r.FormValue("error_description"))
	}
	ctx = oidc.ClientContext(ctx, g.recording("The client redeems its code at the token endpoint", func(e journal.Exchange) {
		flow.Record(journal.RequestsIDToken, e.Request())
		e.Title = "The token endpoint answers"
		flow.Record(journal.ReturnsIDToken, e.Reply())
	}))
	token, err := g.oauth2.Exchange(ctx, r.FormValue("code"),
		oauth2.VerifierOption(asked.verifier),
		oauth2.SetAuthURLParam("resource", g.config.Resource),
	)
	if err != nil {
		return fmt.Errorf("the token endpoint returned no token: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return errors.New("the token endpoint returned no ID token")
	}
	idToken, err := g.verify(ctx, raw, asked.nonce, token.AccessToken)
	if err != nil {
		return err
	}
	flow.Tokens(token.AccessToken, raw)
	if err := g.userInfo(ctx, flow, idToken.Subject, token); err != nil {
		return err
	}

	var answers []journal.Answer
	for answer := range g.config.Drive.List(ctx, token.AccessToken) {
		flow.Record(journal.OptionallyUsesAccessToken, answer.Exchange)
		answers = append(answers, answer)
	}
	flow.Answered(answers)
	return nil
}

// verify validates the ID token (Core §3.1.3.7). go-oidc checks signature, issuer,
// audience and times. The caller should check nonce, further audiences, azp and
// at_hash, as verify does here.
func (g *Guestbook) verify(ctx context.Context, raw, nonce, accessToken string) (*oidc.IDToken, error) {
	idToken, err := g.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the ID token is invalid: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(idToken.Nonce), []byte(nonce)) != 1 {
		return nil, errors.New("nonce mismatch: the ID token was issued for a different request")
	}
	if len(idToken.Audience) != 1 {
		return nil, errors.New("audience mismatch: aud of the ID token contains other clients, which this client does not trust")
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := idToken.Claims(&claims); err != nil {
		return nil, fmt.Errorf("the ID token cannot be read: %w", err)
	}
	if claims.AuthorizedParty != "" && claims.AuthorizedParty != g.config.ClientID {
		return nil, fmt.Errorf("azp mismatch: the ID token was issued to %q, want %q", claims.AuthorizedParty, g.config.ClientID)
	}
	if err := idToken.VerifyAccessToken(accessToken); err != nil { // at_hash, Core §3.1.3.8
		return nil, fmt.Errorf("the access token does not match at_hash of the ID token: %w", err)
	}
	return idToken, nil
}

// userInfo fetches the UserInfo response. If its sub differs from the sub of the ID
// token, the response must not be used (Core §5.3.2).
func (g *Guestbook) userInfo(ctx context.Context, flow *journal.Flow, subject string, token *oauth2.Token) error {
	ctx = oidc.ClientContext(ctx, g.recording("The client asks the UserInfo endpoint", func(e journal.Exchange) {
		flow.Record(journal.OptionallyUsesAccessToken, e)
	}))
	info, err := g.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("the UserInfo request failed: %w", err)
	}
	if info.Subject != subject {
		return errors.New("sub mismatch: the UserInfo response is about a different user than the ID token")
	}
	var all map[string]any
	if err := info.Claims(&all); err != nil {
		return fmt.Errorf("the UserInfo response cannot be read: %w", err)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	flow.UserInfo(string(text))
	return nil
}

func (g *Guestbook) recording(title string, record func(journal.Exchange)) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: journal.Transport{
		Base: g.config.Transport, Title: title, Record: record,
	}}
}
