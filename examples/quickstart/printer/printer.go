// Package printer is a third-party client: it asks a person for permission to
// read their drive. It is the authorization code grant of OAuth 2.0 with PKCE,
// as RFC 9700 wants it.
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

// Config is what a client is told when it is registered, and where it works.
type Config struct {
	Kind                   journal.Kind
	ClientID, ClientSecret string
	RedirectURI            string
	Issuer                 string
	Resource               string // the drive's identifier (RFC 8707)
	Scopes                 []string
	Drive                  *carriers.Client
	Journal                *journal.Journal
	Done                   string            // where the browser goes in the end; "?flow=" and an ID are added
	Transport              http.RoundTripper // nil means http.DefaultTransport
}

// A Printer is the client. Its handlers are Start and Callback.
type Printer struct {
	config Config
	oauth2 oauth2.Config
	cookie string

	mu      sync.Mutex
	pending map[string]pending // by state
}

// pending is what the client must remember between its request and the answer.
type pending struct {
	flow     *journal.Flow
	verifier string
	asked    time.Time
}

// New makes a client.
func New(c Config) *Printer {
	return &Printer{
		config: c,
		oauth2: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, RedirectURL: c.RedirectURI, Scopes: c.Scopes,
			Endpoint: oauth2.Endpoint{
				AuthURL:   c.Issuer + "/authorize",
				TokenURL:  c.Issuer + "/oauth/token",
				AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
		cookie:  "quickstart_" + string(c.Kind),
		pending: map[string]pending{},
	}
}

// Start sends the browser to the authorization server: step one.
func (p *Printer) Start(w http.ResponseWriter, r *http.Request) {
	flow := p.config.Journal.Begin(p.config.Kind)
	verifier := oauth2.GenerateVerifier()
	p.remember(flow, verifier)
	// The state is bound to this browser, so that nobody can hand it an answer
	// to a question it did not ask (RFC 6749 §10.12).
	http.SetCookie(w, &http.Cookie{
		Name: p.cookie, Value: flow.State, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 600,
	})
	target := p.oauth2.AuthCodeURL(flow.State,
		oauth2.S256ChallengeOption(verifier), // RFC 7636
		oauth2.SetAuthURLParam("resource", p.config.Resource),
	)
	http.Redirect(w, r, target, http.StatusFound)
}

func (p *Printer) remember(flow *journal.Flow, verifier string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for state, other := range p.pending {
		if time.Since(other.asked) > 10*time.Minute {
			delete(p.pending, state)
		}
	}
	p.pending[flow.State] = pending{flow, verifier, time.Now()}
}

// recall finds what belongs to a state, once.
func (p *Printer) recall(state string) (pending, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.pending[state]
	delete(p.pending, state)
	return found, ok
}

// Callback receives the authorization response: the other steps.
func (p *Printer) Callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	cookie, err := r.Cookie(p.cookie)
	if err != nil || subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(state)) != 1 {
		http.Error(w, "This is not the answer to a question that this browser asked: the state is another one. Nothing was done with it.", http.StatusBadRequest)
		return
	}
	asked, ok := p.recall(state)
	if !ok {
		http.Error(w, "This question was already answered, or it was asked too long ago. Nothing was done with the answer.", http.StatusBadRequest)
		return
	}
	flow := asked.flow
	flow.Record(journal.GivesAuthorization, journal.NewExchange("The browser brings the client its grant", r, nil, http.StatusSeeOther, nil, nil).Request())
	err = p.finish(r.Context(), flow, asked.verifier, r)
	flow.End(err)
	http.SetCookie(w, &http.Cookie{Name: p.cookie, Path: "/", MaxAge: -1})
	http.Redirect(w, r, p.config.Done+"?flow="+flow.ID, http.StatusSeeOther)
}

func (p *Printer) finish(ctx context.Context, flow *journal.Flow, verifier string, r *http.Request) error {
	// Before anything else: does the answer come from the server that was asked?
	// Otherwise the code would be handed to the wrong one (RFC 9207 §2.4).
	if iss := r.FormValue("iss"); iss != p.config.Issuer {
		return fmt.Errorf("the answer names the issuer %q, but %q was asked; the code was not redeemed", iss, p.config.Issuer)
	}
	if refused := r.FormValue("error"); refused != "" {
		return fmt.Errorf("the authorization server answered %s: %s", refused, r.FormValue("error_description"))
	}
	code := r.FormValue("code")
	if code == "" {
		return errors.New("the answer has neither a code nor an error")
	}
	token, err := p.redeem(ctx, flow, code, verifier)
	if err != nil {
		return err
	}
	flow.Tokens(token.AccessToken, "")

	var answers []journal.Answer
	for answer := range p.config.Drive.List(ctx, token.AccessToken) {
		flow.Record(journal.UsesAccessToken, answer.Exchange)
		answers = append(answers, answer)
	}
	flow.Answered(answers)
	return nil
}

// redeem passes the grant and gets the token. The exchange is one on the wire
// and two in the diagram.
func (p *Printer) redeem(ctx context.Context, flow *journal.Flow, code, verifier string) (*oauth2.Token, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: journal.Transport{
		Base: p.config.Transport, Title: "The client redeems its code at the token endpoint",
		Record: func(e journal.Exchange) {
			flow.Record(journal.PassesAuthorizationGrant, e.Request())
			e.Title = "The token endpoint answers"
			flow.Record(journal.ReturnsAccessToken, e.Reply())
		},
	}}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	token, err := p.oauth2.Exchange(ctx, code,
		oauth2.VerifierOption(verifier),
		oauth2.SetAuthURLParam("resource", p.config.Resource), // RFC 8707 §2.2
	)
	if err != nil {
		return nil, fmt.Errorf("the token endpoint gave no token: %w", err)
	}
	if token.Type() != "Bearer" {
		return nil, fmt.Errorf("the token is of the type %q, which this client does not know (RFC 6749 §7.1)", token.Type())
	}
	return token, nil
}

// Revoke tells the authorization server that the client is done with a token (RFC 7009).
func (p *Printer) Revoke(ctx context.Context, token string) (journal.Exchange, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.Issuer+"/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return journal.Exchange{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(p.config.ClientID), url.QueryEscape(p.config.ClientSecret)) // RFC 6749 §2.3.1
	var revocation journal.Exchange
	client := &http.Client{Timeout: 10 * time.Second, Transport: journal.Transport{
		Base: p.config.Transport, Title: "The client revokes its token", Record: func(e journal.Exchange) { revocation = e },
	}}
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
