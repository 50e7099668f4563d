// Package printer is a third-party client that asks a user for permission to read
// the user's drive. It shows you the authorization code grant of OAuth 2.0 with
// PKCE, as RFC 9700 recommends it. The client knows only the URL of the drive, and finds
// the authorization server from there (RFC 9728).
package printer

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/accesstoken/accesstoken/examples/quickstart/carriers"
	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
)

// Config has the client's registration and the drive that it uses.
type Config struct {
	Kind                   journal.Kind
	Issuer                 string // where the client is registered
	ClientID, ClientSecret string
	RedirectURI            string
	Resource               string // the drive's URL, which is its identifier (RFC 8707)
	Scopes                 []string
	Drive                  *carriers.Client
	Journal                *journal.Journal
	Done                   string            // the browser is sent here at the end, with "?flow=" and an ID
	Transport              http.RoundTripper // nil means http.DefaultTransport
}

// A Printer is the client. Its handlers are Start and Callback.
type Printer struct {
	config Config
	cookie string

	mu      sync.Mutex
	pending map[string]pending // by state
}

// pending holds the data that the client needs when the authorization response
// arrives.
type pending struct {
	flow     *journal.Flow
	oauth2   oauth2.Config
	verifier string
	asked    time.Time
}

func New(c Config) *Printer {
	return &Printer{config: c, cookie: "quickstart_" + string(c.Kind), pending: map[string]pending{}}
}

// Start handles step one. It sends the browser to the authorization server.
func (p *Printer) Start(w http.ResponseWriter, r *http.Request) {
	flow := p.config.Journal.Begin(p.config.Kind)
	as, err := p.discover(r.Context(), flow)
	if err != nil {
		flow.End(err)
		http.Redirect(w, r, p.config.Done+"?flow="+flow.ID, http.StatusSeeOther)
		return
	}
	asked := pending{flow, p.at(as), oauth2.GenerateVerifier(), time.Now()}
	p.remember(asked)
	// The cookie binds the state to this browser. Otherwise an attacker could make the
	// browser deliver a response to the attacker's own request (RFC 6749 §10.12).
	http.SetCookie(w, &http.Cookie{
		Name: p.cookie, Value: flow.State, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 600,
	})
	target := asked.oauth2.AuthCodeURL(flow.State,
		oauth2.S256ChallengeOption(asked.verifier), // RFC 7636
		oauth2.SetAuthURLParam("resource", p.config.Resource),
	)
	http.Redirect(w, r, target, http.StatusFound)
}

// at returns the client's configuration for the authorization server.
func (p *Printer) at(as server) oauth2.Config {
	return oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, RedirectURL: p.config.RedirectURI, Scopes: p.config.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: as.Authorization, TokenURL: as.Token, AuthStyle: oauth2.AuthStyleInHeader},
	}
}

func (p *Printer) remember(asked pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for state, other := range p.pending {
		if time.Since(other.asked) > 10*time.Minute {
			delete(p.pending, state)
		}
	}
	p.pending[asked.flow.State] = asked
}

// recall returns and removes the data for a state, so each response is accepted once.
func (p *Printer) recall(state string) (pending, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.pending[state]
	delete(p.pending, state)
	return found, ok
}

// Callback receives the authorization response and runs the other steps.
func (p *Printer) Callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	cookie, err := r.Cookie(p.cookie)
	if err != nil || subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(state)) != 1 {
		http.Error(w, "The state does not belong to an authorization request of this browser. The response was ignored.", http.StatusBadRequest)
		return
	}
	asked, ok := p.recall(state)
	if !ok {
		http.Error(w, "This authorization request was already answered, or it is too old. The response was ignored. Start the flow again.", http.StatusBadRequest)
		return
	}
	flow := asked.flow
	flow.Record(journal.GivesAuthorization, journal.NewExchange("The browser brings the client its grant", r, nil, http.StatusSeeOther, nil, nil).Request())
	err = p.finish(r.Context(), asked, r)
	flow.End(err)
	http.SetCookie(w, &http.Cookie{Name: p.cookie, Path: "/", MaxAge: -1})
	http.Redirect(w, r, p.config.Done+"?flow="+flow.ID, http.StatusSeeOther)
}

func (p *Printer) finish(ctx context.Context, asked pending, r *http.Request) error {
	// Check first that the response is from the authorization server of the request.
	// Otherwise the client could send the code to the wrong server (RFC 9207 §2.4).
	if iss := r.FormValue("iss"); iss != p.config.Issuer {
		return fmt.Errorf("issuer mismatch: iss is %q, want %q; the code was not redeemed", iss, p.config.Issuer)
	}
	if refused := r.FormValue("error"); refused != "" {
		return fmt.Errorf("the authorization server answered %s: %s", refused, r.FormValue("error_description"))
	}
	code := r.FormValue("code")
	if code == "" {
		return errors.New("the authorization response has neither a code nor an error")
	}
	token, err := p.redeem(ctx, asked, code)
	if err != nil {
		return err
	}
	flow := asked.flow
	flow.Tokens(token.AccessToken, "")

	var answers []journal.Answer
	for answer := range p.config.Drive.List(ctx, token.AccessToken) {
		flow.Record(journal.UsesAccessToken, answer.Exchange)
		answers = append(answers, answer)
	}
	flow.Answered(answers)
	return nil
}

// redeem exchanges the code for a token. The diagram shows the request and the
// response of this exchange as two steps.
func (p *Printer) redeem(ctx context.Context, asked pending, code string) (*oauth2.Token, error) {
	client := p.client("The client redeems its code at the token endpoint", func(e journal.Exchange) {
		asked.flow.Record(journal.PassesAuthorizationGrant, e.Request())
		e.Title = "The token endpoint answers"
		asked.flow.Record(journal.ReturnsAccessToken, e.Reply())
	})
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	token, err := asked.oauth2.Exchange(ctx, code,
		oauth2.VerifierOption(asked.verifier),
		oauth2.SetAuthURLParam("resource", p.config.Resource), // RFC 8707 §2.2
	)
	if err != nil {
		return nil, fmt.Errorf("the token endpoint returned no token: %w", err)
	}
	if token.Type() != "Bearer" {
		return nil, fmt.Errorf("token_type is %q; this client supports only Bearer (RFC 6749 §7.1)", token.Type())
	}
	return token, nil
}

// Revoke revokes a token at the authorization server (RFC 7009).
func (p *Printer) Revoke(ctx context.Context, token string) (journal.Exchange, error) {
	var revocation journal.Exchange
	client := p.client("The client revokes its token", func(e journal.Exchange) { revocation = e })
	as, _, err := p.metadata(ctx, client)
	if err != nil {
		return journal.Exchange{}, err
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, as.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return journal.Exchange{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(p.config.ClientID), url.QueryEscape(p.config.ClientSecret)) // RFC 6749 §2.3.1
	resp, err := client.Do(r)
	if err != nil {
		return journal.Exchange{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return revocation, fmt.Errorf("the revocation endpoint answered %s", resp.Status)
	}
	return revocation, nil
}
